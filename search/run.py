"""The search: ask for candidates, evaluate what is new, tell, until the evaluations are spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fleetfit import Architecture, InfeasibleError, Precision
from search.cached import CachedQuality, MemoryQualities, Quality
from search.candidate import Candidate
from search.feasibility import check_feasible
from search.nsga2 import Nsga2
from search.problem import Problem
from search.result import Evaluated, SearchResult, price
from search.settings import SearchSettings

__all__ = ["Progress", "search"]

Progress = Callable[[int, int, float], None]
"""Called with (evaluations done, evaluations at most, lowest feasible loss so far)."""


def search(
    problem: Problem,
    quality: Quality,
    *,
    settings: SearchSettings | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """The best feasible candidates of ``problem``; reproducible for equal settings.

    ``quality`` is asked once for each (architecture, precision), never for a candidate that is
    predicted to miss a budget; only the source model is evaluated in any case, as the reference.
    Raises InfeasibleError, before any evaluation, where nothing is predicted to fit.
    """
    settings = settings or SearchSettings()
    check_feasible(problem, samples=settings.samples, seed=settings.seed)
    run = _Run(problem, CachedQuality(quality, store=MemoryQualities()))
    algorithm = Nsga2(problem, settings=settings)
    found: list[Evaluated] = []
    asked = 0
    while asked < settings.evaluations:
        wanted = min(settings.offspring, settings.evaluations - asked)
        candidates = algorithm.ask(wanted)
        if not candidates:
            break
        asked += len(candidates)
        losses = run.losses(candidates)
        told = [run.judge(c, loss) for c, loss in zip(candidates, losses, strict=True)]
        algorithm.tell(
            candidates,
            losses,
            [e.latency_s / run.scale_s for e in told],
            [max(0.0, e.excess) for e in told],
        )
        for candidate, loss in zip(candidates, losses, strict=True):
            found += run.everywhere(candidate, loss)
        if progress is not None:
            best = min((e.loss for e in found if e.feasible), default=float("inf"))
            progress(asked, settings.evaluations, best)
    result = SearchResult(evaluated=tuple(found), source=run.source, asked=asked)
    _check_found(result)
    return result


class _Run:
    """Evaluation of candidates, with the source model as reference."""

    def __init__(self, problem: Problem, quality: CachedQuality) -> None:
        self._problem = problem
        self._quality = quality
        self._uniform = {a.id for a in problem.space.uniform()}
        largest = problem.space.largest()
        everywhere = [Candidate(architecture=largest, target=t) for t in problem.targets]
        losses = self.losses(everywhere)
        self._source_loss = min(losses)
        self.source = tuple(self.judge(c, x) for c, x in zip(everywhere, losses, strict=True))
        self.scale_s = min(e.latency_s for e in self.source)
        """The source model's latency in its fastest target, seconds."""

    def losses(self, candidates: Sequence[Candidate]) -> list[float]:
        """A loss for each candidate."""
        pairs: list[tuple[Architecture, Precision]] = [
            (c.architecture, c.target.precision) for c in candidates
        ]
        return self._quality(pairs)

    def judge(self, candidate: Candidate, loss: float) -> Evaluated:
        """The candidate with predicted costs and budget excess."""
        costs, excess = price(candidate, self._problem, loss=loss, source_loss=self._source_loss)
        return Evaluated(
            candidate=candidate,
            loss=loss,
            costs=costs,
            excess=excess,
            uniform=candidate.architecture.id in self._uniform,
        )

    def everywhere(self, candidate: Candidate, loss: float) -> list[Evaluated]:
        """The candidate, and the same network in other targets of its precision where it fits."""
        rows = [self.judge(candidate, loss)]
        for target in self._problem.targets:
            same = target.precision == candidate.target.precision
            if same and target != candidate.target:
                other = Candidate(architecture=candidate.architecture, target=target)
                judged = self.judge(other, loss)
                rows += [judged] if judged.feasible else []
        return rows


def _check_found(result: SearchResult) -> None:
    if result.ranking:
        return
    if not result.evaluated:
        raise InfeasibleError(
            "Some network must keep every budget, but the search found none; raise the limits."
        )
    nearest = min(result.evaluated, key=lambda e: e.excess)
    raise InfeasibleError(
        f"Some network must keep every budget, but none does; the nearest is {nearest.candidate}, "
        f"{nearest.excess:.1%} beyond its worst limit at a loss of {nearest.loss:.4g}: raise the "
        "quality_drop or the other limits."
    )
