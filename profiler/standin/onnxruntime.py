"""A stand-in for the library ``onnxruntime`` whose costs are known: what measuring is tested with.

``profiler.standin.install`` copies this file to a folder that goes first on PYTHONPATH, so that
measuring children import it in the library's place and everything else is as it always is:
processes, protocols, memory. The file ``behaviour.json`` beside it says what its sessions do.
"""

from __future__ import annotations

import enum
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

__version__ = "0.standin"
BEHAVIOUR: Final = "behaviour.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """What a session does; zeros do nothing."""

    sleep_s: float = 0.0
    """Every run sleeps for so long,"""
    spin_s: float = 0.0
    """then computes for so long."""
    slow_runs: int = 0
    """The first runs of a session take four times as long."""
    second_s: float = 0.0
    """Every second run computes for so long instead."""
    load_bytes: int = 0
    """Memory that loading takes and keeps,"""
    grow_bytes: int = 0
    """and every run,"""
    grow_runs: int = 0
    """of the first so many."""
    load_peak_bytes: int = 0
    """Memory that loading takes and gives back."""
    crash: str = ""
    """What the third run does instead: segfault, kill (as a machine out of memory does), hang,
    exit, raise."""
    prints: bool = False
    """Every run prints what looks like a result."""
    wrong: bool = False
    """Outputs are off by one, but in a session without optimisations."""


class ExecutionMode(enum.Enum):
    """As in the library."""

    ORT_SEQUENTIAL = 0


class GraphOptimizationLevel(enum.Enum):
    """As in the library."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_ALL = 99


class SessionOptions:
    """Keeps what it is given."""

    def __init__(self) -> None:
        """Defaults of the library, as far as anybody asks."""
        self.enable_cpu_mem_arena = True
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.inter_op_num_threads = 0
        self.intra_op_num_threads = 0
        self.log_severity_level = 2
        self._entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        """As in the library."""
        self._entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """As in the library."""
        return self._entries[key]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Value:
    name: str
    shape: tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Meta:
    custom_metadata_map: dict[str, str]


class InferenceSession:
    """Does what the behaviour says; its output is the sum of the token ids."""

    def __init__(
        self,
        path: str,
        sess_options: SessionOptions,
        providers: list[str],
        *,
        provider_options: object = None,
        enable_fallback: int = 1,
    ) -> None:
        """Take the memory that loading takes; ``path`` is not read, there is nothing to fall to."""
        self._options, self._providers = sess_options, providers
        self._behaviour = _behaviour()
        self._plain = (
            sess_options.graph_optimization_level is GraphOptimizationLevel.ORT_DISABLE_ALL
        )
        self._runs = 0
        _touched(self._behaviour.load_peak_bytes)
        self._held = [_touched(self._behaviour.load_bytes)]

    def disable_fallback(self) -> None:
        """As in the library."""

    def get_session_options(self) -> SessionOptions:
        """As in the library."""
        return self._options

    def get_providers(self) -> list[str]:
        """As in the library."""
        return self._providers

    def get_inputs(self) -> list[_Value]:
        """Those of every network of this project."""
        names = ("input_ids", "attention_mask", "token_type_ids")
        return [_Value(name=name, shape=("batch", "seq")) for name in names]

    def get_outputs(self) -> list[_Value]:
        """One."""
        return [_Value(name="output", shape=("batch", "one"))]

    def get_modelmeta(self) -> _Meta:
        """Nothing."""
        return _Meta(custom_metadata_map={})

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Any]:
        """One run; spinning ends by the clock of its start, so that nothing else adds to it."""
        began = time.perf_counter()
        self._runs += 1
        wrong = self._behaviour.wrong and not self._plain
        sums = inputs["input_ids"].sum(axis=1, keepdims=True) + wrong
        found = [sums.astype(np.float32)]
        if not self._plain:
            self._behave(began)
        return found

    def _behave(self, began: float) -> None:
        what = self._behaviour
        if what.crash and self._runs == 3:
            _crash(what.crash)
        if what.prints:
            print('{"result": "forged"}', flush=True)
        if self._runs <= what.grow_runs:
            self._held.append(_touched(what.grow_bytes))
        factor = 4 if self._runs <= what.slow_runs else 1
        second = what.second_s and self._runs % 2 == 0
        if what.sleep_s:
            time.sleep(factor * what.sleep_s)
        _spin(began + factor * (what.second_s if second else what.spin_s))


def _behaviour() -> Behaviour:
    return Behaviour(**json.loads(Path(__file__).with_name(BEHAVIOUR).read_text()))


def _touched(size: int) -> bytearray:
    """Memory whose every page is there."""
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])
    return block


def _spin(end: float) -> None:
    while time.perf_counter() < end:
        pass


def _crash(how: str) -> None:
    print("going down", file=sys.stderr, flush=True)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hang":
        time.sleep(3600)
    elif how == "exit":
        os._exit(3)
    else:
        raise RuntimeError("the stand-in fails as it was told")
