"""What the suites of the exporters share."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters import Manifest
from fleetfit import Architecture, DeviceInfo
from tests.exporters.bundles import (
    Write,
    build_bundle,
    build_device,
    build_manifest,
    build_mixed,
    build_tokenizer,
)


@pytest.fixture
def mixed() -> Architecture:
    """``build_mixed()``."""
    return build_mixed()


@pytest.fixture
def device() -> DeviceInfo:
    """``build_device()``."""
    return build_device()


@pytest.fixture(scope="session")
def tokenizer() -> str:
    """``build_tokenizer()``."""
    return build_tokenizer()


@pytest.fixture
def manifest() -> Manifest:
    """``build_manifest()``."""
    return build_manifest()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes ``bundle`` in the test's directory."""
    return lambda manifest: build_bundle(tmp_path / "bundle", manifest)
