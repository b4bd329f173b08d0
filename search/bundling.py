"""From a fine-tuned network to a bundle: emit, prove equal, measure, judge, write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from exporters import (
    Cost,
    Licence,
    Manifest,
    Parity,
    Session,
    TaskMetric,
    check_parity,
    emit,
    runtime_of,
    write_bundle,
)
from fleetfit import (
    Architecture,
    Budget,
    Head,
    InfeasibleError,
    InputError,
    Measurement,
    Query,
    Target,
    Weights,
    Workload,
)
from fleetfit.files import read_text
from search.candidate import Candidate
from search.cost import Estimate
from search.record import VerifiedRecord
from search.scoring import LabelledFile, score_session
from search.verify import measured_value, shown_value

if TYPE_CHECKING:
    from supernet.task_model import TaskModel

__all__ = ["MeasureFile", "Order", "make_bundle"]

Progress = Callable[[int, int, str], None]
"""Called with (done, in all, what is being done)."""
MeasureFile = Callable[[Query, Path], Measurement]
"""Measures an exported model on this machine by the verify protocol, and keeps what it measured."""

DISAGREEMENT = 0.05
"""Readings of one network that differ by more (relative) say that the machine was disturbed."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a bundle is made for."""

    target: Target
    workload: Workload
    architecture: Architecture | None = None
    """What was verified: the fine-tuned network must have this body, or a task supernet this
    member.
    """
    budgets: tuple[Budget, ...] = ()
    """Absolute."""
    predicted: dict[str, Estimate] = field(default_factory=dict)
    verified_s: float | None = None
    """Median latency that verification measured of the same network."""
    test: LabelledFile | None = None
    """What to score the exported model on."""
    source_accuracy: float | None = None
    """The task's first metric of the source model on that file, fine-tuned equally."""

    @classmethod
    def of(cls, record: VerifiedRecord) -> Order:
        """The order that a verification implies."""
        return cls(
            target=record.target,
            architecture=record.architecture,
            workload=record.workload,
            budgets=record.absolute_budgets,
            predicted=record.predicted,
            verified_s=record.measurement.latency_p50_s,
        )

    def was_disturbed(self, found: Measurement) -> bool:
        """Whether two readings of one network differ by more than 5 %, either way."""
        if self.verified_s is None:
            return False
        return abs(found.latency_p50_s / self.verified_s - 1) > DISAGREEMENT


def make_bundle(
    model_path: Path,
    out: Path,
    *,
    order: Order,
    measure: MeasureFile,
    progress: Progress = lambda done, total, note: None,
) -> Manifest:
    """Export a fine-tuned network, or the ordered member of a task supernet, as a bundle.

    ``model_path`` is its directory, ``out`` that of the bundle.
    Raises InputError where the exported network does not agree with PyTorch, InfeasibleError
    where it misses a budget when measured; no bundle is written then. A measurement that disagrees
    with the verification before is made once more, and the second counts.
    """
    from devices import describe
    from supernet.task_member import read_member

    model, weights = read_member(model_path, order.architecture)
    arch = model.architecture
    _check(arch, order)
    tokenizer = read_text(model_path / "tokenizer.json", "A tokenizer")
    fixed = order.workload if order.target.shapes == "fixed" else None
    graph = emit(arch, weights, workload=fixed)
    query = Candidate(architecture=arch, target=order.target).query(order.workload)
    with tempfile.TemporaryDirectory() as scratch:
        adapter = runtime_of(order.target)
        artifact = adapter.build(graph, order.target, order.workload, Path(scratch))
        session = adapter.load(artifact)
        parity = _parity(session, query, weights)
        metric = _score(session, model, model_path, order, progress)
        options = session.properties
        del session
        found = measure(query, Path(artifact.path))
        if order.was_disturbed(found):
            found = measure(query, Path(artifact.path))
        _judge(query, found, order.budgets, metric)
    manifest = Manifest(
        architecture=arch,
        device=describe(),
        target=order.target,
        workload=order.workload,
        parity=parity,
        max_length=model.max_length,
        session=options,
        budgets=tuple(b.exact for b in order.budgets),
        predicted=_predicted(order.predicted),
        measured=_measured(found),
        metric=metric,
        pairs=model.pairs,
        pooling=arch.head.pooling,
        labels=model.labels,
        licences=_licences(model.licences),
        provenance=model.provenance | {"task": model.task},
    )
    return write_bundle(out, manifest, model=graph, tokenizer=tokenizer, weights=weights)


def _check(arch: Architecture, order: Order) -> None:
    """Refuse, before anything is measured, what could not be judged afterwards."""
    verified = order.architecture
    if verified is not None and arch.with_head(Head()) != verified.with_head(Head()):
        raise InputError(
            f"The fine-tuned network must be the verified one, {verified.summary()}, but is "
            f"{arch.summary()}; fine-tune the network of winner.json."
        )
    drops = [b for b in order.budgets if b.metric == "quality_drop"]
    if drops and (order.test is None or not order.source_accuracy):
        raise InputError(
            "A quality_drop budget must have the task's metric of both models, but one is "
            "missing or 0; give --test and --source-accuracy."
        )


def _parity(session: Session, query: Query, weights: Weights) -> Parity:
    from supernet.network import EncoderNetwork

    network = EncoderNetwork.of(query.architecture, weights)
    embedding, precision = query.architecture.embedding, query.target.precision
    return check_parity(session, network.reference, embedding, precision, seed=0)


def _score(
    session: Session, model: TaskModel, model_path: Path, order: Order, progress: Progress
) -> TaskMetric | None:
    """The first metric of the task, of the session itself."""
    if order.test is None:
        return None
    tokenizer = model_path / "tokenizer.json"
    scores = score_session(session, model, tokenizer, order.test, progress=progress)
    name = model.metrics[0]
    return TaskMetric(
        name=name,
        data=order.test.path.name,
        value=scores[name],
        source_value=order.source_accuracy,
    )


def _judge(
    query: Query, measured: Measurement, budgets: Sequence[Budget], metric: TaskMetric | None
) -> None:
    candidate = Candidate(architecture=query.architecture, target=query.target)
    for budget in budgets:
        if budget.metric == "quality_drop" and metric is not None:
            value = _drop(metric)
        else:
            value = measured_value(candidate, measured, budget)
        if budget.excess(value) > 0:
            raise InfeasibleError(
                f"The exported model must keep {budget}, but measured "
                f"{shown_value(budget, value)}; verify the next candidate (verify --next), "
                "or raise the limit."
            )


def _drop(metric: TaskMetric) -> float:
    """How far the task's metric is below the source model's, relative to it."""
    assert metric.source_value  # see _check
    return 1 - metric.value / metric.source_value


def _predicted(costs: dict[str, Estimate]) -> Cost:
    def mean(name: str) -> float | None:
        return costs[name].mean if name in costs else None

    upper = costs["latency_p50"].upper if "latency_p50" in costs else None
    return Cost(
        latency_p50_s=mean("latency_p50"),
        latency_p90_s=mean("latency_p90"),
        memory_bytes=mean("memory"),
        upper_latency_p50_s=upper,
    )


def _measured(found: Measurement) -> Cost:
    return Cost(
        latency_p50_s=found.latency_p50_s,
        latency_p90_s=found.latency_p90_s,
        memory_bytes=found.memory_bytes,
        upper_latency_p50_s=found.interval_s()[1],
    )


def _licences(found: dict[str, str]) -> tuple[Licence, ...]:
    return tuple(Licence(part=k, licence=v, source="see provenance") for k, v in found.items())
