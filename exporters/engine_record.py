"""What an engine says about itself, in a file beside it: read before the engine is touched.

TensorRT may end the process over an engine that is cut short, or of another version or GPU, so all
of that is checked here first.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from exporters._cuda import Gpu
from fleetfit import InputError, Precision, SurroundingsError, dumps, loads
from fleetfit.codec import check_literals
from fleetfit.files import read_text, write_text

__all__ = ["EngineRecord", "Profile", "check_bytes", "check_place", "read_record", "write_record"]

_LOADED_BY: Final = frozenset({(10, 10), (10, 11), (11, 11)})
"""Major version that built a version-compatible engine, and one that loads it (NVIDIA's TensorRT
documentation, "Engine Compatibility")."""
_AMPERE: Final = (8, 0)
"""What engines for other GPUs need at least (HardwareCompatibilityLevel.AMPERE_PLUS)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """The (batch, seq) an engine takes."""

    least: tuple[int, int]
    usual: tuple[int, int]
    """What it is tuned for."""
    most: tuple[int, int]

    def __post_init__(self) -> None:
        """In order, from 1."""
        for a, b, c in zip(self.least, self.usual, self.most, strict=True):
            if not 1 <= a <= b <= c:
                raise InputError(
                    f"A profile's shapes must grow from 1, but got {self}; build the engine again."
                )

    def __str__(self) -> str:
        """As in ``1x1 to 4x512, tuned for 1x128``."""
        least, usual, most = (f"{b}x{s}" for b, s in (self.least, self.usual, self.most))
        return f"{least} to {most}, tuned for {usual}" if self.is_dynamic else usual

    @property
    def is_dynamic(self) -> bool:
        """Whether there is more than one shape."""
        return self.least != self.most


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRecord:
    """Where an engine was built, for what, and what is in it."""

    tensorrt: str
    """Version, as in ``10.16.1.11``."""
    gpu: str
    capability: tuple[int, int]
    driver: int
    """As in ``Gpu.driver``."""
    compatible: Literal["none", "version", "hardware"]
    precision: Precision
    profile: Profile
    sizes: dict[str, str]
    """The model's metadata (SIZES in exporters.emit)."""
    device_memory_bytes: int
    """Of activations at the largest shapes; weights come on top."""
    layers: dict[str, int]
    """Kind and precision to the number of layers, as in ``{"gemm fp16": 24}``."""
    file_bytes: int
    sha256: str
    """Hexadecimal."""
    format_version: int = 1

    def __post_init__(self) -> None:
        """Known names, sizes from 1, a whole hash."""
        check_literals(self)
        sizes = (self.file_bytes, self.device_memory_bytes + 1, *self.layers.values())
        if min(sizes) < 1 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise InputError(
                "An engine's record must have a file of at least 1 byte, sizes and layer "
                "counts that are not negative, and a SHA-256 of 64 digits, but got "
                f"{self.file_bytes}, {self.device_memory_bytes}, {self.layers}, {self.sha256!r}."
            )


def record_path(engine: Path) -> Path:
    """The record of an engine's file."""
    return engine.with_suffix(".json")


def write_record(engine: Path, record: EngineRecord) -> None:
    """Beside ``engine``; it is not flushed, as little as the engine is."""
    write_text(record_path(engine), dumps(record), flush=False)


def read_record(engine: Path) -> EngineRecord:
    """Raises InputError where it is not there, damaged or of another format."""
    path = record_path(engine)
    text = read_text(path, "An engine's record")
    version = re.search(r'"format_version": ?(\d{1,9})\b', text)  # others may have other fields
    if version and int(version[1]) != 1:
        raise InputError(
            f"An engine's record must have format version 1, but {path} has {version[1]}; install "
            "a version of fleetfit that reads it."
        )
    try:
        return loads(EngineRecord, text)
    except InputError as exc:
        raise InputError(
            f"An engine's record must be as it was written, but {path} is not: "
            f"{str(exc).rstrip('.')}; build the engine again."
        ) from exc


def check_bytes(data: bytes, record: EngineRecord, engine: Path) -> None:
    """Raise InputError unless the engine is whole and the one that the record is about."""
    if len(data) != record.file_bytes:
        raise InputError(
            f"{engine} must have the {record.file_bytes} bytes that were written, but has "
            f"{len(data)}; copy or build it again."
        )
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise InputError(
            f"{engine} must be as it was written, but was changed; copy or build it again."
        )


def check_place(record: EngineRecord, version: str, gpu: Gpu) -> None:
    """Raise SurroundingsError unless the engine may run on this TensorRT and this GPU."""
    if record.tensorrt != version and not (
        record.compatible == "version" and _is_later(version, record.tensorrt)
    ):
        also = " or newer" if record.compatible == "version" else ""
        raise SurroundingsError(
            f"An engine must run on the TensorRT it was built by, {record.tensorrt}{also}, but "
            f"here is {version}; build or export it here."
        )
    if record.compatible == "hardware":
        if gpu.capability < _AMPERE:
            raise SurroundingsError(
                "An engine for other GPUs must run on one of compute capability 8.0 or newer, but "
                f"here is {gpu}; build or export it here."
            )
    elif (record.gpu, record.capability) != (gpu.name, gpu.capability):
        built = "{}, compute capability {}.{}".format(record.gpu, *record.capability)
        raise SurroundingsError(
            f"An engine must run on the GPU it was built on, {built}, but here is {gpu}; build or "
            "export it here, or build it hardware-compatible."
        )


def _is_later(version: str, built: str) -> bool:
    """Whether ``version`` is not older, and of a major version that is known to load it."""
    here, there = (_numbers(v) for v in (version, built))
    return here >= there and (there[0], here[0]) in _LOADED_BY


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal()) or (0,)
