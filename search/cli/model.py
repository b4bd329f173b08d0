"""Verbs about the model: convert a checkpoint, train the supernet, fine-tune, evaluate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetfit import Architecture, Head, InputError, loads, to_json
from fleetfit.files import read_text
from search.cli.console import percent, progress, result, say, table
from search.cli.options import AsJson, SupernetPath

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.network import EncoderNetwork
    from supernet.text import TokenStream

__all__ = ["convert", "evaluate", "finetune", "pretrain", "read_architecture"]

Texts = Annotated[
    list[Path], typer.Option("--text", help="UTF-8 text, plain, .xz or .gz; repeat it.")
]
Sizes = Annotated[str | None, typer.Option(help="Comma-separated choices; one: not elastic.")]
Train = Annotated[Path, typer.Option(help="CSV or TSV with a header line.")]
Column = Annotated[str, typer.Option(help="Name of the column.")]
SPECIAL = ("[MASK]", "[CLS]", "[SEP]", "[PAD]", "[UNK]")


def convert(
    source: Annotated[Path, typer.Argument(help="Checkpoint directory of model type bert.")],
    out: Annotated[Path, typer.Argument(help="New directory for the supernet.")],
    text: Texts,
    depths: Sizes = None,
    embedding_widths: Sizes = None,
    widths: Sizes = None,
    heads: Sizes = None,
    ffns: Sizes = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights (SPDX).")] = "unknown",
    json: AsJson = False,
) -> None:
    """Turn a BERT checkpoint into a supernet whose largest member equals it.

    The text decides which dimensions, heads and units matter most; a few hundred lines do.
    """
    from supernet.convert import About, read_source
    from supernet.convert import convert as convert_source
    from supernet.spaces import ElasticChoices, read_config
    from supernet.text import read_lines

    choices = ElasticChoices.scaled_to(read_source(source).architecture)
    given = {
        "depths": depths,
        "embedding_widths": embedding_widths,
        "widths": widths,
        "heads": heads,
        "ffns": ffns,
    }
    changed = {name: _sizes(name, value) for name, value in given.items() if value is not None}
    choices = dataclasses.replace(choices, **changed)
    with progress("converting"):
        lines = chain.from_iterable(read_lines(path) for path in text)
        about = About(licences={"weights": licence})
        convert_source(source, out, text=lines, choices=choices, about=about)
    space = read_config(out).space
    say(f"{out}: {space.size:.3g} sub-networks of {space.source.summary()}")
    result({"supernet": str(out), "size": space.size}, as_json=json)


def _sizes(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as exc:
        raise InputError(f"--{name} must be comma-separated numbers, but got {text!r}.") from exc


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
        learning_rate=learning_rate,
        hidden_weight=hidden_weight,
        masked_lm_weight=masked_lm_weight,
        random_members=random_members,
        seed=seed,
    )
    start = checkpoint.load(supernet)
    with progress("reading text"):
        stream = _stream(text, start, limit=text_tokens)
    out.mkdir(parents=True, exist_ok=True)
    run = Pretraining(
        start.supernet, stream, config, directory=out, special_ids=_special_ids(start)
    )
    if teacher is not None:
        run.set_teacher(_largest(checkpoint.load(teacher)))
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
    say(f"{out / 'supernet'}: trained on {tokens:,} tokens")
    result({"supernet": str(out / "supernet"), "steps": run.step}, as_json=json)


def finetune(
    supernet: SupernetPath,
    out: Annotated[Path, typer.Argument(help="New directory for the fine-tuned network.")],
    train: Train,
    architecture: Annotated[
        str, typer.Option(help="largest, smallest, or a JSON file (as search and verify write).")
    ] = "largest",
    test: Annotated[Path | None, typer.Option(help="Labelled file to score on, once.")] = None,
    text_column: Column = "text",
    label_column: Column = "label",
    dev_share: Annotated[float, typer.Option(help="Of the training file, for stopping.")] = 0.1,
    epochs: Annotated[int, typer.Option(help="At most.")] = 6,
    learning_rate: Annotated[float, typer.Option(help="Peak.")] = 4e-4,
    batch_size: Annotated[int, typer.Option(help="Texts a step.")] = 32,
    max_length: Annotated[int, typer.Option(help="Tokens; longer texts are cut.")] = 128,
    licence: Annotated[str, typer.Option(help="Licence of the training text.")] = "unknown",
    seed: Annotated[int, typer.Option(help="Of the split, the order and dropout.")] = 0,
    json: AsJson = False,
) -> None:
    """Train one sub-network on labelled texts, stopping early by a dev split."""
    from supernet import checkpoint, tasks
    from supernet import finetune as tuning
    from supernet.network import EncoderNetwork
    from supernet.task_model import TaskModel, write_task_model

    columns = {"text": text_column, "label": label_column}
    labelled = tasks.read_labelled(train, **columns)
    scored = None
    if test is not None:
        scored = tasks.read_labelled(test, **columns, names=labelled.names)
    parts = tasks.split(labelled, share=dev_share, seed=seed)
    loaded = checkpoint.load(supernet)
    body = read_architecture(architecture, loaded)
    headed, weights = tuning.with_classifier(
        body,
        loaded.supernet.extract(body),
        pooling=loaded.config.pooling,
        labels=len(labelled.names),
        seed=seed,
    )
    config = tuning.FinetuneConfig(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_length=min(max_length, headed.embedding.max_positions),
        seed=seed,
    )
    tokenizer = checkpoint.load_tokenizer(loaded.tokenizer_path)
    network = EncoderNetwork.of(headed, weights)
    with progress("fine-tuning") as report:
        tuned = tuning.finetune(network, parts, tokenizer, config=config, progress=report)
    reached = None
    if scored is not None:
        reached = tuning.accuracy(network, scored, tokenizer, max_length=config.max_length)
    facts = {"supernet": loaded.sha256[:16], "seed": str(seed), "epochs": str(tuned.epochs)}
    model = TaskModel(
        architecture=headed,
        labels=labelled.names,
        max_length=config.max_length,
        task=train.name,
        dev_accuracy=tuned.dev_accuracy,
        test_accuracy=reached,
        licences=loaded.config.licences | {"task text": licence},
        provenance=loaded.config.provenance | facts,
    )
    write_task_model(out, model, network.weights(), loaded.tokenizer_path)
    row = (headed.summary(), percent(tuned.dev_accuracy), percent(reached), str(tuned.epochs))
    table("Fine-tuned", ("network", "dev accuracy", "test accuracy", "epochs"), [row])
    scores: dict[str, object] = {"dev_accuracy": tuned.dev_accuracy, "test_accuracy": reached}
    result(scores | {"model": str(out), "epochs": tuned.epochs}, as_json=json)


def evaluate(
    supernet: SupernetPath,
    text: Texts,
    windows: Annotated[int, typer.Option(help="How many windows of the text.")] = 200,
    seq_len: Annotated[int, typer.Option(help="Tokens per window.")] = 128,
    wikitext: Annotated[bool, typer.Option(help="Undo WikiText's escapes first.")] = False,
    teacher: Annotated[
        Path | None, typer.Option(help="Supernet whose largest member is the source.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Hidden-state and masked-LM loss of the largest, smallest and five named sub-networks."""
    from supernet import checkpoint
    from supernet import evaluate as evaluation
    from supernet.quality import HiddenLoss
    from supernet.quality import windows as cut

    loaded = checkpoint.load(supernet)
    stream = _stream(text, loaded, wikitext=wikitext)
    batches = cut(stream, count=windows, seq_len=seq_len)
    source = None if teacher is None else _largest(checkpoint.load(teacher))
    loss = HiddenLoss(loaded.supernet, batches, teacher=source)
    members = evaluation.named_members(loaded.config.space)
    with progress("evaluating") as report:
        found = evaluation.evaluate(
            loss, members, special_ids=_special_ids(loaded), progress=report
        )
    rows = [
        (
            e.name,
            e.architecture.summary(),
            f"{e.hidden_loss:.4f}",
            f"{e.masked_lm_loss:.3f}",
            percent(e.masked_lm_accuracy),
        )
        for e in found
    ]
    columns = ("name", "network", "hidden loss", "masked-LM loss", "accuracy")
    table(f"{len(batches)} batches of {seq_len} tokens", columns, rows)
    losses = {e.name: to_json(dataclasses.replace(e)) for e in found}
    result({"text": [str(t) for t in text], "members": losses}, as_json=json)


def read_architecture(text: str, loaded: Checkpoint) -> Architecture:
    """``largest``, ``smallest`` or the architecture of a JSON file, without its head."""
    space = loaded.config.space
    if text in ("largest", "smallest"):
        return space.largest() if text == "largest" else space.smallest()
    arch = loads(Architecture, read_text(Path(text), "An architecture")).with_head(Head())
    space.genome(arch)  # an InputError where it is not of this space
    return arch


def _largest(loaded: Checkpoint) -> EncoderNetwork:
    from supernet.network import EncoderNetwork

    arch = loaded.config.space.largest()
    return EncoderNetwork.of(arch, loaded.supernet.extract(arch))


def _stream(
    paths: list[Path], loaded: Checkpoint, *, limit: int | None = None, wikitext: bool = False
) -> TokenStream:
    from supernet.checkpoint import load_tokenizer
    from supernet.text import read_lines, read_tokens, restore_wikitext

    lines: Iterator[str] = chain.from_iterable(read_lines(path) for path in paths)
    if wikitext:
        lines = restore_wikitext(lines)
    return read_tokens(lines, load_tokenizer(loaded.tokenizer_path), limit=limit)


def _special_ids(loaded: Checkpoint) -> dict[str, int]:
    from supernet.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(loaded.tokenizer_path)
    ids = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    missing = [name for name, value in ids.items() if value is None]
    if missing:
        raise InputError(f"A tokenizer must have {', '.join(SPECIAL)}, but lacks {missing[0]}.")
    return ids
