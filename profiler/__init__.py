"""Which architectures to measure, measuring them, keeping every measurement."""

from profiler.bench import Bench
from profiler.plan import plan
from profiler.protocol import SurveyProtocol, VerifyProtocol
from profiler.store import Store
from profiler.survey import Progress, Survey, SurveySettings, survey
from profiler.verify import VerifySettings, verify
from profiler.visit import MemoryUse, Visit
from profiler.workers import WorkerBench

__all__ = [
    "Bench",
    "MemoryUse",
    "Progress",
    "Store",
    "Survey",
    "SurveyProtocol",
    "SurveySettings",
    "VerifyProtocol",
    "VerifySettings",
    "Visit",
    "WorkerBench",
    "plan",
    "survey",
    "verify",
]
