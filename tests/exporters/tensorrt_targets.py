"""What the suites of TensorRT build and run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from exporters import Artifact, make_inputs
from fleetfit import Architecture, Target, Workload

WORKLOAD: Final = Workload(batch=2, seq_len=8)
FIXED: Final = Target(runtime="tensorrt", provider="cuda", shapes="fixed")
DYNAMIC: Final = dataclasses.replace(FIXED, shapes="dynamic")
Make = Callable[..., Artifact]
"""Builds for a target, by default DYNAMIC, with these options."""


def one_input(mixed: Architecture, workload: Workload = WORKLOAD) -> Any:
    (inputs,) = make_inputs(mixed.embedding, workload, seed=0, count=1)
    return inputs
