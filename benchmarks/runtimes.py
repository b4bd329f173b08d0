"""Every target of this machine, and the usual ways to export, on four networks.

    python -m benchmarks.runtimes [--supernet DIR] [--source DIR] [--seconds S] [--memory]

For the source model (``--source``: a BERT checkpoint), the largest, a middle and the smallest
member of the supernet, at batch 1 and 8 and 32, 128 and 384 tokens: median latency, peak memory
(``--memory``: minutes more), size of the files, and the largest difference of outputs to PyTorch as
a share of their magnitude, on real text. Runs of all targets alternate in random order in one
process, one thread each.

``int8_speedup``: ONNX Runtime's fp32 over the better of its int8 targets, batch 1, 128 tokens, the
worst network. ``vs_ort_optimizer``, ``vs_ov_convert``: our fp32 latency over that of the faster of
two variants of theirs (the two exporters; explicit attention and torch's own), the worst of all
cells. ``export_s``: the slowest export without quantisation; ``int8_export_s``: with it, on 300
texts. ``fused_by_optimizer``: what ONNX Runtime's optimizer made of each exporter's graph.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks._eager import EagerNetwork
from benchmarks._report import finish
from benchmarks._rivals import Run, rivals
from devices import describe
from exporters import (
    Artifact,
    Inputs,
    all_targets,
    differences,
    emit,
    make_inputs,
    runtime_of,
)
from exporters.text import TextEncoder
from fleetfit import QUANTIZED, Architecture, Head, Query, Target, Weights, Workload

if TYPE_CHECKING:
    from supernet.network import EncoderNetwork

HEAD: Final = Head(kind="embedding", pooling="mean")
GRID: Final = tuple(Workload(batch=b, seq_len=s) for b in (1, 8) for s in (32, 128, 384))
USUAL: Final = Workload()
TEXTS: Final = Path(__file__).parent.parent / "examples" / "banking77"
SAMPLES: Final = 300
RIVALS: Final = {"ort-optimizer": "onnxruntime-fp32-1t", "ov-convert": "openvino-fp32-1t"}
"""The usual way, of whose variants the fastest counts, and the target of ours that is like it."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """One network in one target."""

    target: Target
    artifact: Artifact
    export_s: float
    difference: float
    """Largest, as a share of the outputs' largest magnitude."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One network in every target on one workload: names of targets to figures."""

    network: str
    workload: Workload
    latency_s: dict[str, float]
    memory_bytes: dict[str, int] = field(default_factory=dict)

    def best_s(self, rival: str) -> float:
        """The fastest of a rival's variants."""
        return min(s for name, s in self.latency_s.items() if name.startswith(rival))


def texts(name: str, count: int, encoder: TextEncoder) -> list[Inputs]:
    """Inputs of single texts, spread over one of the example's files."""
    with (TEXTS / name).open(encoding="utf-8", newline="") as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    chosen = np.linspace(0, len(rows) - 1, count).astype(int)
    return [encoder.encode([rows[i]]) for i in chosen]


def build(
    arch: Architecture,
    weights: Weights,
    target: Target,
    given: tuple[Sequence[Inputs], Sequence[Inputs]],
    place: Path,
) -> tuple[Built, Run]:
    """Export, load and compare with PyTorch; ``given``: for calibration, and to compare."""
    from supernet.network import EncoderNetwork

    calibration, compared = given
    adapter = runtime_of(target)
    start = time.perf_counter()
    model = emit(arch, weights)
    artifact = adapter.build(model, target, USUAL, place, calibration=calibration)
    export_s = time.perf_counter() - start
    session, network = adapter.load(artifact), EncoderNetwork.of(arch, weights).eval()
    return Built(
        target=target,
        artifact=artifact,
        export_s=export_s,
        difference=max(_difference(network, session.run, inputs) for inputs in compared),
    ), session.run


def _difference(network: EncoderNetwork, run: Run, inputs: Inputs) -> float:
    diffs, scale = differences(network.reference(inputs), run(inputs), inputs)
    return float(diffs.max()) / scale


def latencies(
    runs: dict[str, Run], inputs: Sequence[Inputs], *, seconds: float, rng: np.random.Generator
) -> dict[str, float]:
    """Median seconds of each; the runs alternate, ``seconds`` for each in the mean."""
    names = list(runs)
    for name in names:
        for given in inputs[:3]:
            runs[name](given)
    samples: dict[str, list[float]] = {name: [] for name in names}
    end, turn = time.perf_counter() + seconds * len(names), 0
    while time.perf_counter() < end or turn < 10:
        given = inputs[turn % len(inputs)]
        for at in rng.permutation(len(names)):
            start = time.perf_counter()
            runs[names[at]](given)
            samples[names[at]].append(time.perf_counter() - start)
        turn += 1
    return {name: float(np.median(found)) for name, found in samples.items()}


def memories(arch: Architecture, built: Sequence[Built], workload: Workload) -> dict[str, int]:
    """Peak resident bytes of a process that only loads and runs each."""
    from profiler.memory import measure_memory

    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for one in built:
            query = Query(architecture=arch, target=one.target, workload=workload)
            use = measure_memory(
                query, one.artifact, scratch=Path(scratch), seed=0, timeout_s=300.0
            )
            found[str(one.target)] = use.peak_bytes
    return found


def networks(path: Path, source: Path | None) -> dict[str, tuple[Architecture, Weights]]:
    """Name to architecture and weights, with the head of this benchmark."""
    from supernet import checkpoint
    from supernet.convert import read_source
    from supernet.named_members import named_members

    found: dict[str, tuple[Architecture, Weights]] = {}
    if source is not None:
        read = read_source(source)
        bare = read.architecture.with_head(Head())
        tensors = {k: v for k, v in read.weights.items() if not k.startswith("head.")}
        body = {k: v.numpy() for k, v in tensors.items()}
        found["source"] = (bare.with_head(HEAD), body)
    supernet = checkpoint.load(path).supernet
    named = named_members(supernet.space)
    for name in ("largest", "middle", "smallest"):
        arch = named[name].with_head(Head())
        found[name] = (arch.with_head(HEAD), supernet.extract(arch))
    return found


def table_of(cells: Sequence[Cell], built: dict[str, list[Built]]) -> Table:
    """A line for each network, workload and target."""
    table = Table(title="Latency, memory, size and agreement, one thread")
    for column in ("network", "workload", "target", "p50 ms", "memory MiB", "MiB", "difference"):
        table.add_column(column)
    for cell in cells:
        known = {str(b.target): b for b in built[cell.network]}
        for name, seconds in cell.latency_s.items():
            one, memory = known.get(name), cell.memory_bytes.get(name)
            table.add_row(
                cell.network,
                str(cell.workload),
                name,
                f"{seconds * 1e3:.2f}",
                "-" if memory is None else f"{memory / 2**20:.0f}",
                "-" if one is None else f"{one.artifact.file_bytes / 2**20:.1f}",
                "-" if one is None else f"{one.difference:.1e}",
            )
    return table


def figures_of(cells: Sequence[Cell], built: dict[str, list[Built]]) -> dict[str, object]:
    """The figures of the last line."""
    every = [b for found in built.values() for b in found]
    plain = [b.export_s for b in every if b.target.precision not in QUANTIZED]
    int8 = [b.export_s for b in every if b.target.precision in QUANTIZED]
    ratios = {
        rival: [c.latency_s[ours] / c.best_s(rival) for c in cells if rival in c.latency_s]
        for rival, ours in RIVALS.items()
    }
    worst = {rival: max(found, default=None) for rival, found in ratios.items()}
    median = {rival: float(np.median(found)) for rival, found in ratios.items() if found}
    speedups = {c.network: _speedup(c.latency_s) for c in cells if c.workload == USUAL}
    return {
        "int8_speedup": min((s for s in speedups.values() if s is not None), default=None),
        "int8_speedups": speedups,
        "vs_ort_optimizer": worst["ort-optimizer"],
        "vs_ov_convert": worst["ov-convert"],
        "vs_median": median,
        "export_s": max(plain),
        "int8_export_s": max(int8, default=None),
        "cells": [
            {"network": c.network, "batch": c.workload.batch, "seq_len": c.workload.seq_len}
            | {"latency_s": c.latency_s, "memory_bytes": c.memory_bytes}
            for c in cells
        ],
        "differences": {n: {str(b.target): b.difference for b in f} for n, f in built.items()},
    }


def _speedup(latency_s: dict[str, float]) -> float | None:
    names = [f"onnxruntime-{precision}-1t" for precision in QUANTIZED]
    found = [latency_s[name] for name in names if name in latency_s]
    return latency_s["onnxruntime-fp32-1t"] / min(found) if found else None


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--source", type=Path)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each target in each cell")
    parser.add_argument("--memory", action="store_true", help="measure peak memory, too")
    options = parser.parse_args()
    tokenizer = (options.supernet / "tokenizer.json").read_text(encoding="utf-8")
    encoder = TextEncoder(tokenizer, max_length=128)
    given = (texts("train.csv", SAMPLES, encoder), texts("test.csv", 32, encoder))
    chosen = networks(options.supernet, options.source)
    # Engines and GPUs have other questions: their profiles end, their copies count.
    targets = [t for t in all_targets(describe(), threads=1) if t.provider == "cpu"]
    rng = np.random.default_rng(0)
    cells: list[Cell] = []
    built: dict[str, list[Built]] = {}
    fused: dict[str, dict[str, dict[str, int]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in track(chosen, "Networks", console=Console(stderr=True), transient=True):
            arch, weights = chosen[name]
            place = Path(scratch) / name
            found = [build(arch, weights, t, given, place / str(t)) for t in targets]
            others, fused[name] = checked_rivals(arch, weights, place)
            runs = {str(b.target): run for b, run in found} | others
            built[name] = [b for b, _ in found]
            for workload in GRID:
                inputs = list(make_inputs(arch.embedding, workload, seed=1, count=8))
                cells.append(
                    Cell(
                        network=name,
                        workload=workload,
                        latency_s=latencies(runs, inputs, seconds=options.seconds, rng=rng),
                        memory_bytes=memories(arch, built[name], workload)
                        if options.memory
                        else {},
                    )
                )
            del runs, found, others
    finish(table_of(cells, built), figures_of(cells, built) | {"fused_by_optimizer": fused})


def checked_rivals(
    arch: Architecture, weights: Weights, place: Path
) -> tuple[dict[str, Run], dict[str, dict[str, int]]]:
    """The same network by the usual ways; see ``rivals``."""
    (inputs,) = make_inputs(arch.embedding, USUAL, seed=0, count=1)
    (wanted,) = EagerNetwork(arch, weights).eval().reference(inputs).values()
    found, fused = rivals(arch, weights, place)
    for name, run in found.items():
        assert np.abs(run(inputs)[0] - wanted).max() < 1e-4, f"{name} computes something else"
    return found, fused


if __name__ == "__main__":
    main()
