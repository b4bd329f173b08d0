"""What is asked of measuring children, as JSON on their stdin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from exporters import Artifact
from fleetfit import InputError, Query
from profiler.protocol import SurveyProtocol, VerifyProtocol

__all__ = ["SurveyRequest", "VerifyRequest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyRequest:
    """Ask a survey child to build the artefact of a query, to visit it, or for the reference."""

    kind: Literal["build", "visit", "reference"]
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


def object_of(data: Any) -> dict[str, Any]:
    """``data`` where it is a JSON object; raises InputError for anything else."""
    if not isinstance(data, dict):
        raise InputError(f"A child's answer must be an object, but got {str(data)[:60]!r}.")
    return data
