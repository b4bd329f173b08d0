from __future__ import annotations

import subprocess
import sys


def test_importing_search_loads_no_heavy_library() -> None:
    code = (
        "import sys, search; "
        "heavy = {'torch', 'pymoo', 'onnxruntime', 'openvino', 'xgboost', 'sklearn', 'scipy'}; "
        "print(*sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == ""
