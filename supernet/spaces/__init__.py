"""Search spaces: numpy only, importable on a machine without torch."""

from supernet.spaces.base import SearchSpace
from supernet.spaces.config import CheckpointConfig, read_config
from supernet.spaces.elastic import ElasticChoices, ElasticSpace

__all__ = ["CheckpointConfig", "ElasticChoices", "ElasticSpace", "SearchSpace", "read_config"]
