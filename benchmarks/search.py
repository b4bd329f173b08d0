"""The searched model against the best uniform network, at three budgets on this machine.

    python -m benchmarks.search [--supernet DIR] [--store PATH] [--evaluations N]

Budgets are shares of the largest network's measured latency in its fastest target. Both sides are
free in their target and are verified on this machine with the usual reserve; they are chosen on
WikiText-2 valid and compared on WikiText-2 test (``FLEETFIT_DATA`` names the folder that holds
``corpus/wikitext2``).
The uniform side is favoured: all of its members are evaluated, and all that are possibly within the
budget are measured, best first, until one is. Ours has five tries a search; where all of them miss
it searches again, twice at most, as the message of ``verify`` says: with costs scaled by all that
was verified. A run that was interrupted goes on from the store.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks._report import finish
from devices import describe
from exporters import default_targets
from fleetfit import (
    Budget,
    DeviceInfo,
    InfeasibleError,
    LayerTable,
    Measurement,
    Query,
    Target,
    Workload,
    dumps,
)
from predictors import learn
from profiler import Store, VerifySettings, plan, survey, verified
from search import (
    RESERVE,
    CachedQuality,
    Candidate,
    CostModel,
    Measured,
    PairedGain,
    Problem,
    Ranked,
    SearchSettings,
    calibrate,
    paired_gain,
    search,
    verify_candidates,
    verify_ranked,
)
from supernet.spaces import SearchSpace

SHARES: Final = (0.40, 0.55, 0.70)
LEARNED: Final = 60
SEED: Final = 20
WINDOWS: Final = {"valid": 64, "test": 512}
WORKLOAD: Final = Workload()
SEARCHES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine and what was measured on it."""

    device: DeviceInfo
    targets: tuple[Target, ...]
    store: Store

    def measure(self, candidate: Candidate) -> Measurement:
        """A verification, from the store where it was made before."""
        say(f"verify {candidate}")
        settings = VerifySettings(memory=False)
        query = candidate.query(WORKLOAD)
        return verified([query], store=self.store, device=self.device, settings=settings)[0]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One budget: both sides as verified, the gain on the other text, the plain loop's seconds."""

    share: float
    limit_s: float
    ours: Measured
    rival: Measured
    valid: tuple[float, float]
    test: PairedGain
    plain_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Search against the best uniform network.")
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--store", type=Path, default=Path("runs/benchmarks/measurements.sqlite"))
    parser.add_argument("--evaluations", type=int, default=240)
    options = parser.parse_args()
    options.store.parent.mkdir(parents=True, exist_ok=True)
    device = describe()
    targets = default_targets(device, threads=device.default_threads)
    with Store(f"sqlite:///{options.store.resolve()}") as store:
        machine = Machine(device=device, targets=targets, store=store)
        supernet, qualities, key = load_qualities(options.supernet)
        quality = CachedQuality(qualities["valid"], store=store, key=key)
        contest = Contest(machine, supernet.space, quality, evaluations=options.evaluations)
        outcomes = [contest.run(share, qualities["test"].per_sequence) for share in SHARES]
    worst = min(outcomes, key=lambda o: o.test.gain)
    finish(
        table_of(outcomes),
        {
            "gain": worst.test.gain,
            "gain_se": worst.test.se,
            "within_budget": sum(o.plain_s <= o.limit_s for o in outcomes),
            "gains": [o.test.gain for o in outcomes],
            "gains_se": [o.test.se for o in outcomes],
            "limits_s": [o.limit_s for o in outcomes],
            "plain_s": [o.plain_s for o in outcomes],
            "evaluations": options.evaluations,
            "seed": SEED,
        },
    )


def load_qualities(path: Path) -> tuple[Any, dict[str, Any], str]:
    """The supernet, its loss on each text, and the key of the selection text's losses."""
    from supernet.checkpoint import load, load_tokenizer
    from supernet.quality import HiddenLoss, windows
    from supernet.text import read_lines, read_tokens, restore_wikitext

    checkpoint = load(path)
    tokenizer = load_tokenizer(checkpoint.tokenizer_path)
    folder = Path(os.environ.get("FLEETFIT_DATA", "../shared/data")) / "corpus" / "wikitext2"
    losses = {}
    for name, count in WINDOWS.items():
        stream = read_tokens(restore_wikitext(read_lines(folder / f"{name}.txt")), tokenizer)
        batches = windows(stream, count=count, seq_len=WORKLOAD.seq_len)
        losses[name] = HiddenLoss(checkpoint.supernet, batches)
    return checkpoint.supernet, losses, f"{checkpoint.sha256}-{losses['valid'].data_id}"


class Contest:
    """Both sides at any budget, on one machine, one supernet and one selection text."""

    def __init__(
        self, machine: Machine, space: SearchSpace, quality: CachedQuality, *, evaluations: int
    ) -> None:
        """Profile this machine and learn its latency, unless the store has the measurements."""
        self._machine, self._space, self._quality = machine, space, quality
        self._settings = SearchSettings(evaluations=evaluations, seed=SEED)
        networks = plan(space, LEARNED, np.random.default_rng(SEED))
        queries = [
            Query(architecture=a, target=t, workload=WORKLOAD)
            for t in machine.targets
            for a in networks
        ]
        measured = survey(queries, store=machine.store, device=machine.device, progress=report)
        self._learned, _ = learn(measured, "latency_p50")
        self._verified: dict[Candidate, Measurement] = {}
        largest = [Candidate(architecture=space.largest(), target=t) for t in machine.targets]
        self._source_s = min(self._measure(c).latency_p50_s for c in largest)

    def _measure(self, candidate: Candidate) -> Measurement:
        self._verified[candidate] = self._machine.measure(candidate)
        return self._verified[candidate]

    def _latency(self) -> CostModel:
        """As the command line does: what was verified scales what the survey taught."""
        verified = list(self._verified.values())
        return calibrate({"latency_p50": self._learned}, verified, WORKLOAD)["latency_p50"]

    def run(self, share: float, per_sequence: Callable[..., Any]) -> Outcome:
        """Both sides at ``share`` of the largest network's latency in its fastest target."""
        limit = share * self._source_s
        budget = Budget(metric="latency_p50", relation="<=", limit=limit).stricter(RESERVE)
        ours, ours_loss = self._searched(budget)
        rival, rival_loss = self._uniform(budget)
        losses = [
            per_sequence(m.candidate.architecture, m.candidate.target.precision)
            for m in (ours, rival)
        ]
        return Outcome(
            share=share,
            limit_s=limit,
            ours=ours,
            rival=rival,
            valid=(ours_loss, rival_loss),
            test=paired_gain(*losses),
            plain_s=plain_loop(ours.candidate),
        )

    def _searched(self, budget: Budget) -> tuple[Measured, float]:
        for _ in range(SEARCHES - 1):
            try:
                return self._search_once(budget)
            except InfeasibleError as exc:
                say(str(exc))
        return self._search_once(budget)

    def _search_once(self, budget: Budget) -> tuple[Measured, float]:
        problem = Problem(
            space=self._space,
            targets=self._machine.targets,
            budgets=(budget,),
            costs={"latency_p50": self._latency()},
            workload=WORKLOAD,
        )
        result = search(problem, self._quality, settings=self._settings, progress=report)
        ranked = [Ranked.of(e) for e in result.ranking]
        won = verify_ranked(ranked, self._measure, [budget]).winner
        return won, next(r.loss for r in ranked if r.candidate == won.candidate)

    def _uniform(self, budget: Budget) -> tuple[Measured, float]:
        """The best of all uniform networks that keep the budget when measured."""
        members = sorted({a.id: a for a in self._space.uniform()}.items())
        networks = [arch for _, arch in members]
        table = LayerTable.of(networks)
        loss_of: dict[Candidate, float] = {}
        for target in self._machine.targets:
            losses = self._quality([(arch, target.precision) for arch in networks])
            lower = self._latency().predict_table(table, target, WORKLOAD).lower
            for i in np.flatnonzero(lower <= budget.limit):
                loss_of[Candidate(architecture=networks[i], target=target)] = losses[i]
        # Every one is measured in turn, however many miss: the rival's advantage.
        ranked = sorted(loss_of, key=lambda c: loss_of[c])
        won = verify_candidates(ranked, self._measure, [budget], at_most=len(ranked)).winner
        return won, loss_of[won.candidate]


def plain_loop(candidate: Candidate) -> float:
    """Median seconds of the candidate, timed by a plain loop in a fresh process."""
    query = candidate.query(WORKLOAD)
    command = [sys.executable, "-m", "benchmarks._plain_loop"]
    done = subprocess.run(
        command, input=dumps(query), capture_output=True, text=True, check=True, timeout=600
    )
    return float(done.stdout.split()[-1])


def report(done: int, total: int, what: object) -> None:
    if done % 20 == 0 or done == total:
        say(f"{done} of {total}: {what}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table_of(outcomes: list[Outcome]) -> Table:
    table = Table(title=f"Searched and best uniform network, {WORKLOAD}, seed {SEED}")
    for name in ("budget", "side", "network", "target"):
        table.add_column(name)
    for name in ("p50", "upper", "plain loop", "loss, chosen on", "gain, reported on"):
        table.add_column(name, justify="right")
    for o in outcomes:
        budget = f"{o.share:.0%}, {o.limit_s * 1e3:.2f} ms"
        rows = (("searched", o.ours, o.valid[0]), ("uniform", o.rival, o.valid[1]))
        for side, measured, loss in rows:
            ours = side == "searched"
            table.add_row(
                budget if ours else "",
                side,
                measured.candidate.architecture.summary(),
                str(measured.candidate.target),
                f"{measured.measurement.latency_p50_s * 1e3:.2f} ms",
                f"{measured.measurement.interval_s()[1] * 1e3:.2f} ms",
                f"{o.plain_s * 1e3:.2f} ms" if ours else "",
                f"{loss:.4f}",
                f"{o.test.gain:.4f} ± {o.test.se:.4f}" if ours else "",
            )
    return table


if __name__ == "__main__":
    main()
