"""A network's median latency by a plain loop, in this process alone: query JSON in, seconds out.

    python -m benchmarks._plain_loop < query.json

Shares nothing with the profiler's protocols, so that it can judge them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from exporters import emit, make_inputs, random_weights, runtime_of
from fleetfit import Query, loads

WARMUP: Final = 30
RUNS: Final = 300


def main() -> None:
    query = loads(Query, sys.stdin.read())
    arch, target, workload = query.architecture, query.target, query.workload
    with tempfile.TemporaryDirectory() as directory:
        fixed = workload if target.shapes == "fixed" else None
        model = emit(arch, random_weights(arch), workload=fixed)
        adapter = runtime_of(target)
        session = adapter.load(adapter.build(model, target, workload, Path(directory)))
        inputs = make_inputs(arch.embedding, workload, seed=1, count=8)
        seconds = []
        for run in range(WARMUP + RUNS):
            start = time.perf_counter()
            session.run(inputs[run % len(inputs)])
            seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds[WARMUP:]))


if __name__ == "__main__":
    main()
