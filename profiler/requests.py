"""What is asked of measuring children, as JSON on their stdin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporters import Artifact
from fleetfit import Query
from profiler.protocol import SurveyProtocol, VerifyProtocol

__all__ = ["BuildRequest", "SurveyRequest", "VerifyRequest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """Ask a survey child to build the artefact of a query."""

    kind: Literal["build"] = "build"
    query: Query
    directory: str
    """Where the artefact stands or is to be built."""
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyRequest:
    """Ask a survey child to visit a query or to time the reference; it builds what is missing."""

    kind: Literal["visit", "reference"]
    query: Query
    directory: str
    """Where the artefact stands or is to be built."""
    seed: int
    protocol: SurveyProtocol


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRequest:
    """Ask a fresh child to time an artefact carefully."""

    query: Query
    artifact: Artifact
    seed: int
    protocol: VerifyProtocol
