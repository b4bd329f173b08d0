"""Putting the stand-in where children find it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from fleetfit.files import write_text
from profiler.standin import onnxruntime
from profiler.standin.onnxruntime import BEHAVIOUR, Behaviour

__all__ = ["install"]


def install(directory: Path, behaviour: Behaviour) -> None:
    """Write the library into ``directory``, which the caller puts first on PYTHONPATH."""
    source = Path(onnxruntime.__file__)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, directory / source.name)
    write_text(directory / BEHAVIOUR, json.dumps(dataclasses.asdict(behaviour)))
