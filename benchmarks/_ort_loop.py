"""A model's median latency by a plain ONNX Runtime loop: job JSON in, seconds out.

    python -m benchmarks._ort_loop < job.json

Nothing of this project runs here: the model file, one thread, the library's other defaults.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Final

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
WARMUP: Final = 30
RUNS: Final = 300


def main() -> None:
    import onnxruntime

    job = json.load(sys.stdin)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(
        job["model"], sess_options=options, providers=["CPUExecutionProvider"]
    )
    inputs = [dict(np.load(path)) for path in job["inputs"]]
    seconds = []
    for run in range(WARMUP + RUNS):
        start = time.perf_counter()
        session.run(None, inputs[run % len(inputs)])
        seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds[WARMUP:]))


if __name__ == "__main__":
    main()
