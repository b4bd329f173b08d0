"""Rows from outside: each is read as the value it stands for before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from fleetfit import InputError, Measurement, Precision, dumps, loads
from profiler.rows import Row, row_of
from profiler.visit import Verdict, Visit

__all__ = ["checked_measurement", "checked_quality", "checked_reference", "checked_visit"]


def checked_measurement(row: Mapping[str, Any]) -> Row:
    """The row of the measurement in it: other columns say what it says, the text stays."""
    text, repeat = row["measurement"], row["repeat"]
    made = row_of(loads(Measurement, text), repeat=repeat, text=text)
    if made["digest"] != row["digest"] or repeat < 0:
        raise InputError(
            f"A measurement must have its digest and a repeat >= 0, but that of job "
            f"{made['job_id']} has the digest {row['digest']} and repeat {repeat}."
        )
    return made


def checked_visit(row: Mapping[str, Any]) -> Row:
    """The row of a visit."""
    loads(Visit, row["visit"])
    _check_versions(row)
    if row["verdict"] not in get_args(Verdict):
        known = ", ".join(get_args(Verdict))
        raise InputError(f"A verdict must be one of {known}, but got {row['verdict']!r}.")
    return dict(row)


def checked_quality(row: Mapping[str, Any]) -> Row:
    """The row of a quality."""
    if not math.isfinite(row["value"]) or row["precision"] not in get_args(Precision):
        raise InputError(
            f"A quality must be a finite number in a known precision, but got {row['value']} in "
            f"{row['precision']!r}."
        )
    return dict(row)


def checked_reference(row: Mapping[str, Any]) -> Row:
    """The row of a reading of the reference network."""
    _check_versions(row)
    if not 0 < row["reference_s"] < math.inf:
        raise InputError(
            f"A reading of the reference must be positive finite seconds, but got "
            f"{row['reference_s']}."
        )
    return dict(row)


def _check_versions(row: Mapping[str, Any]) -> None:
    if dumps(loads(dict[str, str], row["versions"])) != row["versions"]:
        raise InputError(f"Versions must be canonical JSON, but got {row['versions']!r}.")
