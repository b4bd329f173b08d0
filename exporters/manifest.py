"""What a bundle says about itself: ``manifest.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from exporters.parity import Parity
from exporters.runtime import files_of
from fleetfit import (
    Architecture,
    Budget,
    DeviceInfo,
    InputError,
    Target,
    Workload,
    dumps,
    from_json,
    to_json,
)
from fleetfit.codec import ADDED_LATER

__all__ = ["FORMAT_VERSION", "Cost", "Licence", "Manifest", "TaskMetric", "read_manifest"]

FORMAT_VERSION = 3
"""1: the first. 2: ``pairs``; a number instead of labels; lengths of the workload, where it has
any. 3: ``model``; parity on texts; the metric in fp32 and its limit. All are read."""
_ALWAYS = ("encoder.safetensors", "tokenizer.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a network costs in the manifest's target and workload; None where not known."""

    latency_p50_s: float | None = None
    latency_p90_s: float | None = None
    memory_bytes: float | None = None
    """Peak resident memory of a process that only loads and runs the model."""
    upper_latency_p50_s: float | None = None
    """Upper end of the interval: 90 % of a prediction, 95 % bootstrap of a measurement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskMetric:
    """How well the model does its task, beside the unshrunk source model trained equally."""

    name: str
    """As in ``accuracy``."""
    data: str
    """What it was computed on: the name of a file, as in ``test.csv``."""
    value: float
    source_value: float | None = None
    fp32_value: float | None = field(default=None, metadata=ADDED_LATER)
    """Of the same network in PyTorch in fp32; None where the model itself is fp32."""
    loss_limit: float | None = field(default=None, metadata=ADDED_LATER)
    """How far ``value`` might have been below ``fp32_value`` at most, in the metric's unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Licence:
    """Whose terms the bundle's parts are under."""

    part: str
    """As in ``weights`` or ``training text``."""
    licence: str
    """SPDX identifier."""
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Everything that someone who finds the directory must know to trust and run it."""

    architecture: Architecture
    device: DeviceInfo
    target: Target
    workload: Workload
    parity: Parity
    max_length: int
    """Tokens, special ones included; longer texts are cut."""
    session: dict[str, str] = field(default_factory=dict)
    """Every session option, read back from the loaded model on the device."""
    budgets: tuple[str, ...] = ()
    """In the syntax of Budget, as in ``latency_p50<=8ms``."""
    predicted: Cost = Cost()
    measured: Cost = Cost()
    metric: TaskMetric | None = None
    truncation: Literal["end"] = "end"
    """Which end of an overlong text is cut off."""
    pairs: bool = False
    """Whether the model takes two texts at once; of an overlong pair the longer text is cut."""
    pooling: Literal["mean", "first"] | None = None
    """The architecture's, for readers who stop here."""
    labels: tuple[str, ...] = ()
    """Of a classification head, in the order of its outputs; none where its output is a number."""
    licences: tuple[Licence, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)
    """Where weights and training came from."""
    model: str = field(default="model.onnx", metadata=ADDED_LATER)
    """The file that the runtime loads; OpenVINO's .xml has its weights in a .bin beside it."""
    files: dict[str, str] = field(default_factory=dict)
    """Relative path to SHA-256 of every file but this one; filled when written."""
    seal: str = ""
    """SHA-256 of this manifest's canonical JSON with an empty seal; filled when written."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Labels, lengths, pooling, parity and paths fit each other."""
        self._check_version()
        head = self.architecture.head
        self._check_labels()
        limit = self.architecture.embedding.max_positions
        if self.target.shapes == "fixed":
            limit = min(limit, self.workload.seq_len)
        two = self.pairs or head.kind == "span"
        if two and self.architecture.embedding.segments < 2:
            raise InputError("A model of pairs must have 2 segments, but this one has 1.")
        least = 5 if two else 2
        if not least <= self.max_length <= limit:
            raise InputError(
                f"`{least} <= max_length <= {limit}` must hold for this model, but got "
                f"{self.max_length}."
            )
        if self.pooling != head.pooling:
            raise InputError(
                f"A manifest's pooling must be its head's {head.pooling!r}, got {self.pooling!r}."
            )
        if not self.parity.holds:
            raise InputError(
                f"A bundled model must agree with PyTorch to {self.parity.limit:.2g}, "
                f"but differs by {self.parity.max_abs_diff:.2g}."
            )
        for budget in self.budgets:
            Budget.parse(budget)
        for name in (self.model, *self.files):
            _check_path(name)

    def sealed(self) -> Manifest:
        """With the seal that its other fields give."""
        data = to_json(dataclasses.replace(self, seal=""))
        if self.format_version == 1:
            del data["pairs"]  # such a file has no such field
        text = dumps(data)
        return dataclasses.replace(self, seal=hashlib.sha256(text.encode()).hexdigest())

    def _check_version(self) -> None:
        known = range(1, FORMAT_VERSION + 1)
        if self.format_version not in known or (self.format_version == 1 and self.pairs):
            raise _newer(self.format_version)
        if self.format_version < 3 and self.model != "model.onnx":
            raise _newer(self.format_version)

    def _check_labels(self) -> None:
        head = self.architecture.head
        wanted = head.outputs if head.kind == "classification" else 0
        if wanted == 1 and not self.labels:
            return
        if len(self.labels) != wanted or len(set(self.labels)) != wanted:
            raise InputError(
                f"A manifest must name {wanted} different labels for its head, "
                f"but got {len(self.labels)} ({len(set(self.labels))} different)."
            )


def read_manifest(text: str, where: str) -> Manifest:
    """The manifest of ``text``; raises InputError for a newer format or anything that is odd."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{where} must be JSON, but is not: {exc}.") from exc
    version = data.get("format_version") if isinstance(data, dict) else None
    # Before anything else: a newer format may have fields that this version cannot know.
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise _newer(version)
    manifest = from_json(Manifest, data)
    needed = {*_ALWAYS, *(path.as_posix() for path in files_of(Path(manifest.model)))}
    missing = sorted(needed - manifest.files.keys())
    if missing:
        raise InputError(f"{where} must list the file {missing[0]}, but it does not.")
    return manifest


def _newer(version: int) -> InputError:
    return InputError(
        f"A bundle's format version must be 1 to {FORMAT_VERSION} (pairs from 2, files other than "
        f"model.onnx from 3), but got {version}; install a version of fleetfit that reads it."
    )


def _check_path(name: str) -> None:
    path = PurePosixPath(name)
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    if not inside or "\\" in name or "\0" in name or str(path) != name:
        raise InputError(f"A bundle's files must lie inside its directory, but got {name!r}.")
