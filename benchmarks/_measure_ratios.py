"""Our medians against other tools' on the same file and inputs, in turns."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from devices import describe
from exporters import default_targets, emit, make_inputs, random_weights, runtime
from fleetfit import Architecture, Query, Target, Workload
from profiler import ModelFile, VerifyProtocol, VerifySettings, verify
from supernet.spaces import read_config

ROUNDS: Final = 9
WORKLOAD: Final = Workload()
ONE_PROCESS: Final = VerifySettings(
    protocol=dataclasses.replace(
        VerifyProtocol(), processes=1, most_processes=1, extra_processes=0
    ),
    memory=False,
)
Reading = Callable[[], float]


def figures(args: argparse.Namespace) -> dict[str, object]:
    """Shapes are fixed: benchmark_app takes no others in its synchronous mode."""
    space = read_config(args.supernet).space
    networks = {"smallest": space.smallest(), "largest": space.largest()}
    device = describe()
    targets = [
        dataclasses.replace(t, shapes="fixed")
        for t in default_targets(device, threads=1)  # the file is the emitted one, so no int8
        if t.provider == "cpu"
    ]
    found: dict[str, dict[str, float]] = {"onnxruntime": {}, "openvino": {}}
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            for name, arch in networks.items():
                place = Path(folder) / f"{target}-{name}"
                place.mkdir()
                ratio = compared(arch, target, place)
                found[target.runtime][f"{target}, {name}"] = round(ratio, 4)
                print(f"  {target}, {name}: {ratio:.4f}", flush=True)
    return {
        "benchmark_app_ratio": farthest(found["openvino"]),
        "benchmark_app_ratios": found["openvino"],
        "ort_loop_ratio": farthest(found["onnxruntime"]),
        "ort_loop_ratios": found["onnxruntime"],
    }


def farthest(ratios: dict[str, float]) -> float | None:
    """The one that is farthest from 1; None where the runtime is not installed."""
    return max(ratios.values(), key=lambda r: abs(r - 1), default=None)


def compared(arch: Architecture, target: Target, place: Path) -> float:
    """Median over the rounds of our median over the other's."""
    query = Query(architecture=arch, target=target, workload=WORKLOAD)
    model = place / "model.onnx"
    onnx.save(emit(arch, random_weights(arch, seed=0), workload=WORKLOAD), model)
    inputs = make_inputs(arch.embedding, WORKLOAD, seed=0, count=8)

    def ours() -> float:
        found = verify(ModelFile(query=query, path=model), device=describe(), settings=ONE_PROCESS)
        return found.latency_p50_s

    rival = benchmark_app if target.runtime == "openvino" else ort_loop
    other = rival(target, model, inputs)
    ratios = []
    for number in range(ROUNDS):
        order: list[Reading] = [ours, other] if number % 2 == 0 else [other, ours]
        times = {reading: reading() for reading in order}
        ratios.append(times[ours] / times[other])
    return statistics.median(ratios)


def benchmark_app(target: Target, model: Path, inputs: list[dict[str, Any]]) -> Reading:
    """The median latency that benchmark_app prints, with our session's options."""
    place = model.parent
    paths = []
    for name in inputs[0]:
        files = [place / f"{name}-{k}.npy" for k in range(len(inputs))]
        for file, values in zip(files, inputs, strict=True):
            np.save(file, values[name])
        paths.append(f"{name}:{','.join(map(str, files))}")
    options = runtime("openvino").options(target)["properties"]
    config = place / "config.json"
    config.write_text(json.dumps({"CPU": options}))
    command = [
        sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()",
        "-m", str(model), "-d", "CPU", "-api", "sync", "-hint", "none", "-t", "3",
        "-load_config", str(config), "-i", ",".join(paths),
        "-inference_only", "False",  # else it runs the first input over and over
        "-report_type", "no_counters", "-json_stats", "-report_folder", str(place),
    ]  # fmt: skip

    def read() -> float:
        subprocess.run(command, check=True, capture_output=True)
        report = json.loads((place / "benchmark_report.json").read_text())
        return float(report["execution_results"]["latency (ms)"]) / 1e3

    return read


def ort_loop(target: Target, model: Path, inputs: list[dict[str, Any]]) -> Reading:
    """The median of a plain loop in a fresh process (``benchmarks._ort_loop``)."""
    paths = []
    for number, values in enumerate(inputs):
        path = model.parent / f"inputs-{number}.npz"
        np.savez(path, **values)
        paths.append(str(path))
    job = json.dumps({"model": str(model), "inputs": paths, "threads": target.threads})

    def read() -> float:
        command = [sys.executable, "-m", "benchmarks._ort_loop"]
        done = subprocess.run(command, input=job, capture_output=True, text=True, check=True)
        return float(done.stdout)

    return read
