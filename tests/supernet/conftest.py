"""One thread: these models are so small that more only wait for each other. And a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from supernet.checkpoint import load_tokenizer
from tests.supernet.tiny import write_tokenizer

torch.set_num_threads(1)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    """The one of ``write_tokenizer``, loaded."""
    return load_tokenizer(write_tokenizer(tmp_path / "tokenizer.json"))
