"""From a fine-tuned network to a bundle: emit, prove equal, measure, judge, write."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from exporters import (
    Artifact,
    Cost,
    Inputs,
    Licence,
    Manifest,
    TaskMetric,
    check_parity,
    emit,
    runtime_of,
    write_bundle,
    write_plain,
)
from fleetfit import (
    Architecture,
    Budget,
    Head,
    InfeasibleError,
    InputError,
    Measurement,
    Query,
)
from fleetfit.files import read_text
from profiler import ModelFile
from search.candidate import Candidate
from search.cost import Estimate
from search.order import Order
from search.texts import Texts
from search.verify import measured_value, shown_value

if TYPE_CHECKING:
    from supernet.task_model import TaskModel

__all__ = ["MeasureFile", "make_bundle"]

Progress = Callable[[int, int, str], None]
"""Called with (done, in all, what is being done)."""
MeasureFile = Callable[[ModelFile], Measurement]
"""Measures an exported model on this machine by the verify protocol, and keeps what it measured."""


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
    where it misses a budget when measured, or its precision costs more of the task's metric than
    ``order.most_loss``; no bundle is written then. A measurement that disagrees with the
    verification before is made once more, and the second counts.
    """
    from devices import describe
    from supernet.network import EncoderNetwork
    from supernet.task_member import read_member

    model, weights = read_member(model_path, order.architecture)
    model = _fitting(model, order)
    arch = model.architecture
    _check(arch, order)
    tokenizer = read_text(model_path / "tokenizer.json", "A tokenizer")
    texts = Texts.of(model, model_path / "tokenizer.json", order)
    graph = emit(arch, weights, workload=order.workload if order.fixed else None)
    query = Candidate(architecture=arch, target=order.target).query(order.workload)
    with tempfile.TemporaryDirectory() as scratch:
        progress(0, 0, f"building {order.target}")
        built = _Built.of(graph, query, texts.calibration, Path(scratch))
        session = runtime_of(order.target).load(built.artifact)
        network = EncoderNetwork.of(arch, weights).eval()
        parity = check_parity(
            session,
            network.reference,
            arch.embedding,
            order.target.precision,
            texts=texts.compared,
        )
        metric = texts.metric(session, network, order, progress)
        _judge_quality(order, metric)
        options = session.properties
        del session
        found = measure(built.file)
        if order.was_disturbed(found):
            found = measure(built.file)
        _judge_cost(query, found, order.budgets)
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
            provenance=model.provenance | {"task": model.task} | texts.provenance,
        )
        return write_bundle(
            out,
            manifest,
            model=built.artifact,
            tokenizer=tokenizer,
            weights=weights,
        )


def _fitting(model: TaskModel, order: Order) -> TaskModel:
    """With texts cut where a fixed shape ends."""
    if not order.fixed or model.max_length <= order.workload.seq_len:
        return model
    least = 5 if model.pairs else 3
    if order.workload.seq_len < least:
        raise InputError(
            f"A fixed length must be at least the {least} tokens of one text, but got "
            f"{order.workload.seq_len}; choose a longer --seq-len."
        )
    return dataclasses.replace(model, max_length=order.workload.seq_len)


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


@dataclass(frozen=True, kw_only=True)
class _Built:
    """What runs, and the emitted fp32 file that it is measured beside."""

    artifact: Artifact
    file: ModelFile

    @classmethod
    def of(
        cls,
        graph: onnx.ModelProto,
        query: Query,
        calibration: Sequence[Inputs],
        scratch: Path,
    ) -> _Built:
        target, workload = query.target, query.workload
        adapter, plain = runtime_of(target), None
        if not adapter.takes_onnx(target):
            plain = write_plain(graph, target, workload, scratch / "plain")
        artifact = adapter.build(graph, target, workload, scratch, calibration=calibration)
        return cls(
            artifact=artifact,
            file=ModelFile(query=query, path=Path(artifact.path), plain=plain),
        )


def _judge_quality(order: Order, metric: TaskMetric | None) -> None:
    """Before anything is measured, which takes longer."""
    if metric is None:
        return
    for budget in order.budgets:
        if budget.metric == "quality_drop":
            _judge(budget, _drop(metric))
    if metric.fp32_value is None or metric.loss_limit is None:
        return
    if metric.fp32_value - metric.value > metric.loss_limit:
        raise InfeasibleError(
            f"{order.target} must keep the {metric.name} within {metric.loss_limit:.2%} of fp32, "
            f"but falls from {_shown(metric.name, metric.fp32_value)} to "
            f"{_shown(metric.name, metric.value)}; choose another precision, more text for "
            "calibration, or a higher --max-loss."
        )


def _judge_cost(query: Query, measured: Measurement, budgets: Sequence[Budget]) -> None:
    candidate = Candidate(architecture=query.architecture, target=query.target)
    for budget in budgets:
        if budget.metric != "quality_drop":
            _judge(budget, measured_value(candidate, measured, budget))


def _judge(budget: Budget, value: float) -> None:
    if budget.excess(value) > 0:
        raise InfeasibleError(
            f"The exported model must keep {budget}, but measured {shown_value(budget, value)}; "
            "verify the next candidate (verify --next), or raise the limit."
        )


def _shown(name: str, value: float) -> str:
    """A correlation is no share."""
    from supernet.spaces import CORRELATIONS

    return f"{value:.3f}" if name in CORRELATIONS else f"{value:.2%}"


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
