"""Search spaces: numpy only, importable on a machine without torch."""

from supernet.spaces.base import SearchSpace
from supernet.spaces.elastic import ElasticChoices, ElasticSpace

__all__ = ["ElasticChoices", "ElasticSpace", "SearchSpace"]
