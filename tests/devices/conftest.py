from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children find the sample modules of these tests."""
    path = f"{ROOT}:{Path(__file__).parent / 'children'}"
    monkeypatch.setenv("PYTHONPATH", path)
