"""The spaces by name: what a checkpoint's configuration can hold."""

from __future__ import annotations

from typing import Final, Literal, assert_never

from fleetfit.architecture import Architecture
from supernet.spaces.autotinybert import AutoTinyBertChoices, AutoTinyBertSpace
from supernet.spaces.base import SearchSpace
from supernet.spaces.elastic import ElasticChoices, ElasticSpace
from supernet.spaces.supershaper import SuperShaperChoices, SuperShaperSpace

__all__ = ["CHOICES", "Choices", "SpaceName", "build_space", "default_choices", "name_of_space"]

SpaceName = Literal["elastic", "supershaper", "autotinybert"]
Choices = ElasticChoices | SuperShaperChoices | AutoTinyBertChoices

CHOICES: Final[dict[SpaceName, type[Choices]]] = {
    "elastic": ElasticChoices,
    "supershaper": SuperShaperChoices,
    "autotinybert": AutoTinyBertChoices,
}
"""The choices of each space; ``scaled_to`` gives those with every dimension for a source."""


def default_choices(kind: type[Choices], source: Architecture) -> Choices:
    """What ``convert`` takes for a source: of the elastic space the dimensions that paid."""
    return kind.paying(source) if kind is ElasticChoices else kind.scaled_to(source)


def name_of_space(choices: Choices) -> SpaceName:
    """The space that ``choices`` belong to."""
    return next(name for name, kind in CHOICES.items() if isinstance(choices, kind))


def build_space(source: Architecture, choices: Choices) -> SearchSpace:
    """The space of ``choices`` around ``source``; raises InputError where they do not fit."""
    match choices:
        case ElasticChoices():
            return ElasticSpace(source=source, choices=choices)
        case SuperShaperChoices():
            return SuperShaperSpace(source=source, choices=choices)
        case AutoTinyBertChoices():
            return AutoTinyBertSpace(source=source, choices=choices)
        case _:
            assert_never(choices)
