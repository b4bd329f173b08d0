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
from typing import cast

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
Limit = tuple[str, Callable[[float, Figures], bool]]
WANTED: dict[str, Limit] = {
    "centre_error": ("<= 0.01", lambda found, _: found <= 0.01),
    "memory_error": ("<= 0.03", lambda found, _: found <= 0.03),
    "traps_missed": ("0", lambda found, _: found == 0),
    "benchmark_app_ratio": ("within 3 % of 1", lambda found, _: abs(found - 1) <= 0.03),
    "ort_loop_ratio": ("within 3 % of 1", lambda found, _: abs(found - 1) <= 0.03),
    "aa_verify": ("<= 0.02", lambda found, _: found <= 0.02),
    "aa_survey": ("<= 0.04", lambda found, _: found <= 0.04),
    "disturbed_unflagged": ("0", lambda found, _: found == 0),
    "disturbed_survey_p95": (
        "<= aa_survey_p95",
        lambda found, all_: found <= cast(float, all_["aa_survey_p95"]),
    ),
    "measurements_per_minute": (">= 30", lambda found, _: found >= 30),
}
"""Figure to what is wanted, in words and as a rule; the rule also sees all figures."""


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
    parts = args.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"--parts must be of {', '.join(PARTS)}, but has {', '.join(unknown)}")
    args.state.parent.mkdir(parents=True, exist_ok=True)
    now = setting(args)
    known: dict[str, Figures] = {"setting": now}
    if args.state.is_file():
        known = json.loads(args.state.read_text())
    if known["setting"] != now:
        raise SystemExit(f"{args.state} is of {known['setting']}, not of {now}: move it away")
    for part in parts:
        if part not in known:
            print(f"part {part}", flush=True)
            known[part] = PARTS[part](args)
            write_text(args.state, json.dumps(known, indent=1))
    report({name: value for part in known.values() for name, value in part.items()})


def report(found: Figures) -> None:
    """A table with what was wanted, and all figures."""
    table = Table(title="measure")
    for column in ("figure", "wanted", "reached", "kept"):
        table.add_column(column)
    missed = []
    for name, (wanted, holds) in WANTED.items():
        if name in found:
            reached = found[name]
            kept = reached is not None and holds(cast(float, reached), found)
            missed += [] if kept else [name]
            table.add_row(name, wanted, str(reached), "yes" if kept else "NO")
    finish(table, found | {"missed": missed})


if __name__ == "__main__":
    main()
