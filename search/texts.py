"""The texts of an export: to calibrate with, to compare on, to score on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporters import Inputs, Session, TaskMetric
from fleetfit import InputError
from fleetfit.files import sha256_of
from search.order import Order
from search.scoring import Examples, LabelledFile, score_session

if TYPE_CHECKING:
    from supernet.network import EncoderNetwork
    from supernet.task_model import TaskModel

__all__ = ["Texts"]

_COMPARED: Final = 64
"""Texts on which outputs are compared with PyTorch's."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What an order's files give for one model."""

    model: TaskModel
    calibration: Sequence[Inputs]
    compared: Sequence[Inputs]
    """Of the test where there is one, else of the calibration."""
    test: Examples | None
    provenance: dict[str, str]
    """For the manifest: where the scales of int8 come from."""

    @classmethod
    def of(cls, model: TaskModel, tokenizer: Path, order: Order) -> Texts:
        """Read and tokenise; raises InputError for files that are not of the model's task."""

        def read(file: LabelledFile | None) -> Examples | None:
            if file is None:
                return None
            return Examples(model, tokenizer, file, order.workload, fixed=order.fixed)

        test, given = order.test, order.calibration
        if test is not None and given is not None:
            _check_apart(test.path, given.path)
        scored, seen = read(test), read(given)
        samples = [] if seen is None else seen.spread(order.calibration_samples)
        shown = scored or seen
        source = {}
        if given is not None and seen is not None:
            count = min(order.calibration_samples, len(seen.encoded))
            source["calibration"] = f"{count} examples of {given.path.name}"
        return cls(
            model=model,
            calibration=samples,
            compared=[] if shown is None else shown.spread(_COMPARED),
            test=scored,
            provenance=source,
        )

    def metric(
        self,
        session: Session,
        network: EncoderNetwork,
        order: Order,
        progress: Callable[[int, int, str], None],
    ) -> TaskMetric | None:
        """The first metric of the task: of the session itself, and of the network in fp32."""
        if self.test is None or order.test is None:
            return None
        name = self.model.metrics[0]
        fp32 = None
        if order.target.precision != "fp32":
            from supernet.tasks import runner, score_network

            progress(0, 0, "scoring the network in fp32")
            fp32 = score_network(runner(network), self.test.task, self.test.encoded)[name]
        scores = score_session(session, self.model, self.test, progress=progress)
        return TaskMetric(
            name=name,
            data=order.test.path.name,
            value=scores[name],
            source_value=order.source_accuracy,
            fp32_value=fp32,
            loss_limit=None if fp32 is None else order.most_loss,
        )


def _check_apart(test: Path, calibration: Path) -> None:
    """Scales that were chosen on the test would flatter it."""
    if sha256_of(test) == sha256_of(calibration):
        raise InputError(
            f"Calibration must be another file than the test, but {calibration} is the same as "
            f"{test}; give texts that were trained on."
        )
