"""Which architectures to measure, measuring them, keeping every measurement."""

from profiler.adaptive import next_batch
from profiler.exchange import Contents, Merged, contents_of, merge
from profiler.floor import NoiseFloor, noise_floors
from profiler.frames import frame
from profiler.parquet import read_parquet, write_parquet
from profiler.plan import plan
from profiler.protocol import SurveyProtocol, VerifyProtocol, is_present
from profiler.repeat import RepeatSettings, repeat
from profiler.store import Store
from profiler.survey import survey
from profiler.survey_settings import SurveySettings
from profiler.verify import (
    ModelFile,
    VerifySettings,
    keep_better,
    verified,
    verify,
    verify_all,
)

__all__ = [
    "Contents",
    "Merged",
    "ModelFile",
    "NoiseFloor",
    "RepeatSettings",
    "Store",
    "SurveyProtocol",
    "SurveySettings",
    "VerifyProtocol",
    "VerifySettings",
    "contents_of",
    "frame",
    "is_present",
    "keep_better",
    "merge",
    "next_batch",
    "noise_floors",
    "plan",
    "read_parquet",
    "repeat",
    "survey",
    "verified",
    "verify",
    "verify_all",
    "write_parquet",
]
