"""The same configurations measured again, and beside a neighbour."""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from devices import describe
from exporters import default_targets
from fleetfit import DeviceInfo, Measurement, Query, Workload
from fleetfit.statistics import percentile
from profiler import Store, SurveySettings, VerifySettings, plan, survey, verify_all
from profiler.repeat import copy_references
from supernet.spaces import read_config

CONFIGURATIONS: Final = 20
APART_S: Final = 600.0
OFF: Final = 0.05
"""A row that is off by more must be flagged."""
Measure = Callable[[], list[Measurement]]
Times = npt.NDArray[np.float64]


def figures(args: argparse.Namespace) -> dict[str, object]:
    device = describe()
    space = read_config(args.supernet).space
    networks = plan(space, CONFIGURATIONS, np.random.default_rng(args.seed))
    targets = default_targets(device, threads=1)
    queries = [
        Query(architecture=a, target=targets[k % len(targets)], workload=Workload())
        for k, a in enumerate(networks)
    ]
    store = args.state.with_suffix(".sqlite")
    with Store(f"sqlite:///{store.resolve()}") as usual:
        both: dict[str, Measure] = {
            "verify": lambda: verify_all(
                queries, device=device, store=usual, settings=VerifySettings(memory=False)
            ),
            "survey": lambda: surveyed(queries, device, usual),
        }
        found: dict[str, object] = {"configurations": len(queries)}
        began: dict[str, float] = {}
        first: dict[str, list[Measurement]] = {}
        lasted: dict[str, float] = {}
        for name, measure in both.items():
            began[name] = time.monotonic()
            first[name] = measure()
            lasted[name] = time.monotonic() - began[name]
        beside = {name: disturbed(m, lasted[name]) for name, m in both.items()}
        for name, measure in both.items():
            time.sleep(max(0.0, began[name] + lasted[name] + APART_S - time.monotonic()))
            found |= compared(name, first[name], measure(), beside[name])
            found[f"{name}_seconds"] = round(lasted[name], 1)
    return found


def surveyed(queries: Sequence[Query], device: DeviceInfo, usual: Store) -> list[Measurement]:
    """A survey that knows of no other but how fast the machine usually is."""
    with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{Path(folder)}/s.db") as store:
        copy_references(queries, device, usual, store)
        return survey(queries, store=store, device=device, settings=SurveySettings())


def compared(
    name: str,
    first: Sequence[Measurement],
    second: Sequence[Measurement],
    beside: Sequence[Measurement],
) -> dict[str, object]:
    """A/A differences of the medians over their mean, and those of the disturbed run."""
    a, b, c = (np.array([m.latency_p50_s for m in rows]) for rows in (first, second, beside))
    calm = (a + b) / 2
    again, hit = np.abs(a - b) / calm, np.abs(c / calm - 1)
    flagged = [m.status != "ok" for m in beside]
    unflagged = sum(h > OFF and not f for h, f in zip(hit, flagged, strict=True))
    for m, x, y, z in zip(first, a, b, c, strict=True):
        status = m.status
        what = f"{m.job.query.target} {m.job.query.architecture.summary()}"
        print(f"  {name} {what}: {x * 1e3:.3f} {y * 1e3:.3f} ms {status}, beside {z * 1e3:.3f}")
    return {
        f"aa_{name}": round(float(np.median(again)), 4),
        f"aa_{name}_p95": round(percentile(again.tolist(), 0.95), 4),
        f"aa_{name}_beyond_shift": round(beyond_shift(first, a, b), 4),
        f"aa_{name}_flagged": sum(m.status != "ok" for m in (*first, *second)),
        f"disturbed_{name}_p95": round(percentile(hit.tolist(), 0.95), 4),
        f"disturbed_{name}_flagged": sum(flagged),
        "disturbed_unflagged" if name == "verify" else "disturbed_survey_unflagged": int(unflagged),
    }


def beyond_shift(rows: Sequence[Measurement], a: Times, b: Times) -> float:
    """Median difference once the shift that all networks of a target share is taken out."""
    logs = np.log(b / a)
    names = np.array([str(m.job.query.target) for m in rows])
    for name in np.unique(names):
        logs[names == name] -= np.median(logs[names == name])
    return float(np.median(np.abs(logs)))


def disturbed(measure: Measure, lasts_s: float) -> list[Measurement]:
    """``measure`` with a neighbour that burns a core in the middle third of the usual time."""
    burner = multiprocessing.get_context("spawn").Process(target=burn, args=(lasts_s / 3,))
    timer = threading.Timer(lasts_s / 3, burner.start)
    timer.start()
    try:
        found = measure()
        if burner.exitcode != 0:
            raise SystemExit("The neighbour must burn to its end within a run, but did not.")
        return found
    finally:
        timer.cancel()
        timer.join()
        if burner.pid is not None:
            burner.kill()
            burner.join()


def burn(seconds: float) -> None:
    end = time.monotonic() + seconds
    value = 1.0
    while time.monotonic() < end:
        for _ in range(10_000):
            value = value * 1.0000001 + 1e-9
