"""Workloads of known cost under the whole verify protocol, and the traps of measuring."""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from devices import describe
from fleetfit import FleetfitError, Measurement, Query, RuntimeMissing, Target, Workload
from profiler import VerifyProtocol, VerifySettings, verify
from profiler.standin import Behaviour, install
from supernet.spaces import read_config

MIB: Final = 2**20
HICCUPS: Final = 3
"""Runs of 12 ms in place of 4 that a shared machine may have among 1,500."""
CENTRES: Final = {
    "sleep": (Behaviour(sleep_s=0.05), 0.05),
    "spin": (Behaviour(spin_s=0.004), 0.004),
    "short spin": (Behaviour(spin_s=0.0005), 0.0005),
    "slow first 30 runs": (Behaviour(spin_s=0.004, slow_runs=30), 0.004),
    "prints results": (Behaviour(spin_s=0.004, prints=True), 0.004),
}
"""Name to behaviour and the true seconds of a run."""
GROWN: Final = {
    "weights of 100 MiB": (Behaviour(spin_s=0.001, load_bytes=100 * MIB), 100 * MIB),
    "grows by 10 MiB in 20 runs": (
        Behaviour(spin_s=0.001, grow_bytes=10 * MIB, grow_runs=20),
        200 * MIB,
    ),
    "300 MiB while loading": (Behaviour(spin_s=0.001, load_peak_bytes=300 * MIB), 300 * MIB),
}
"""Name to behaviour and the true peak above that of one that takes nothing."""
REFUSED: Final = {
    "SIGSEGV": Behaviour(crash="segfault"),
    "SIGKILL": Behaviour(crash="kill"),
    "exit code 3": Behaviour(crash="exit"),
    "as it was told": Behaviour(crash="raise"),
    "must answer within": Behaviour(crash="hang"),
    "agree with the plain ONNX graph": Behaviour(wrong=True),
}
"""What the error must say, and the behaviour that nothing may come of."""
BIMODAL: Final = Behaviour(spin_s=0.004, second_s=0.008)
"""Must be flagged: its median is a matter of luck."""


def figures(args: argparse.Namespace) -> dict[str, object]:
    space = read_config(args.supernet).space
    query = Query(
        architecture=space.smallest(),
        target=Target(runtime="onnxruntime"),
        workload=Workload(seq_len=16),
    )
    errors = {}
    missed = []
    for name, (behaviour, truth_s) in CENTRES.items():
        found = measured(query, behaviour, memory=False)
        errors[name] = found.latency_p50_s / truth_s - 1
        said(name, f"{errors[name]:+.2%} {found.status} {found.flags}")
        # Of the 30 slow first runs of each process, four times as long, none may be left.
        left = sum(s > 3 * truth_s for process in found.samples_s for s in process)
        slow_first = (found.first_run_s or 0) > 3 * truth_s
        if behaviour.slow_runs and (left > HICCUPS or not slow_first):
            missed.append(name)
    block = np.ones(300 * MIB // 8)  # a large parent: its peak must not be the child's
    empty = measured(query, Behaviour(spin_s=0.001), memory=True).memory_bytes or 0
    grown = {}
    for name, (behaviour, truth) in GROWN.items():
        found = measured(query, behaviour, memory=True)
        grown[name] = ((found.memory_bytes or 0) - empty) / truth - 1
        said(name, f"{grown[name]:+.2%} of {truth / MIB:.0f} MiB")
    missed += [
        name for name, behaviour in REFUSED.items() if not is_refused(query, name, behaviour)
    ]
    if not is_missing_told(query):
        missed.append("a runtime that is not installed")
    # A minute that is disturbed too must not pass for having seen it.
    if not {"capped", "disagreeing", "unsettled"} & set(
        measured(query, BIMODAL, memory=False).flags
    ):
        missed.append("bimodal")
    if empty >= block.nbytes:
        missed.append("memory of the parent")
    said("traps missed", str(missed))
    return {
        "centre_error": round(max(map(abs, errors.values())), 4),
        "centre_errors": {k: round(v, 4) for k, v in errors.items()},
        "memory_error": round(max(map(abs, grown.values())), 4),
        "memory_errors": {k: round(v, 4) for k, v in grown.items()},
        "traps": len(REFUSED) + 4,
        "traps_missed": len(missed),
    }


def is_refused(query: Query, words: str, behaviour: Behaviour) -> bool:
    try:
        measured(query, behaviour, memory=False, timeout_s=30.0)
    except FleetfitError as exc:
        said("refused", str(exc))
        return words in str(exc)
    return False


def is_missing_told(query: Query) -> bool:
    """Whether a runtime that cannot be imported is an error that says so."""
    with tempfile.TemporaryDirectory() as place, path_first(place):
        (Path(place) / "onnxruntime.py").write_text("raise ImportError('not installed')\n")
        try:
            verify(query, device=describe(), settings=VerifySettings(memory=False))
        except RuntimeMissing as exc:
            said("refused", str(exc))
            return "must be installed" in str(exc)
    return False


def measured(
    query: Query, behaviour: Behaviour, *, memory: bool, timeout_s: float = 300.0
) -> Measurement:
    protocol = dataclasses.replace(VerifyProtocol(), process_timeout_s=timeout_s)
    settings = VerifySettings(protocol=protocol, memory=memory)
    with tempfile.TemporaryDirectory() as place, path_first(place):
        install(Path(place), behaviour)
        return verify(query, device=describe(), settings=settings)


@contextmanager
def path_first(place: str) -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = place if before is None else f"{place}{os.pathsep}{before}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def said(what: str, value: str) -> None:
    print(f"  {what}: {value}", flush=True)
