"""What each part of the training buys: short runs that differ in one thing each.

    python -m benchmarks.ablation --source DIR --store PATH [--out DIR] [NAME ...]

Every variant starts from the same BERT checkpoint and sees the same tokens (or the same cost, where
it says so). Then the best network below 40, 55 and 70 % of the source's latency is chosen on
WikiText-2 valid and judged on WikiText-2 test and by a linear probe on Banking77: logistic
regression on frozen mean-pooled states. Results are kept by variant in ``results.json``; a run that
was interrupted goes on. ``FLEETFIT_DATA`` names the data folder. Latencies are predicted, from the
survey rows of ``--store``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from benchmarks._report import finish
from fleetfit import Architecture, LayerTable, Workload
from fleetfit.files import write_text
from predictors import learn
from profiler import Store
from supernet import checkpoint
from supernet.convert import read_source
from supernet.forward import Batch, pool
from supernet.importance import permute
from supernet.losses import LossWeights
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.pretrain import Placement, Pretraining
from supernet.pretrain_config import PretrainConfig
from supernet.quality import HiddenLoss, encode_texts, pad, source_network, windows
from supernet.sampling import Sampling
from supernet.spaces import ElasticChoices, SearchSpace, build_space
from supernet.text import TokenStream, read_lines, read_tokens, restore_wikitext

SHARES: Final = (0.40, 0.55, 0.70)
TOKENS: Final = 524_288
CHOICES: Final = ElasticChoices(
    depths=(3, 4, 5, 6),
    embedding_widths=(240, 288, 336, 384),
    widths=(240, 288, 336, 384),
    heads=(6, 8, 12),
    ffns=(384, 768, 1152, 1536),
)
WORKLOAD: Final = Workload()


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One run: what differs from the basic recipe."""

    sampling: Sampling = field(default_factory=Sampling)
    losses: LossWeights = field(default_factory=LossWeights)
    fixed: tuple[str, ...] = ()
    """Dimensions that are not elastic."""
    permuted: bool = True
    tokens: int = TOKENS
    head_tokens: int = 0
    batch_tokens: int = 4096
    learning_rate: float = 5e-4
    seed: int = 0


def _losses(**weights: Any) -> LossWeights:
    return LossWeights(**({"hidden": 0.0} | weights))


# "thin ends": the largest and the smallest in every fourth step only, at equal cost.
# A step of the sandwich costs about 2.4 steps of a single path: 3 x (1 + 0.1 + 0.45) + 1 (teacher)
# against 3 x 0.45 + 1 forward passes of the source.
VARIANTS: Final[dict[str, Variant]] = {
    "basic": Variant(),
    "heads fixed": Variant(fixed=("heads",)),
    "depth fixed": Variant(fixed=("depths",)),
    "width fixed": Variant(fixed=("widths",)),
    "embedding fixed": Variant(fixed=("embedding_widths",)),
    "ffn fixed": Variant(fixed=("ffns",)),
    "hidden states of all layers": Variant(losses=LossWeights(hidden_layers="all")),
    "batch of 2048": Variant(batch_tokens=2048),
    "basic, seed 1": Variant(seed=1),
    "single path, equal cost": Variant(
        sampling=Sampling(strategy="single_path"), tokens=int(2.4 * TOKENS)
    ),
    "batch-wise, 3 random": Variant(sampling=Sampling(strategy="batch_wise", random_members=3)),
    "independent draws": Variant(sampling=Sampling(distribution="independent")),
    "not permuted": Variant(permuted=False),
    "masked LM alone": Variant(losses=_losses(masked_lm=1.0), head_tokens=300_000),
    "masked LM + in place": Variant(
        losses=_losses(masked_lm=1.0, in_place=1.0), head_tokens=300_000
    ),
    "hidden + masked LM + in place": Variant(
        losses=LossWeights(masked_lm=0.1, in_place=0.1), head_tokens=300_000
    ),
    "hidden + scores": Variant(losses=LossWeights(scores=0.1)),
    "two random": Variant(sampling=Sampling(random_members=2)),
    "single path, equal tokens": Variant(sampling=Sampling(strategy="single_path")),
    "learning rate 1e-3": Variant(learning_rate=1e-3),
    "heads fixed, 2048": Variant(fixed=("heads",), batch_tokens=2048),
    "heads fixed, 2048, thin ends": Variant(
        fixed=("heads",),
        batch_tokens=2048,
        sampling=Sampling(random_members=2, ends_every=4),
        tokens=int(1.25 * TOKENS),
    ),
    "heads fixed, 2048, all layers": Variant(
        fixed=("heads",), batch_tokens=2048, losses=LossWeights(hidden_layers="all")
    ),
    "heads and width fixed, 2048": Variant(fixed=("heads", "widths"), batch_tokens=2048),
    "heads, width and ffn fixed, 2048": Variant(
        fixed=("heads", "widths", "ffns"), batch_tokens=2048
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What each part of the training buys.")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--store", type=Path, default=Path("runs/benchmarks/measurements.sqlite"))
    parser.add_argument("names", nargs="*", help="Variants; all of them by default.")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    bench = Bench(options.source, options.out, options.store)
    for name in options.names or VARIANTS:
        if name not in results:
            results[name] = bench.run(name, VARIANTS[name])
            write_text(kept, json.dumps(results, indent=1))
    finish(table_of(results), {"variants": results})


class Bench:
    """The data and the judge of all variants."""

    def __init__(self, source: Path, out: Path, store: Path) -> None:
        """Read all data once; latencies are of the bf16 target in ``store``."""
        self.source, self.out = read_source(source), out
        data = Path(os.environ.get("FLEETFIT_DATA", "../shared/data"))
        self.tokenizer = checkpoint.load_tokenizer(self.source.tokenizer_path)
        corpus = read_lines(data / "corpus" / "enwiki2018-00.txt.xz")
        self.text = read_tokens(corpus, self.tokenizer, limit=4_000_000)
        wikitext = data / "corpus" / "wikitext2"
        self.judged = {
            name: read_tokens(
                restore_wikitext(read_lines(wikitext / f"{name}.txt")), self.tokenizer
            )
            for name in ("valid", "test")
        }
        self.intents = {
            name: _intents(data / "intents" / "banking77" / f"{name}.csv", count)
            for name, count in (("train", 3000), ("test", 1500))
        }
        with Store(f"sqlite:///{store.resolve()}") as opened:
            rows = [m for m in opened.measurements() if m.job.protocol == "survey"]
        rows = [m for m in rows if m.job.query.target.precision == "bf16"]
        self.target = rows[0].job.query.target
        self.latency, _ = learn(rows, "latency_p50")

    def run(self, name: str, variant: Variant) -> dict[str, Any]:
        """Train, then judge."""
        directory = self.out / name.replace(" ", "-").replace(",", "")
        supernet, source = self.start(variant)
        config = PretrainConfig(
            tokens=variant.tokens,
            head_tokens=variant.head_tokens,
            batch_tokens=variant.batch_tokens,
            learning_rate=variant.learning_rate,
            sampling=variant.sampling,
            losses=variant.losses,
            seed=variant.seed,
        )
        ids = {n: self.tokenizer.token_to_id(n) for n in ("[MASK]", "[PAD]", "[UNK]")}
        directory.mkdir(exist_ok=True)
        place = Placement(directory=directory)
        run = Pretraining(supernet, (self.text, ids), config, placement=place, teacher=source)
        run.resume()
        first, begin = run.step, time.process_time()
        run.run(save_every_s=120, progress=lambda i, n, note: say(name, i, n, note))
        seconds = time.process_time() - begin
        found = self.judge(supernet, source)
        (directory / "state.safetensors").unlink()
        return found | {"cpu_s": seconds, "whole": first == 0, "tokens": variant.tokens}

    def start(self, variant: Variant) -> tuple[Supernet, EncoderNetwork]:
        """The supernet before training and its source."""
        arch, weights = self.source.architecture, self.source.weights
        if variant.permuted:
            stream = TokenStream(
                tokens=self.text.tokens[: 16 * 126],
                cls_id=self.text.cls_id,
                sep_id=self.text.sep_id,
            )
            batch = Batch.of(torch.from_numpy(stream.batch(list(range(16)), 128)))
            weights, _ = permute(arch, weights, [batch])
        choices = CHOICES
        for name in variant.fixed:
            choices = replace(choices, **{name: getattr(choices, name)[-1:]})
        supernet = Supernet(build_space(arch, choices), weights)
        return supernet, source_network(supernet)

    def judge(self, supernet: Supernet, source: EncoderNetwork) -> dict[str, Any]:
        """Loss and probe accuracy of the largest, the smallest and the best at each share."""
        space = supernet.space
        valid, test = (
            HiddenLoss(supernet, windows(self.judged[n], count=count, seq_len=128), teacher=source)
            for n, count in (("valid", 12), ("test", 32))
        )
        shares = self.candidates(space)
        members = {"largest": space.largest(), "smallest": space.smallest()}
        for share, archs in shares.items():
            losses = valid([(a, "fp32") for a in archs])
            if losses:  # few dimensions leave gaps
                members[f"{share:.0%}"] = archs[int(np.argmin(losses))]
        return {
            name: {
                "network": arch.summary(),
                "loss": test([(arch, "fp32")])[0],
                "probe": self.probe(supernet, arch),
            }
            for name, arch in members.items()
        }

    def candidates(self, space: SearchSpace) -> dict[float, list[Architecture]]:
        """Uniform and sampled members whose latency is a little below each share."""
        rng = np.random.default_rng(7)
        drawn = (space.sample(rng) for _ in range(2000))
        every = list({a.id: a for a in chain(space.uniform(), drawn)}.values())
        table = LayerTable.of([space.source, *every])
        times = self.latency.predict_table(table, self.target, WORKLOAD).mean
        ratio = times[1:] / times[0]
        order = [(a, r) for a, r in zip(every, ratio, strict=True)]
        return {
            share: list(islice((a for a, r in order if share - 0.06 < r <= share), 40))
            for share in SHARES
        }

    def probe(self, supernet: Supernet, arch: Architecture) -> float:
        """Test accuracy of a logistic regression on frozen mean-pooled states."""
        features = {
            n: self.features(supernet, arch, texts) for n, (texts, _) in self.intents.items()
        }
        mean, scale = features["train"].mean(0), features["train"].std(0) + 1e-6
        model = LogisticRegression(C=0.1, max_iter=300)
        model.fit((features["train"] - mean) / scale, self.intents["train"][1])
        return float(model.score((features["test"] - mean) / scale, self.intents["test"][1]))

    def features(self, supernet: Supernet, arch: Architecture, texts: list[str]) -> Any:
        """Mean-pooled last states, texts x width."""
        rows = encode_texts(texts, self.tokenizer, max_length=64)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        pooled = np.empty((len(rows), arch.width), dtype=np.float32)
        for i in range(0, len(order), 64):
            chosen = order[i : i + 64]
            batch = pad([rows[j] for j in chosen])
            with torch.no_grad():
                hidden = supernet(batch, arch).hidden
            pooled[chosen] = pool(hidden, batch.attention_mask, "mean").numpy()
        return pooled


def _intents(path: Path, count: int) -> tuple[list[str], list[str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(0).permutation(len(rows))[:count]
    return [rows[i]["text"] for i in order], [rows[i]["category"] for i in order]


def say(name: str, done: int, total: int, note: str) -> None:
    if done % 16 == 0:
        print(f"{name}: {done} of {total}, {note}", file=sys.stderr, flush=True)


def table_of(results: dict[str, Any]) -> Table:
    table = Table(title=f"{TOKENS:,} tokens: loss on WikiText-2 test / Banking77 probe")
    names = ("largest", "70%", "55%", "40%", "smallest")
    for column in ("variant", *names, "CPU s"):
        table.add_column(column)
    for name, found in results.items():
        judged = [found.get(name) for name in names]
        cells = [f"{one['loss']:.3f} / {one['probe']:.3f}" if one else "-" for one in judged]
        seconds = f"{found['cpu_s']:.0f}" if found.get("whole", True) else "in parts"
        table.add_row(name, *cells, seconds)
    return table


if __name__ == "__main__":
    main()
