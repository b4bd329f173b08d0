"""Which architectures to measure, measuring them, keeping every measurement."""

from profiler.adaptive import next_batch
from profiler.exchange import Contents, Merged, contents_of, merge
from profiler.frames import frame
from profiler.parquet import read_parquet, write_parquet
from profiler.plan import plan
from profiler.protocol import SurveyProtocol, VerifyProtocol, is_present
from profiler.store import Store
from profiler.survey import SurveySettings, survey
from profiler.verify import ModelFile, VerifySettings, verified, verify, verify_all

__all__ = [
    "Contents",
    "Merged",
    "ModelFile",
    "Store",
    "SurveyProtocol",
    "SurveySettings",
    "VerifyProtocol",
    "VerifySettings",
    "contents_of",
    "frame",
    "is_present",
    "merge",
    "next_batch",
    "plan",
    "read_parquet",
    "survey",
    "verified",
    "verify",
    "verify_all",
    "write_parquet",
]
