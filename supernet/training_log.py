"""What a training run says of each step: a CSV, and TensorBoard events where that is installed."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from fleetfit.files import read_text, write_text

__all__ = ["TrainingLog"]

_HEADER = "step,name,quantity,value"

Figures = Mapping[tuple[str, str], float]
"""(name, quantity) to value: ("largest", "hidden") to a loss, ("step", "learning_rate") to a rate.
"""


class TrainingLog:
    """``loss.csv`` (step, name, quantity, value) and ``tensorboard/`` in ``directory``."""

    def __init__(self, directory: Path, *, step: int) -> None:
        """Begin after ``step``: lines of later steps, and what a kill left of one, are dropped."""
        self._path = directory / "loss.csv"
        kept: list[str] = []
        if self._path.exists():
            lines = read_text(self._path, "The losses of a run").splitlines()
            kept = [x for x in lines if _is_row(x) and int(x.split(",")[0]) <= step]
        write_text(self._path, "\n".join([_HEADER, *kept]) + "\n")
        self._events = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, figures: Figures) -> None:
        """The figures of one step."""
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([step, *key, f"{value:.6g}"] for key, value in figures.items())
        if self._events is not None:
            for (name, quantity), value in figures.items():
                self._events.add_scalar(f"{quantity}/{name}", value, step)

    def close(self) -> None:
        """Flush what TensorBoard has not written."""
        if self._events is not None:
            self._events.close()


def _is_row(line: str) -> bool:
    step, *rest = line.split(",")
    return step.isdecimal() and len(rest) == 3
