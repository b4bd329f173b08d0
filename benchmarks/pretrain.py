"""The speed of training: our step against a plain transformers step, and the sandwich's price.

    python -m benchmarks.pretrain [--supernet DIR] [--rounds N] [--threads N] [--device NAME]

All steps are whole ones (batch, forward, backward, clipping, AdamW) of the same tokens in bf16
autocast, taken in turn in one run. ``single``: the largest network alone, masked LM. ``plain``: a
transformers ``BertForMaskedLM`` of the same sizes, with the faster of its two kinds of attention.
``sandwich``: largest, smallest and one random network, masked LM and in-place distillation.
``distilled``: the same three against the hidden states of the frozen source.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Final

import numpy as np
import torch
from rich.table import Table
from transformers import BertConfig, BertForMaskedLM

from benchmarks._report import finish
from fleetfit import Architecture, FeedForward, SelfAttention
from supernet import checkpoint
from supernet.losses import LossWeights
from supernet.masking import corrupt
from supernet.model import Supernet
from supernet.pretrain import Placement, Pretraining
from supernet.pretrain_config import PretrainConfig
from supernet.processes import device_of
from supernet.sampling import Sampling
from supernet.spaces import ElasticChoices, ElasticSpace
from supernet.text import TokenStream

BATCH_TOKENS: Final = 4096
SEQ_LEN: Final = 128
MASK_ID: Final = 103
Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description="The speed of training.")
    parser.add_argument("--supernet", type=Path, default=Path("supernet/default"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = device_of(options.device)
    with tempfile.TemporaryDirectory() as folder:
        steps = steps_of(options.supernet, Path(folder), device)
        seconds = timed(steps, rounds=options.rounds, device=device)
    single, sandwich = median(seconds["single"]), mean(seconds["sandwich"])
    plain = min(median(seconds["plain, sdpa"]), median(seconds["plain, eager"]))
    finish(
        table_of(seconds),
        {
            "throughput_ratio": plain / single,
            "sandwich_ratio": sandwich / single,
            "distilled_ratio": mean(seconds["distilled"]) / single,
            "tokens_per_s": BATCH_TOKENS / single,
            "batch_tokens": BATCH_TOKENS,
            "rounds": options.rounds,
            "threads": torch.get_num_threads(),
            "device": str(device),
        },
    )


def steps_of(path: Path, folder: Path, device: torch.device) -> dict[str, Step]:
    """What is timed, each with weights of its own."""
    masked_lm = LossWeights(hidden=0.0, masked_lm=1.0)
    kinds = {
        "single": (Sampling(strategy="single_path"), masked_lm),
        "sandwich": (Sampling(), replace(masked_lm, in_place=1.0)),
        "distilled": (Sampling(), LossWeights()),
    }
    source = checkpoint.load(path).config.source
    place = Placement(directory=folder, device=device)
    steps: dict[str, Step] = {}
    for name, (sampling, losses) in kinds.items():
        supernet = checkpoint.load(path).supernet
        trained = alone(supernet) if name == "single" else supernet
        steps[name] = ours(trained, sampling, losses, place)
    for attention in ("sdpa", "eager"):
        steps[f"plain, {attention}"] = plain(source, attention, device)
    return steps


def alone(supernet: Supernet) -> Supernet:
    """A space whose one member is the largest."""
    source = supernet.space.source
    attention, forward = source.layers[0].sublayers
    assert isinstance(attention, SelfAttention)
    assert isinstance(forward, FeedForward)
    choices = ElasticChoices(
        depths=(len(source.layers),),
        embedding_widths=(source.width,),
        widths=(source.width,),
        heads=(attention.heads,),
        ffns=forward.widths,
    )
    return Supernet(ElasticSpace(source=source, choices=choices), supernet.tensors())


def ours(supernet: Supernet, sampling: Sampling, losses: LossWeights, place: Placement) -> Step:
    config = PretrainConfig(
        tokens=BATCH_TOKENS * 10_000,
        batch_tokens=BATCH_TOKENS,
        seq_lens=(SEQ_LEN,),
        sampling=sampling,
        losses=losses,
    )
    special = {"[MASK]": MASK_ID, "[PAD]": 0, "[UNK]": 100}
    run = Pretraining(supernet, (tokens(supernet.space.source), special), config, placement=place)

    def step() -> None:
        run.take_step()

    return step


def plain(arch: Architecture, attention: str, device: torch.device) -> Step:
    """A training step as the library's users write it."""
    sublayers = arch.layers[0].sublayers
    assert isinstance(sublayers[0], SelfAttention)
    assert isinstance(sublayers[1], FeedForward)
    config = BertConfig(
        vocab_size=arch.embedding.vocab_size,
        hidden_size=arch.width,
        num_hidden_layers=len(arch.layers),
        num_attention_heads=sublayers[0].heads,
        intermediate_size=sublayers[1].widths[0],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation=attention,
    )
    model = BertForMaskedLM(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, fused=True)
    stream, rng = tokens(arch), np.random.default_rng(0)

    def step() -> None:
        rows = rng.integers(stream.windows(SEQ_LEN), size=BATCH_TOKENS // SEQ_LEN)
        clean = torch.from_numpy(stream.batch(rows, SEQ_LEN))
        kept = {stream.cls_id, stream.sep_id}
        ids, chosen = corrupt(
            clean, rng, mask_id=MASK_ID, vocab_size=arch.embedding.vocab_size, keep=kept
        )
        labels = clean.masked_fill(~chosen, -100)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = model(input_ids=ids.to(device), labels=labels.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def tokens(arch: Architecture) -> TokenStream:
    drawn = np.random.default_rng(1).integers(1000, arch.embedding.vocab_size, size=200_000)
    return TokenStream(tokens=drawn.astype(np.uint16), cls_id=101, sep_id=102)


def timed(steps: dict[str, Step], *, rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each step, in turn; the first two rounds warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(rounds + 2):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if i >= 2:
                seconds[name].append(time.perf_counter() - begin)
        print(f"round {i + 1} of {rounds + 2}", file=sys.stderr, flush=True)
    return seconds


def table_of(seconds: dict[str, list[float]]) -> Table:
    table = Table(title=f"A step of {BATCH_TOKENS:,} tokens, sequences of {SEQ_LEN}, bf16")
    for column in ("step", "median s", "mean s", "tokens/s"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, values in seconds.items():
        middle = median(values)
        table.add_row(name, f"{middle:.3f}", f"{mean(values):.3f}", f"{BATCH_TOKENS / middle:,.0f}")
    return table


if __name__ == "__main__":
    main()
