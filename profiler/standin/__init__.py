"""A runtime of known cost in the place of a real one, for tests and benchmarks of measuring."""

from profiler.standin.install import install
from profiler.standin.onnxruntime import Behaviour

__all__ = ["Behaviour", "install"]
