"""The verb ``pretrain``: train all sub-networks at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fleetfit import InputError
from fleetfit.files import check_new
from search.cli.console import progress, result, say
from search.cli.corpus import LOSSES, Texts, special_ids, stream_of, teacher_of
from search.cli.options import MAX_SEED, AsJson, SupernetPath, numbers_of

if TYPE_CHECKING:
    from supernet.pretrain import PretrainConfig
    from supernet.spaces import CheckpointConfig

__all__ = ["pretrain"]


def pretrain(
    supernet: SupernetPath,
    out: Annotated[Path, typer.Argument(help="Directory of the run; the same again to go on.")],
    text: Texts,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of the sandwich stage.")] = 5_000_000,
    head_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens that train the masked-LM head alone, first.")
    ] = 300_000,
    learning_rate: Annotated[float, typer.Option(help="Peak.")] = 5e-4,
    hidden_weight: Annotated[float, typer.Option(help="Of the source's hidden states.")] = 1.0,
    masked_lm_weight: Annotated[float, typer.Option(help="Of the masked-LM loss.")] = 0.0,
    random_members: Annotated[int, typer.Option(min=0, help="Random sub-networks a step.")] = 1,
    batch_tokens: Annotated[int, typer.Option(min=3, help="Tokens a step.")] = 4096,
    seq_lens: Annotated[
        str, typer.Option(help="Tokens per sequence: comma-separated, one is drawn for each step.")
    ] = "128,64,32",
    teacher: Annotated[
        Path | None, typer.Option(help="Supernet whose largest member teaches. Default: the same.")
    ] = None,
    text_tokens: Annotated[
        int, typer.Option(min=1, help="Read at most so many tokens of the text.")
    ] = 30_000_000,
    licence: Annotated[str, typer.Option(help="Licence of the text (SPDX).")] = "unknown",
    half: Annotated[bool, typer.Option(help="Store the result in fp16.")] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of batches and sub-networks.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Train all sub-networks at once: sandwich rule, distillation from the frozen source.

    Killed at any time, the same command goes on from the last saved state to the same result.
    """
    import torch

    from supernet import checkpoint
    from supernet.pretrain import PretrainConfig, Pretraining

    check_new(out / "supernet")
    config = PretrainConfig(
        tokens=tokens,
        head_tokens=head_tokens,
        batch_tokens=batch_tokens,
        seq_lens=numbers_of("--seq-lens", seq_lens),
        learning_rate=learning_rate,
        hidden_weight=hidden_weight,
        masked_lm_weight=masked_lm_weight,
        random_members=random_members,
        seed=seed,
    )
    start = checkpoint.load(supernet)
    trained = _told(start.config, config, licence)
    teacher_network = None if teacher is None else teacher_of(teacher, start)
    with progress("reading text"):
        stream = stream_of(text, start, limit=text_tokens)
    read = (stream, special_ids(start))
    run = Pretraining(start.supernet, read, config, directory=out, teacher=teacher_network)
    out.mkdir(parents=True, exist_ok=True)
    if run.resume():
        say(f"going on at step {run.step} of {config.steps}")
    with progress("training") as report:
        run.run(progress=report)
    checkpoint.save(
        out / "supernet",
        start.supernet,
        trained,
        like=(start.tokenizer_path, start.stream_order),
        dtype=torch.float16 if half else torch.float32,
    )
    say(f"{escape(str(out / 'supernet'))}: trained on {tokens:,} tokens")
    result({"supernet": str(out / "supernet"), "steps": run.step}, as_json=json)


def _told(before: CheckpointConfig, run: PretrainConfig, licence: str) -> CheckpointConfig:
    """The configuration after a run: tokens add up, and so do the licences of texts."""
    facts = {
        "tokens_seen": str(_count(before, "tokens_seen") + run.tokens),
        "head_tokens": str(_count(before, "head_tokens") + run.head_tokens),
        "seed": str(run.seed),
    }
    kept = {k: v for k, v in before.provenance.items() if not k.endswith(LOSSES)}
    known = before.licences.get("training text")
    texts = dict.fromkeys([*(known.split(" AND ") if known else []), licence])
    return dataclasses.replace(
        before,
        licences=before.licences | {"training text": " AND ".join(texts)},
        provenance=kept | facts,  # losses were of the weights before
    )


def _count(config: CheckpointConfig, name: str) -> int:
    text = config.provenance.get(name, "0")
    if not text.isdecimal():
        raise InputError(f"{name} in config.json must be a whole number, but got {text!r}.")
    return int(text)
