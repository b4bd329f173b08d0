"""The configuration of a supernet checkpoint: what a machine without torch may read of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fleetfit.architecture import Architecture
from fleetfit.codec import loads
from fleetfit.errors import InputError
from fleetfit.files import read_text
from supernet.spaces.base import SearchSpace
from supernet.spaces.registry import Choices, SpaceName, build_space, name_of_space
from supernet.spaces.task_record import TaskRecord

__all__ = ["CheckpointConfig", "is_checkpoint", "read_config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """What ``config.json`` holds."""

    format_version: Literal[1] = 1
    space_name: SpaceName = "elastic"
    source: Architecture
    choices: Choices
    pooling: Literal["mean", "first"]
    """How the source pools for sentence tasks."""
    max_length: int
    """Tokens that the source was used with; texts are cut there."""
    licences: dict[str, str] = field(default_factory=dict)
    """What was used (weights, text) to its licence."""
    provenance: dict[str, str] = field(default_factory=dict)
    task: TaskRecord | None = None
    """Of a supernet whose members have learned a task all at once."""

    def __post_init__(self) -> None:
        """The choices are those of the named space, and the lengths fit the positions."""
        named = name_of_space(self.choices)
        if named != self.space_name:
            raise InputError(
                f"CheckpointConfig.space_name must be {named!r} for "
                f"{type(self.choices).__name__}, but got {self.space_name!r}."
            )
        positions = self.source.embedding.max_positions
        for length in (self.max_length, *(() if self.task is None else (self.task.max_length,))):
            if not 3 <= length <= positions:
                raise InputError(
                    f"`3 <= max_length <= {positions}` must hold for this source, but got {length}."
                )

    @property
    def space(self) -> SearchSpace:
        """The search space; raises InputError where the choices do not fit the source."""
        return build_space(self.source, self.choices)


def is_checkpoint(path: Path) -> bool:
    """Whether ``path`` is laid out as a supernet; a fine-tuned network has no ``config.json``."""
    return (path / "config.json").is_file()


def read_config(path: Path) -> CheckpointConfig:
    """The configuration of the checkpoint directory ``path``."""
    file = path / "config.json"
    if not file.exists() and (path / "supernet" / "config.json").is_file():
        raise InputError(
            f"{path} must be a supernet, but is a run of pretrain; give {path}/supernet."
        )
    if not file.exists() and (path / "model.json").is_file():
        raise InputError(f"{path} must be a supernet, but is one fine-tuned network.")
    text = read_text(file, "A checkpoint's config.json")
    try:
        return loads(CheckpointConfig, text)
    except InputError as exc:
        raise InputError(f"{file} must describe a supernet (convert writes one): {exc}") from exc
