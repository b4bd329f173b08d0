"""Which architectures to measure, measuring them, keeping every measurement."""

from profiler.exchange import Contents, Merged, contents_of, merge
from profiler.frames import frame
from profiler.parquet import read_parquet, write_parquet
from profiler.plan import plan
from profiler.protocol import SurveyProtocol, VerifyProtocol, is_present
from profiler.store import Store
from profiler.survey import SurveySettings, survey
from profiler.verify import VerifySettings, verified, verify

__all__ = [
    "Contents",
    "Merged",
    "Store",
    "SurveyProtocol",
    "SurveySettings",
    "VerifyProtocol",
    "VerifySettings",
    "contents_of",
    "frame",
    "is_present",
    "merge",
    "plan",
    "read_parquet",
    "survey",
    "verified",
    "verify",
    "write_parquet",
]
