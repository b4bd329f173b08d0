"""From the shipped supernet to one verified model for this machine, verb by verb.

``make demo`` runs this. Every step is one ``fleetfit`` command that can be typed as it is printed;
what it writes lies in a new directory under ``runs/``. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SUPERNET = ROOT / "supernet" / "default"
TASK = ROOT / "examples" / "banking77"
BUDGETS = ("latency_p50<=50%", "memory<=90%")
SENTENCE = "I lost my card on holiday"
ATTEMPTS = 3
COLUMNS = ("--text-column", "text", "--label-column", "category")
# The source model fine-tuned equally; examples/banking77/README.md has the command.
SOURCE = json.loads((TASK / "source_accuracy.json").read_text())


def fleetfit(verb: str, *arguments: object, missed: bool = False) -> dict[str, Any]:
    """Run one verb as a user would, and read its JSON document.

    Ends with the verb's exit code where it fails; but exit code 3, a missed budget, gives an
    empty document where ``missed`` allows it.
    """
    words = [verb, *map(str, arguments)]
    shown = shlex.join(word.replace(f"{ROOT}/", "") for word in words)
    print(f"\n$ fleetfit {shown}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "search.cli", *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode == 3 and missed:
        return {}
    if done.returncode != 0:
        sys.exit(done.returncode)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def search_to_export(run: Path, attempt: int, *, missed: bool) -> tuple[dict[str, Any], ...]:
    """Search, verify the best candidate, fine-tune it, export it and measure it again, bundle it.

    Returns what verify and export said; the latter is empty where ``missed`` allows that a budget
    was missed and one was.
    """
    # Search the supernet under the budgets. Quality needs no labels: it is how near a
    # sub-network's sentence vectors are to the source model's on the task's own sentences.
    store = ("--store", run / "measurements.db")
    found, model, bundle = (run / f"{what}-{attempt}" for what in ("search", "model", "bundle"))
    budgets = [word for budget in BUDGETS for word in ("--budget", budget)]
    text = ("--text", TASK / "train.csv", "--labels", SOURCE["labels"])
    predictors = ("--predictors", run / "predictors")
    fleetfit("search", SUPERNET, found, *predictors, *budgets, *text, *store)

    # Measure the best candidate in fresh processes before any training is spent on it.
    verified = fleetfit("verify", found, *store, missed=missed)
    if not verified:
        return verified, {}
    winner = ("--architecture", found / "winner.json")
    data = ("--train", TASK / "train.csv", "--test", TASK / "test.csv", "--licence", "CC-BY-4.0")
    fleetfit("finetune", SUPERNET, model, *winner, *data, *COLUMNS)
    order = ("--verified", found / "verified.json", *store)
    test = ("--test", TASK / "test.csv", "--source-accuracy", SOURCE["test_accuracy"])
    made = fleetfit("export", model, bundle, *order, *test, *COLUMNS, missed=missed)
    return verified, made


def main() -> None:
    """Describe, profile, learn, search, verify, finetune, export, run."""
    began = time.monotonic()
    run = ROOT / "runs" / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    run.mkdir(parents=True)
    store = ("--store", run / "measurements.db")
    labels = ("--labels", SOURCE["labels"])

    fleetfit("describe")

    # Measure sub-networks sampled from the supernet's space in every target of this machine,
    # and learn what they cost.
    fleetfit("profile", SUPERNET, *store, *labels, "--networks", 20, "--memory-every", 2)
    fleetfit("learn", run / "predictors", *store)

    # Should all candidates or the exported model miss a budget (exit code 3), as on a machine that
    # has become slower meanwhile, search again: with costs scaled by what was verified.
    verified, made = search_to_export(run, 0, missed=True)
    for attempt in range(1, ATTEMPTS):
        if not made:
            last = attempt == ATTEMPTS - 1
            verified, made = search_to_export(run, attempt, missed=not last)

    bundle = Path(made["bundle"])
    answer = fleetfit("run", bundle, SENTENCE)["answers"][0]
    summary = {
        "total_seconds": round(time.monotonic() - began, 1),
        "budget_latency_s": verified["limits"]["latency_p50"],
        "predicted_latency_s": verified["predicted_latency_s"],
        "measured_latency_s": made["measured"]["latency_p50_s"],
        "measured_memory_bytes": made["measured"]["memory_bytes"],
        "test_accuracy": made["test_accuracy"],
        "source_accuracy": SOURCE["test_accuracy"],
        "answer": next(iter(answer.items())),
        "bundle": str(bundle.relative_to(ROOT)),
    }
    print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
