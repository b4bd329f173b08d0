"""The verb ``pretrain``: train all sub-networks at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from search.cli.console import progress, result, say
from search.cli.corpus import Texts, largest_of, special_ids, stream_of
from search.cli.options import AsJson, SupernetPath, numbers_of

__all__ = ["pretrain"]


def pretrain(
    supernet: SupernetPath,
    out: Annotated[Path, typer.Argument(help="Directory of the run; the same again to go on.")],
    text: Texts,
    tokens: Annotated[int, typer.Option(help="Tokens of the sandwich stage.")] = 5_000_000,
    head_tokens: Annotated[
        int, typer.Option(help="Tokens that train the masked-LM head alone, first.")
    ] = 300_000,
    learning_rate: Annotated[float, typer.Option(help="Peak.")] = 5e-4,
    hidden_weight: Annotated[float, typer.Option(help="Of the source's hidden states.")] = 1.0,
    masked_lm_weight: Annotated[float, typer.Option(help="Of the masked-LM loss.")] = 0.0,
    random_members: Annotated[int, typer.Option(help="Random sub-networks a step.")] = 1,
    batch_tokens: Annotated[int, typer.Option(help="Tokens a step.")] = 4096,
    seq_lens: Annotated[
        str, typer.Option(help="Tokens per sequence: comma-separated, one is drawn for each step.")
    ] = "128,64,32",
    teacher: Annotated[
        Path | None, typer.Option(help="Supernet whose largest member teaches. Default: the same.")
    ] = None,
    text_tokens: Annotated[
        int, typer.Option(help="Read at most so many tokens of the text.")
    ] = 30_000_000,
    half: Annotated[bool, typer.Option(help="Store the result in fp16.")] = False,
    seed: Annotated[int, typer.Option(help="Of batches and sub-networks.")] = 0,
    json: AsJson = False,
) -> None:
    """Train all sub-networks at once: sandwich rule, distillation from the frozen source.

    Killed at any time, the same command goes on from the last saved state to the same result.
    """
    import torch

    from supernet import checkpoint
    from supernet.pretrain import PretrainConfig, Pretraining

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
    with progress("reading text"):
        stream = stream_of(text, start, limit=text_tokens)
    out.mkdir(parents=True, exist_ok=True)
    run = Pretraining(start.supernet, stream, config, directory=out, special_ids=special_ids(start))
    if teacher is not None:
        run.set_teacher(largest_of(checkpoint.load(teacher)))
    if run.resume():
        say(f"going on at step {run.step} of {config.steps}")
    with progress("training") as report:
        run.run(progress=report)
    facts = {"tokens_seen": str(tokens), "head_tokens": str(head_tokens), "seed": str(seed)}
    trained = dataclasses.replace(start.config, provenance=start.config.provenance | facts)
    checkpoint.save(
        out / "supernet",
        start.supernet,
        trained,
        like=(start.tokenizer_path, start.stream_order),
        dtype=torch.float16 if half else torch.float32,
    )
    say(f"{escape(str(out / 'supernet'))}: trained on {tokens:,} tokens")
    result({"supernet": str(out / "supernet"), "steps": run.step}, as_json=json)
