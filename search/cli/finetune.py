"""The verb ``finetune``: one sub-network learns a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetfit.files import check_new
from search.cli.console import percent, progress, result, table
from search.cli.corpus import read_architecture
from search.cli.options import MAX_SEED, AsJson, SupernetPath

if TYPE_CHECKING:
    from supernet.spaces import CheckpointConfig

__all__ = ["finetune"]

Train = Annotated[Path, typer.Option(help="CSV or TSV with a header line.")]
Column = Annotated[str, typer.Option(help="Name of the column.")]


def finetune(
    supernet: SupernetPath,
    out: Annotated[Path, typer.Argument(help="New directory for the fine-tuned network.")],
    train: Train,
    architecture: Annotated[
        str,
        typer.Option(help="largest, smallest, or a JSON file (as verify writes (winner.json))."),
    ] = "largest",
    test: Annotated[Path | None, typer.Option(help="Labelled file to score on, once.")] = None,
    text_column: Column = "text",
    label_column: Column = "label",
    dev_share: Annotated[float, typer.Option(help="Of the training file, for stopping.")] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 6,
    learning_rate: Annotated[float, typer.Option(help="Peak.")] = 4e-4,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a step.")] = 32,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=3,
            help="Tokens; longer texts are cut. Default: 128, or what the source was used with.",
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the training text.")] = "unknown",
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the split, the order and dropout.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Train one sub-network on labelled texts, stopping early by a dev split."""
    from supernet import checkpoint, tasks
    from supernet import finetune as tuning
    from supernet.network import EncoderNetwork
    from supernet.task_model import TaskModel, write_task_model

    check_new(out)
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
        max_length=_length(max_length, loaded.config),
        seed=seed,
    )
    tokenizer = checkpoint.load_tokenizer(loaded.tokenizer_path)
    network = EncoderNetwork.of(headed, weights)
    with progress("fine-tuning") as report:
        tuned = tuning.finetune(network, parts, tokenizer, config=config, progress=report)
    reached = None
    if scored is not None:
        reached = tuning.accuracy(network, scored, tokenizer, max_length=config.max_length)
    facts = {
        "supernet": loaded.sha256[:16],
        "finetune_seed": str(seed),
        "finetune_epochs": str(tuned.epochs),
    }
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


def _length(asked: int | None, source: CheckpointConfig) -> int:
    """The default is no longer than a workload's: fixed shapes could not take more."""
    if asked is None:
        return min(128, source.max_length)
    return min(asked, source.source.embedding.max_positions)
