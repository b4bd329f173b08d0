"""The example service under load on the loopback: latency and requests a second.

One text of Banking77 a request, on connections that stay open, from 1, 4 and 16 clients (threads
of this process, so that clients and service share the machine). ``in_process_p50_s``: the median
of ``bundle.predict`` on the same texts without HTTP, one call after the other. Without
``--bundle`` it is a network like the one the demo found, with random weights.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import itertools
import json
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks._report import finish
from benchmarks._service_process import ROOT, Service, served
from devices import describe
from exporters import (
    Manifest,
    all_targets,
    check_parity,
    emit,
    load_bundle,
    random_weights,
    runtime_of,
    write_bundle,
)
from exporters.text import TextEncoder
from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    Head,
    InputError,
    Layer,
    SelfAttention,
    Target,
    Workload,
)

CLIENTS = (1, 4, 16)
LABELS = 77
WARMUP = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What a number of clients saw."""

    clients: int
    latencies_s: tuple[float, ...]
    seconds: float
    failed: int
    """Responses other than 200 with an answer, and broken connections."""

    def figures(self) -> dict[str, float | None]:
        """Median, 99th percentile (None where all failed), throughput, failures."""
        found = self.latencies_s
        p50, p99 = np.quantile(found, (0.5, 0.99)).round(6).tolist() if found else (None, None)
        return {
            "p50_s": p50,
            "p99_s": p99,
            "requests_per_s": round(len(self.latencies_s) / self.seconds, 1),
            "requests": len(self.latencies_s),
            "failed": self.failed,
        }


def network() -> Architecture:
    """Like the demo's winner: three layers of MiniLM, one with a quarter of its feed-forward."""
    return Architecture(
        embedding=Embedding(vocab_size=30522, width=384, max_positions=512, segments=2),
        layers=tuple(
            Layer(
                width=384,
                sublayers=(SelfAttention(heads=12, head_dim=32), FeedForward(widths=(ffn,))),
                projected=False,
                source=i,
            )
            for i, ffn in enumerate((384, 1536, 1536))
        ),
        head=Head(kind="classification", pooling="mean", outputs=LABELS),
    )


def made_bundle(path: Path, target: Target) -> Path:
    """A bundle of ``network()`` with random weights."""
    from supernet.network import EncoderNetwork

    arch, workload = network(), Workload()
    weights = random_weights(arch)
    model = emit(arch, weights)
    tokenizer = (ROOT / "supernet/default/tokenizer.json").read_text(encoding="utf-8")
    encoder = TextEncoder(tokenizer, max_length=128)
    calibration = [encoder.encode([text]) for text in texts()[:64]]
    with tempfile.TemporaryDirectory() as scratch:
        adapter = runtime_of(target)
        artifact = adapter.build(model, target, workload, Path(scratch), calibration=calibration)
        reference = EncoderNetwork.of(arch, weights).eval().reference
        session = adapter.load(artifact)
        parity = check_parity(
            session, reference, arch.embedding, target.precision, texts=calibration
        )
        manifest = Manifest(
            architecture=arch,
            device=describe(),
            target=target,
            workload=workload,
            parity=parity,
            max_length=128,
            session=session.properties,
            pooling="mean",
            labels=tuple(f"label {i}" for i in range(LABELS)),
        )
        write_bundle(path, manifest, model=artifact, tokenizer=tokenizer, weights=weights)
    return path


def texts() -> list[str]:
    """The test sentences of Banking77."""
    with (ROOT / "examples/banking77/test.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def client(port: int, asked: list[str], end_s: float, found: list[float | None]) -> None:
    """Ask until ``end_s``; a latency for each answer, None for anything else."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/json"}
    for text in itertools.cycle(asked):
        start = time.perf_counter()
        if start >= end_s:
            break
        try:
            connection.request("POST", "/predict", json.dumps({"texts": [text]}), headers)
            response = connection.getresponse()
            answers = json.loads(response.read())
            good = response.status == 200 and len(answers) == 1
        except (OSError, ValueError, http.client.HTTPException):  # ValueError: no JSON
            good = False
            connection.close()
        found.append(time.perf_counter() - start if good else None)
    connection.close()


def loaded(service: Service, asked: list[str], clients: int, seconds: float) -> Load:
    """What ``clients`` at once see in ``seconds``."""
    found: list[list[float | None]] = [[] for _ in range(clients)]
    start = time.perf_counter()
    threads = [
        threading.Thread(
            target=client,
            args=(service.port, asked[i::clients], start + seconds, found[i]),
        )
        for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.perf_counter() - start
    every = [one for part in found for one in part]
    good = tuple(one for one in every if one is not None)
    return Load(clients=clients, latencies_s=good, seconds=passed, failed=len(every) - len(good))


def in_process_s(path: Path, asked: list[str], seconds: float) -> float:
    """Median of one ``predict`` after the other."""
    bundle, found = load_bundle(path), []
    end = time.perf_counter() + seconds
    for text in itertools.cycle(asked):
        start = time.perf_counter()
        if start >= end:
            break
        bundle.predict([text])
        found.append(time.perf_counter() - start)
    return float(np.median(found[WARMUP:] or found))


def target_of(name: str) -> Target:
    """The target of this machine with that name; one thread."""
    known = all_targets(describe(), threads=1)
    for target in known:
        if name in (str(target), f"{target.runtime}-{target.precision}"):
            return target
    raise InputError(f"--target must be one of {', '.join(map(str, known))}, but got {name}.")


def shown(seconds: float | None) -> str:
    """For the table."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description="The example service under load.")
    parser.add_argument("--bundle", type=Path, help="of a classification of single texts")
    parser.add_argument("--target", default="onnxruntime-fp32", help="without --bundle")
    parser.add_argument("--seconds", type=float, default=8, help="for each number of clients")
    args = parser.parse_args()
    asked = texts()
    with tempfile.TemporaryDirectory() as scratch:
        path = args.bundle or made_bundle(Path(scratch) / "bundle", target_of(args.target))
        alone_s = in_process_s(path, asked, args.seconds / 2)
        with served(path) as service:
            loaded(service, asked, 1, args.seconds / 4)  # warm
            loads = [loaded(service, asked, clients, args.seconds) for clients in CLIENTS]
            code, _ = service.end()
        target = str(load_bundle(path).manifest.target)
    table = Table(title=f"examples.service, {target}, one text a request")
    for column in ("clients", "p50", "p99", "requests a second", "requests", "failed"):
        table.add_column(column, justify="right")
    figures: dict[str, object] = {"target": target, "in_process_p50_s": round(alone_s, 6)}
    for load in loads:
        one = load.figures()
        times = [shown(one[name]) for name in ("p50_s", "p99_s")]
        counts = [f"{one['requests_per_s']}", f"{one['requests']}", f"{one['failed']}"]
        table.add_row(str(load.clients), *times, *counts)
        figures[f"clients_{load.clients}"] = one
    finish(table, figures | {"exit_code": code})


if __name__ == "__main__":
    main()
