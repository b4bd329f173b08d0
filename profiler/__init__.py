"""Which architectures to measure, measuring them, keeping every measurement."""

from profiler.adaptive import next_batch
from profiler.plan import plan
from profiler.protocol import SurveyProtocol, VerifyProtocol, is_present
from profiler.store import Store
from profiler.survey import SurveySettings, survey
from profiler.verify import VerifySettings, verified, verify

__all__ = [
    "Store",
    "SurveyProtocol",
    "SurveySettings",
    "VerifyProtocol",
    "VerifySettings",
    "is_present",
    "next_batch",
    "plan",
    "survey",
    "verified",
    "verify",
]
