"""A cost predictor on disk: ``predictor.json`` and the trees as XGBoost JSON beside it.

History of the format: version 2 numbers the tree files and drops the versions of protocols.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from fleetfit.codec import dumps, from_json
from fleetfit.errors import InputError
from fleetfit.files import check_new, read_text, write_bytes, write_text
from predictors.features import SHAPE_FEATURES, term_names
from predictors.metric import CostMetric
from predictors.model import CostModel
from predictors.provenance import Provenance
from predictors.report import Report
from predictors.residual import Residual
from predictors.roofline import Roofline

__all__ = ["FORMAT_VERSION", "Stored", "read_stored", "write_stored"]

FORMAT_VERSION = 2
_MAIN = "predictor.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What a directory holds."""

    metric: CostMetric
    provenance: Provenance
    models: tuple[CostModel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _ModelFile:
    """A CostModel without its trees; target, workload and interval stand in the report."""

    roofline: Roofline
    report: Report
    trees_sha256: str | None
    """Hash of the tree file; None for 0 rounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _MainFile:
    """``predictor.json``."""

    format_version: int
    metric: CostMetric
    provenance: Provenance
    terms: tuple[str, ...]
    shape_features: tuple[str, ...]
    models: tuple[_ModelFile, ...]


def write_stored(path: Path, stored: Stored) -> None:
    """Write the directory; InputError unless it is new or empty, SurroundingsError if full."""
    check_new(path)
    entries = []
    for number, model in enumerate(stored.models):
        data = model.residual.to_bytes()
        if data:
            write_bytes(path / _tree_name(number), data)
        entries.append(
            _ModelFile(
                roofline=model.roofline,
                report=model.report,
                trees_sha256=hashlib.sha256(data).hexdigest() if data else None,
            )
        )
    main = _MainFile(
        format_version=FORMAT_VERSION,
        metric=stored.metric,
        provenance=stored.provenance,
        terms=term_names(stored.metric),
        shape_features=SHAPE_FEATURES,
        models=tuple(entries),
    )
    write_text(path / _MAIN, dumps(main) + "\n")


def read_stored(path: Path) -> Stored:
    """Read and check a directory; raises InputError for anything that does not fit."""
    text = read_text(path / _MAIN, "A predictor")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InputError(
            f"{path / _MAIN} must be valid JSON, but is not; learn the predictor again."
        ) from exc
    version = data.get("format_version") if isinstance(data, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path / _MAIN} must have format version {FORMAT_VERSION}, but got {version!r}; "
            "learn the predictor again."
        )
    main = from_json(_MainFile, data)
    if main.terms != term_names(main.metric) or main.shape_features != SHAPE_FEATURES:
        raise InputError(
            f"{path / _MAIN} must have the features of this version, but has others; "
            "learn the predictor again."
        )
    models = tuple(_read_model(path, main, number) for number in range(len(main.models)))
    return Stored(metric=main.metric, provenance=main.provenance, models=models)


def _read_model(path: Path, main: _MainFile, number: int) -> CostModel:
    entry = main.models[number]
    report = entry.report
    fits = report.metric == main.metric and len(entry.roofline.prices) == len(main.terms)
    trees = (report.rounds == 0) == (entry.trees_sha256 is None) and report.rounds >= 0
    if not fits or not trees or report.half_width < 0:
        raise InputError(
            f"{path / _MAIN} must agree in metric, terms, rounds and interval for "
            f"{report.target}, but does not; learn the predictor again."
        )
    sha256 = entry.trees_sha256
    data = b"" if sha256 is None else _read_trees(path / _tree_name(number), sha256)
    residual = Residual.from_bytes(data, rounds=report.rounds, features=len(SHAPE_FEATURES))
    return CostModel(
        metric=main.metric,
        target=report.target,
        workload=report.workload,
        roofline=entry.roofline,
        residual=residual,
        report=report,
    )


def _read_trees(file: Path, sha256: str) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise InputError(
            f"A predictor must have all its files, but {file} is not readable; "
            "learn the predictor again."
        ) from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(
            f"{file} must be unchanged since it was written, but its hash differs; "
            "learn the predictor again."
        )
    return data


def _tree_name(number: int) -> str:
    return f"trees-{number}.json"
