"""Whether measurements can be trusted: ``python -m benchmarks.measure``.

Parts, in this order; each is kept in ``--state`` when it is done, so that an interrupted run goes
on (``--parts`` chooses some of them):

- truth: a stand-in runtime of known cost under the whole ``verify`` protocol, in real children.
- ratios: our median against OpenVINO's own benchmark_app and against a plain ONNX Runtime loop, on
  the same file and inputs, in turns.
- again: an A/A test of 20 configurations that take turns, both protocols, at least ten minutes
  apart; between the two a neighbour burns a core in the middle third of a run of each protocol.
- rate: measurements a minute of a survey, as in ``benchmarks.profile``.

Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from benchmarks import _measure_again, _measure_ratios, _measure_truth, profile
from benchmarks._report import finish
from devices import describe
from fleetfit.files import write_text

Figures = dict[str, object]
PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "truth": _measure_truth.figures,
    "ratios": _measure_ratios.figures,
    "again": _measure_again.figures,
    "rate": profile.figures,
}
WANTED = {
    "centre_error": "<= 0.01",
    "memory_error": "<= 0.03",
    "traps_missed": "0",
    "benchmark_app_ratio": "within 3 % of 1",
    "ort_loop_ratio": "within 3 % of 1",
    "aa_verify": "<= 0.02",
    "aa_survey": "<= 0.04",
    "disturbed_unflagged": "0",
    "disturbed_survey_p95": "<= aa_survey_p95",
    "measurements_per_minute": ">= 30",
}


def setting(args: argparse.Namespace) -> Figures:
    """What must be the same for parts of several runs to stand together."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "device": describe().name,
        "networks": args.networks,
        "seed": args.seed,
        "supernet": str(args.supernet),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Can measurements be trusted?")
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--state", type=Path, default=Path("runs/benchmarks/measure.json"))
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas")
    parser.add_argument("--networks", type=int, default=16, help="of part rate")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.state.parent.mkdir(parents=True, exist_ok=True)
    now = setting(args)
    known: dict[str, Figures] = {"setting": now}
    if args.state.is_file():
        known = json.loads(args.state.read_text())
    if known["setting"] != now:
        raise SystemExit(f"{args.state} is of {known['setting']}, not of {now}: move it away")
    for part in args.parts.split(","):
        if part not in known:
            print(f"part {part}", flush=True)
            known[part] = PARTS[part](args)
            write_text(args.state, json.dumps(known, indent=1))
    found = {name: value for part in known.values() for name, value in part.items()}
    table = Table(title="measure")
    for column in ("figure", "wanted", "reached"):
        table.add_column(column)
    for name, wanted in WANTED.items():
        if name in found:
            table.add_row(name, wanted, str(found[name]))
    finish(table, found)


if __name__ == "__main__":
    main()
