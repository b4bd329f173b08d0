"""Options of ``finetune`` about a teacher and about training all sub-networks at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetfit import InputError
from fleetfit.files import sha256_of
from search.cli.corpus import joined_licences
from search.cli.options import refuse_alone

if TYPE_CHECKING:
    from supernet.finetune import FinetuneConfig, Teacher
    from supernet.finetune_supernet import SupernetTuning
    from supernet.tasks import TaskSource

__all__ = ["MemberOptions", "TeacherOptions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberOptions:
    """``--random-members``, ``--hard-weight`` and ``--soft-weight``; None where not given."""

    random_members: int | None
    hard: float | None
    soft: float | None

    def check(self, *, all_members: bool, teacher: bool) -> None:
        """None of them is given in vain; else InputError."""
        weights = {"hard_weight": self.hard, "soft_weight": self.soft}
        if not all_members:
            refuse_alone("--supernet", random_members=self.random_members, **weights)
        if teacher and any(weight is not None for weight in weights.values()):
            raise InputError(
                "--hard-weight and --soft-weight must be left out with --teacher, from whose "
                "answers all members learn: give --teacher-weight instead."
            )

    def tuning(self, base: FinetuneConfig) -> SupernetTuning:
        """With the defaults for what was not given."""
        from supernet.finetune_supernet import SupernetTuning

        options = {"random_members": self.random_members, "hard": self.hard, "soft": self.soft}
        given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
        return SupernetTuning(base=base, **given)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherOptions:
    """``--teacher`` and ``--teacher-weight``; None where not given."""

    path: Path | None
    weight: float | None

    def __post_init__(self) -> None:
        """A weight is of a teacher; else InputError."""
        if self.path is None:
            refuse_alone("--teacher", teacher_weight=self.weight)

    def read(self, source: TaskSource, tokenizer: object) -> Teacher | None:
        """The teacher, None where there is none; errors as in ``read_teacher``."""
        from supernet.task_model import read_teacher

        if self.path is None:
            return None
        weight = 1.0 if self.weight is None else self.weight
        return read_teacher(self.path, source, tokenizer, weight=weight)

    def facts(self, teacher: Teacher | None) -> dict[str, str]:
        """Of the teacher that was read, for the provenance."""
        if self.path is None or teacher is None:
            return {}
        sha256 = sha256_of(self.path / "encoder.safetensors")
        return {"teacher": sha256[:16], "teacher_weight": f"{teacher.weight:g}"}

    def licences(self, own: Mapping[str, str]) -> dict[str, str]:
        """``own`` with those of the teacher."""
        from supernet.task_model import read_task_model

        if self.path is None:
            return dict(own)
        return joined_licences(own, read_task_model(self.path)[0].licences)
