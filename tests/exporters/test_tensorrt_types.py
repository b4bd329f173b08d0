"""What calls TensorRT, checked by mypy against the real types of versions 10 and 11."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exporters.tensorrt_stubs import StubsMissing, stubs_of

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("10.16.1.11", "11.4.0.106")
CHECKED = ("exporters/tensorrt_gpu.py", "profiler/memory_child.py")
"""With all that they import."""
# Unlike the project's own settings, it has types for TensorRT; of others the project's are enough.
CONFIG = """[mypy]
strict = True
explicit_package_bases = True
[mypy-onnx.*,onnxruntime.*,openvino.*,psutil.*,safetensors.*,tokenizers.*,nncf.*,cuda.*,pynvml.*]
ignore_missing_imports = True
follow_imports = skip
[mypy-pandas.*,pyarrow.*]
ignore_missing_imports = True
follow_imports = skip
"""
REMOVED = """import tensorrt as trt
def build(config: trt.IBuilderConfig) -> None:
    config.set_flag(trt.BuilderFlag.FP16)
"""


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stubs(version: str, request: pytest.FixtureRequest) -> Path:
    cache = request.config.cache
    assert cache is not None
    found = made(version, cache.mkdir("tensorrt-stubs"))
    if isinstance(found, str):
        pytest.skip(f"no types of TensorRT here: {found}")
    return found


@functools.cache
def made(version: str, cache: Path) -> Path | str:
    """The types, or why there are none: asked once, for each test would wait for the network."""
    try:
        return stubs_of(version, cache)
    except StubsMissing as exc:
        return str(exc)


def checked(stubs: Path, tmp_path: Path, *files: str) -> tuple[int, str]:
    """mypy's exit code and findings; its own cache lies beside the stubs."""
    config = tmp_path / "mypy.ini"
    config.write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(config),
         "--cache-dir", str(stubs / "mypy"), *files],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": f"{stubs}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_what_calls_tensorrt_fits_its_types(stubs: Path, tmp_path: Path) -> None:
    code, said = checked(stubs, tmp_path, *CHECKED)
    assert code == 0, said


def test_a_removed_name_is_caught(stubs: Path, version: str, tmp_path: Path) -> None:
    file = tmp_path / "removed.py"
    file.write_text(REMOVED)
    code, said = checked(stubs, tmp_path, str(file))
    if version.startswith("10."):
        assert code == 0, said
    else:
        assert 'has no attribute "FP16"' in said


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("engine.create_executing_context()", 'no attribute "create_executing_context"'),
        ("engine.get_tensor_name('input_ids')", "incompatible type"),
        ("engine.create_execution_context().execute_async_v3(1)", 'None" of "IExecutionContext'),
        ("engine.get_tensor_shape()", "Missing positional argument"),
    ],
    ids=["misspelt", "type", "none", "arity"],
)
def test_a_wrong_call_is_caught(stubs: Path, tmp_path: Path, call: str, wrong: str) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        f"import tensorrt as trt\ndef f(engine: trt.ICudaEngine) -> None:\n    {call}\n"
    )
    code, said = checked(stubs, tmp_path, str(file))
    assert code == 1
    assert wrong in said
