"""Which architectures to measure, measuring them, keeping every measurement."""

from profiler.adaptive import next_batch
from profiler.plan import plan
from profiler.protocol import SurveyProtocol, VerifyProtocol, is_present
from profiler.store import Store
from profiler.survey import SurveySettings, survey
from profiler.verify import ModelFile, VerifySettings, verified, verify, verify_all

__all__ = [
    "ModelFile",
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
    "verify_all",
]
