"""Our emission against ``torch.onnx.export`` (dynamo, warm): time, agreement, latency.

``speedup``: seconds of the exporter over seconds of extraction and emission to bytes, both the
best of their repetitions, worst network. ``max_abs_diff``: largest difference of outputs, both
graphs and both runtimes against PyTorch. ``latency_ratio``: per runtime the median over networks
of (our median run time / the exporter's), worst runtime; runs alternate in one process.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks._eager import EagerNetwork
from benchmarks._report import finish
from exporters import (
    INPUTS,
    RUNTIMES,
    Session,
    emit,
    make_inputs,
    model_bytes,
    random_weights,
)
from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    Head,
    Layer,
    SelfAttention,
    Target,
    Workload,
)
from supernet.spaces import ElasticSpace

if TYPE_CHECKING:
    from supernet.model import Supernet

WORKLOAD = Workload()
_RUNTIMES = {name: found for name, found in RUNTIMES.items() if found.provider == "cpu"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one network gave."""

    architecture: Architecture
    ours_s: float
    exporter_s: float
    nodes: tuple[int, int]
    max_abs_diff: float
    latencies_s: dict[str, tuple[float, float]]
    """Runtime to (ours, the exporter's)."""


def source() -> Architecture:
    """The sizes of the MiniLM that the default supernet comes from."""
    sublayers = (SelfAttention(heads=12, head_dim=32), FeedForward(widths=(1536,)))
    return Architecture(
        embedding=Embedding(vocab_size=30522, width=384, max_positions=512, segments=2),
        layers=tuple(
            Layer(width=384, sublayers=sublayers, projected=False, source=i) for i in range(6)
        ),
        head=Head(kind="embedding", pooling="mean"),
    )


def networks(space: ElasticSpace, count: int) -> list[Architecture]:
    """The largest, the smallest and random members."""
    rng = np.random.default_rng(0)
    rest = [space.sample(rng) for _ in range(count - 2)]
    return [space.largest(), space.smallest(), *rest]


def body(supernet: Supernet, arch: Architecture) -> dict[str, npt.NDArray[np.float32]]:
    """Extracted weights; the embedding head has none of its own."""
    return supernet.extract(arch.with_head(Head()), copy=False)


def by_exporter(module: Any) -> onnx.ModelProto:
    """The module through ``torch.onnx.export``, with the same inputs and axes as ours."""
    import torch

    ids = torch.ones((2, 16), dtype=torch.int64)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("seq", max=512)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            dynamo=True,
            input_names=list(INPUTS),
            # "embedding" would clash with a name that the exporter gives on its way.
            output_names=["sentence_embedding"],
            dynamic_shapes=(axes, axes, axes),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def best_s(action: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def alternate(
    first: Session, second: Session, inputs: Sequence[Any], seconds: float
) -> tuple[float, float]:
    """Median seconds of single runs of two sessions, run by run in changing order."""
    for session in (first, second):
        for _ in range(10):
            session.run(inputs[0])
    samples: tuple[list[float], list[float]] = ([], [])
    end, turn = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or turn < 20:
        pair = ((0, first), (1, second))
        for which, session in pair if turn % 2 else reversed(pair):
            given = inputs[turn % len(inputs)]
            start = time.perf_counter()
            session.run(given)
            samples[which].append(time.perf_counter() - start)
        turn += 1
    return float(np.median(samples[0])), float(np.median(samples[1]))


def compare(
    supernet: Supernet, arch: Architecture, *, repeats: int, seconds: float, threads: int
) -> Row:
    """Everything about one network."""
    weights = body(supernet, arch)
    module = EagerNetwork(arch, weights).eval()
    ours, theirs = emit(arch, weights), by_exporter(module)
    ours_s = best_s(lambda: model_bytes(emit(arch, body(supernet, arch))), repeats)
    exporter_s = best_s(lambda: by_exporter(module).SerializeToString(), repeats)
    inputs = make_inputs(arch.embedding, WORKLOAD, seed=0, count=4)
    padded = make_inputs(
        arch.embedding, Workload(batch=2, seq_len=48, padding=0.3), seed=1, count=1
    )
    diff, latencies = 0.0, {}
    for name, runtime in _RUNTIMES.items():
        target = Target(runtime=runtime.name, threads=threads)
        with tempfile.TemporaryDirectory() as ours_at, tempfile.TemporaryDirectory() as theirs_at:
            pairs = ((ours, ours_at), (theirs, theirs_at))
            one, other = (
                runtime.load(runtime.build(model, target, WORKLOAD, Path(at)))
                for model, at in pairs
            )
            for given in (*inputs, *padded):
                (wanted,) = module.reference(given).values()
                for session in (one, other):
                    (found,) = session.run(given).values()
                    diff = max(diff, float(np.abs(found - wanted).max()))
            latencies[name] = alternate(one, other, inputs, seconds)
    return Row(
        architecture=arch,
        ours_s=ours_s,
        exporter_s=exporter_s,
        nodes=(len(ours.graph.node), len(theirs.graph.node)),
        max_abs_diff=diff,
        latencies_s=latencies,
    )


def table_of(rows: Sequence[Row], threads: int) -> Table:
    """One line per network."""
    table = Table(title=f"Export, {WORKLOAD}, {threads} threads, fp32: ours / torch.onnx.export")
    for column in ("network", "export ms", "speedup", "nodes", "max diff"):
        table.add_column(column)
    for name in _RUNTIMES:
        table.add_column(f"{name} ms")
        table.add_column("ratio")
    for row in rows:
        cells = [
            row.architecture.summary(),
            f"{row.ours_s * 1e3:.0f} / {row.exporter_s * 1e3:.0f}",
            f"{row.exporter_s / row.ours_s:.1f}",
            f"{row.nodes[0]} / {row.nodes[1]}",
            f"{row.max_abs_diff:.1e}",
        ]
        for ours, theirs in row.latencies_s.values():
            cells += [f"{ours * 1e3:.2f} / {theirs * 1e3:.2f}", f"{ours / theirs:.3f}"]
        table.add_row(*cells)
    return table


def main() -> None:
    """Run the comparison."""
    from supernet.model import Supernet

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=8, help="how many, at least 3")
    parser.add_argument("--repeats", type=int, default=3, help="of each export")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing per pair of graphs")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    space = ElasticSpace.of(source())
    import torch

    # After the import, which sets levels of its own; it warns of operators of torchvision.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    weights = random_weights(space.source)
    supernet = Supernet(space, {k: torch.from_numpy(v.copy()) for k, v in weights.items()})
    by_exporter(EagerNetwork(space.smallest(), body(supernet, space.smallest())).eval())
    chosen = networks(space, args.networks)
    rows = [
        compare(supernet, a, repeats=args.repeats, seconds=args.seconds, threads=args.threads)
        for a in track(chosen, "Networks", console=Console(stderr=True), transient=True)
    ]
    ratios = {
        name: float(np.median([a / b for a, b in (r.latencies_s[name] for r in rows)]))
        for name in _RUNTIMES
    }
    figures = {
        "speedup": min(r.exporter_s / r.ours_s for r in rows),
        "max_abs_diff": max(r.max_abs_diff for r in rows),
        "latency_ratio": max(ratios.values()),
        "latency_ratios": ratios,
        "networks": len(rows),
        "threads": args.threads,
    }
    finish(table_of(rows, args.threads), figures)


if __name__ == "__main__":
    main()
