"""Texts with what is to be learned about them, and their split in two."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

import numpy as np

from fleetfit.errors import InputError

__all__ = ["LabelledTexts", "NumberedTexts", "TaskData", "split", "split_groups"]


class TaskData(Protocol):
    """What can be divided by its examples."""

    def __len__(self) -> int:
        """Number of examples."""

    def take(self, rows: Sequence[int]) -> Self:
        """The examples ``rows``, in that order."""


Data = TypeVar("Data", bound=TaskData)


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """Texts with their labels as indices into ``names``."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...]
    """All labels, sorted."""
    pairs: tuple[str, ...] | None = None
    """The second text of each, where the task is about pairs."""

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Self:
        """The texts ``rows``, in that order."""
        return replace(
            self,
            texts=tuple(self.texts[i] for i in rows),
            labels=tuple(self.labels[i] for i in rows),
            pairs=None if self.pairs is None else tuple(self.pairs[i] for i in rows),
        )


@dataclass(frozen=True, kw_only=True)
class NumberedTexts:
    """Texts with a number each."""

    texts: tuple[str, ...]
    numbers: tuple[float, ...]
    pairs: tuple[str, ...] | None = None
    """The second text of each, where the task is about pairs."""

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Self:
        """The texts ``rows``, in that order."""
        return replace(
            self,
            texts=tuple(self.texts[i] for i in rows),
            numbers=tuple(self.numbers[i] for i in rows),
            pairs=None if self.pairs is None else tuple(self.pairs[i] for i in rows),
        )


def split(data: LabelledTexts, *, share: float, seed: int) -> tuple[LabelledTexts, LabelledTexts]:
    """Training and dev part; ``share`` of each label goes to the dev part.

    At least one text of a label goes there and one stays; a label's only text stays.
    """
    _check_share(share)
    if len(data.names) < 2:
        raise InputError(
            f"A task must have at least two labels, but the only one is {data.names[0]!r}; name "
            "another column."
        )
    rng = np.random.default_rng(seed)
    labels = np.array(data.labels)
    dev: set[int] = set()
    for label in range(len(data.names)):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) > 1:
            held = min(len(rows) - 1, max(1, round(share * len(rows))))
            dev |= {int(r) for r in rows[:held]}
    if not dev:
        raise InputError("A dev part needs a label with at least two texts, but there is none.")
    return _parts(data, dev)


def split_groups(
    data: Data, groups: Sequence[Hashable], *, share: float, seed: int
) -> tuple[Data, Data]:
    """Training and dev part; ``share`` of the groups, at least one, goes whole to the dev part.

    ``groups``: the group of each example. Raises InputError for fewer than two groups.
    """
    _check_share(share)
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise InputError(
            f"A dev part needs at least two groups of examples, but there are {len(names)}; give "
            "more data."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    held = min(len(names) - 1, max(1, round(share * len(names))))
    chosen = {names[i] for i in order[:held]}
    return _parts(data, {i for i, group in enumerate(groups) if group in chosen})


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"`0 < share < 1` must hold for the dev part, but got {share}.")


def _parts(data: Data, dev: set[int]) -> tuple[Data, Data]:
    rest = [i for i in range(len(data)) if i not in dev]
    return data.take(rest), data.take(sorted(dev))
