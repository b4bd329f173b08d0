"""What is asked of measuring children, as JSON on their stdin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporters import Artifact
from fleetfit import Query
from profiler.artifacts import Built
from profiler.protocol import SurveyProtocol, VerifyProtocol

__all__ = ["BuildRequest", "Prepared", "SurveyRequest", "VerifyRequest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """Ask a survey child to prepare a query for measuring."""

    kind: Literal["build"] = "build"
    query: Query
    directory: str
    """Where the artefact stands or is to be built; the reference network's stands beside it."""
    seed: int
    artifact: Artifact | None = None
    """A given model that is measured in the place of random weights."""
    plain: str = ""
    """Its emitted fp32 ONNX file; empty where the artefact is that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """All that a fresh process needs to time a query."""

    built: Built | None
    """None for a given model."""
    expected: str
    """File of the outputs that must come (``profiler.outputs``)."""
    plain_run_s: float
    """Seconds that the plain graph took for them: a guess at how slow the network is."""
    reference: Artifact
    """The reference network."""
    reference_expected: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyRequest:
    """Ask a survey child to visit a query or to time the reference; it builds what is missing."""

    kind: Literal["visit", "reference"]
    query: Query
    directory: str
    """Where the artefact stands or is to be built."""
    seed: int
    protocol: SurveyProtocol
    keep_bytes: int = 0
    """The child keeps what it loads as long as its resident memory is not above this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRequest:
    """Ask a fresh child to time an artefact carefully."""

    query: Query
    artifact: Artifact
    expected: str
    reference: Artifact
    reference_expected: str
    seed: int
    protocol: VerifyProtocol
