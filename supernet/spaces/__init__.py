"""Search spaces: numpy only, importable on a machine without torch."""

from supernet.spaces.autotinybert import AutoTinyBertChoices, AutoTinyBertSpace
from supernet.spaces.base import SearchSpace, Slicing
from supernet.spaces.config import CheckpointConfig, is_checkpoint, read_config
from supernet.spaces.elastic import ElasticChoices, ElasticSpace
from supernet.spaces.generators import (
    GENERATORS,
    Generator,
    GeneratorName,
    fast_members,
    is_fast,
    shape_members,
    shape_widths,
)
from supernet.spaces.registry import (
    CHOICES,
    Choices,
    SpaceName,
    build_space,
    default_choices,
    name_of_space,
)
from supernet.spaces.supershaper import SuperShaperChoices, SuperShaperSpace
from supernet.spaces.task_record import CORRELATIONS, METRICS, MemberScores, TaskRecord

__all__ = [
    "CHOICES",
    "CORRELATIONS",
    "GENERATORS",
    "METRICS",
    "AutoTinyBertChoices",
    "AutoTinyBertSpace",
    "CheckpointConfig",
    "Choices",
    "ElasticChoices",
    "ElasticSpace",
    "Generator",
    "GeneratorName",
    "MemberScores",
    "SearchSpace",
    "Slicing",
    "SpaceName",
    "SuperShaperChoices",
    "SuperShaperSpace",
    "TaskRecord",
    "build_space",
    "default_choices",
    "fast_members",
    "is_checkpoint",
    "is_fast",
    "name_of_space",
    "read_config",
    "shape_members",
    "shape_widths",
]
