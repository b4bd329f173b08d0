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
    from supernet.task_model import TaskModel

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
    pair_column: Annotated[
        str | None, typer.Option(help="Name of the second text's column, for pairs of texts.")
    ] = None,
    label_column: Column = "label",
    regression: Annotated[bool, typer.Option(help="Labels are numbers.")] = False,
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
    columns = tasks.Columns(text=text_column, label=label_column, pair=pair_column)
    source = tasks.read_table(train, test, columns, regression=regression)
    task = source.task
    loaded = checkpoint.load(supernet)
    length = _length(max_length, loaded.config)
    tokenizer = checkpoint.load_tokenizer(loaded.tokenizer_path)
    body = read_architecture(architecture, loaded)
    parts = source.encoded(tokenizer, length, share=dev_share, seed=seed)
    headed, weights = tuning.with_task_head(
        body, loaded.supernet.extract(body), task.head(loaded.config.pooling), seed=seed
    )
    config = tuning.FinetuneConfig(
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, seed=seed
    )
    network = EncoderNetwork.of(headed, weights)
    lesson = tuning.Lesson(task=task, train=parts.train, dev=parts.dev)
    with progress("fine-tuning") as report:
        tuned = tuning.finetune(network, lesson, config=config, progress=report)
    reached = None
    if parts.test is not None:
        reached = tasks.score_network(tasks.runner(network), task, parts.test)
    facts = {
        "supernet": loaded.sha256[:16],
        "finetune_seed": str(seed),
        "finetune_epochs": str(tuned.epochs),
    }
    model = TaskModel(
        architecture=headed,
        kind=task.kind,
        labels=task.labels,
        metrics=task.metrics,
        pairs=source.pairs,
        max_length=length,
        task=source.name,
        dev=tuned.dev,
        test=reached,
        licences=loaded.config.licences | {"task text": licence},
        provenance=loaded.config.provenance | facts,
    )
    write_task_model(out, model, network.weights(), loaded.tokenizer_path)
    _show(model, tuned.epochs)
    result(_scores(model) | {"model": str(out), "epochs": tuned.epochs}, as_json=json)


def _scores(model: TaskModel) -> dict[str, object]:
    """As in ``dev_accuracy`` and ``test_accuracy``; None where it was not scored."""
    found: dict[str, object] = {f"dev_{name}": model.dev[name] for name in model.metrics}
    test = model.test or {}
    return found | {f"test_{name}": test.get(name) for name in model.metrics}


def _show(model: TaskModel, epochs: int) -> None:
    columns, row = ["network"], [model.architecture.summary()]
    for part, scores in (("dev", model.dev), ("test", model.test)):
        for name in model.metrics:
            columns.append(f"{part} {name}")
            row.append(percent(scores[name] if scores else None))
    table("Fine-tuned", (*columns, "epochs"), [(*row, str(epochs))])


def _length(asked: int | None, source: CheckpointConfig) -> int:
    """The default is no longer than a workload's: fixed shapes could not take more."""
    if asked is None:
        return min(128, source.max_length)
    return min(asked, source.source.embedding.max_positions)
