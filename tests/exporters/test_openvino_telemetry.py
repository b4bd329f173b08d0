"""OpenVINO calls nobody: its telemetry is never imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino")


@pytest.mark.parametrize("load", ["adapter", "memory"])
def test_the_telemetry_is_not_imported(load: str) -> None:
    if load == "memory":
        code = "import profiler.memory_child as m; m._openvino()"
    else:
        code = "import exporters; exporters.runtime('openvino').version()"
    code += "; import sys; print(sys.modules['openvino_telemetry'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "None"
