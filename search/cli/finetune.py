"""The verb ``finetune``: one sub-network, or all of them at once, learn a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetfit import Architecture, InputError
from fleetfit.files import check_new
from search.cli.console import progress, result, shown_score, table
from search.cli.corpus import read_architecture, with_licence
from search.cli.finetune_options import MemberOptions, TeacherOptions
from search.cli.finetune_supernet import Course, finetune_members
from search.cli.options import MAX_SEED, AsJson, Device, SupernetPath
from search.cli.task_source import TaskOptions, tell
from search.cli.turns import polite

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.finetune import FinetuneConfig
    from supernet.network import EncoderNetwork
    from supernet.spaces import CheckpointConfig
    from supernet.task_model import TaskModel
    from supernet.tasks import Task

__all__ = ["finetune"]


def finetune(
    supernet: SupernetPath,
    out: Annotated[
        Path, typer.Argument(help="New directory for the fine-tuned network, or supernet.")
    ],
    train: Annotated[
        Path | None,
        typer.Option(help="CSV or TSV with a header line; for squad a JSON in its layout."),
    ] = None,
    architecture: Annotated[
        str,
        typer.Option(help="largest, smallest, or a JSON file (as verify writes (winner.json))."),
    ] = "largest",
    all_members: Annotated[
        bool,
        typer.Option(
            "--supernet", help="All sub-networks at once; export then takes any as it is."
        ),
    ] = False,
    test: Annotated[
        Path | None,
        typer.Option(
            help="Labelled file to score on, once. Default: none; the dev file of a GLUE task, a "
            "fifth of the articles of squad."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="sst2, cola, mrpc, rte, stsb, qnli, wnli (with --data) or squad (with --train). "
            "Default: classes or numbers of any table."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with GLUE's files.")] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Name of the text's column. Default: text.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Name of the second text's column, for pairs of texts.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Name of the label's column. Default: label.")
    ] = None,
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
    teacher: Annotated[
        Path | None,
        typer.Option(help="Directory that finetune wrote: learn from its answers as well."),
    ] = None,
    teacher_weight: Annotated[
        float | None,
        typer.Option(min=0, help="Of its answers beside the labels. Default: 1."),
    ] = None,
    random_members: Annotated[
        int | None,
        typer.Option(min=0, help="With --supernet: random sub-networks a step. Default: 1."),
    ] = None,
    hard_weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --supernet: of the labels for all but the largest. Not with a teacher. "
            "Default: 0.5.",
        ),
    ] = None,
    soft_weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --supernet: of the largest's answers for the others, likewise. "
            "Default: 0.5.",
        ),
    ] = None,
    device: Device = "auto",
    licence: Annotated[str, typer.Option(help="Licence of the training text.")] = "unknown",
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the split, the order and dropout.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Train one sub-network on a task, or all at once, stopping early by a dev split.

    With --supernet each step trains the largest, the smallest and random ones (sandwich rule), and
    the largest teaches the others: any sub-network can then be exported without more training.

    The headline metric is the task's first: accuracy; Matthews for cola; F1 for mrpc and squad;
    Pearson for stsb and numbers.
    """
    from supernet import checkpoint
    from supernet.finetune import FinetuneConfig
    from supernet.processes import device_of, memory_told

    check_new(out)
    members = MemberOptions(random_members=random_members, hard=hard_weight, soft=soft_weight)
    members.check(all_members=all_members, teacher=teacher is not None)
    teaching = TeacherOptions(path=teacher, weight=teacher_weight)
    if all_members and architecture != "largest":
        raise InputError(
            "--supernet trains all sub-networks, so --architecture must not be given, but is; "
            "export takes it."
        )
    source = TaskOptions(
        task=task,
        data=data,
        train=train,
        test=test,
        text_column=text_column,
        pair_column=pair_column,
        label_column=label_column,
        regression=regression,
    ).read()
    loaded = checkpoint.load(supernet)
    length = _length(max_length, loaded.config)
    tokenizer = checkpoint.load_tokenizer(loaded.tokenizer_path)
    body = read_architecture(architecture, loaded)
    told = teaching.read(source, tokenizer)
    parts = source.encoded(tokenizer, length, share=dev_share, seed=seed)
    tell(source, parts, length)
    facts = {"supernet": loaded.sha256[:16], "finetune_seed": str(seed)}
    course = Course(
        loaded=loaded,
        source=source,
        parts=parts,
        max_length=length,
        teacher=told,
        licences=teaching.licences(with_licence(loaded.config.licences, "task text", licence)),
        facts=facts | teaching.facts(told),
    )
    config = FinetuneConfig(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        device=device_of(device),
        seed=seed,
    )
    with memory_told("give a smaller --batch-size or --max-length"):
        if all_members:
            summary = finetune_members(out, course, members.tuning(config))
        else:
            summary = _finetune_one(out, course, body, config)
    result(summary, as_json=json)


def _finetune_one(
    out: Path, course: Course, body: Architecture, config: FinetuneConfig
) -> dict[str, object]:
    """Train one sub-network, write it to ``out`` and show what it reached; a summary."""
    from supernet import finetune as tuning
    from supernet.task_model import TaskModel, write_task_model
    from supernet.tasks import runner, score_network

    loaded, source, parts = course.loaded, course.source, course.parts
    network = _headed(loaded, body, source.task, config.seed)
    lesson = tuning.Lesson(
        task=source.task, train=parts.train, dev=parts.dev, teacher=course.teacher
    )
    with polite("finetune") as pause, progress("fine-tuning") as report:
        tuned = tuning.finetune(network, lesson, config=config, progress=report, pause=pause)
    reached = None
    if parts.test is not None:
        reached = score_network(runner(network), source.task, parts.test)
    facts = course.facts | {"finetune_epochs": str(tuned.epochs)}
    model = TaskModel(
        architecture=network.arch,
        kind=source.task.kind,
        labels=source.task.labels,
        metrics=source.task.metrics,
        pairs=source.pairs,
        max_length=course.max_length,
        task=source.name,
        dev=tuned.dev,
        test=reached,
        licences=course.licences,
        provenance=loaded.config.provenance | facts,
    )
    write_task_model(out, model, network.weights(), loaded.tokenizer_path)
    _show(model, tuned.epochs)
    return _scores(model) | {"model": str(out), "epochs": tuned.epochs}


def _headed(loaded: Checkpoint, body: Architecture, task: Task[Any], seed: int) -> EncoderNetwork:
    """The body with its weights from the supernet under a fresh head of the task."""
    from supernet.finetune import with_task_head
    from supernet.network import EncoderNetwork

    weights = loaded.supernet.extract(body)
    head = task.head(loaded.config.pooling)
    return EncoderNetwork.of(*with_task_head(body, weights, head, seed=seed))


def _scores(model: TaskModel) -> dict[str, object]:
    """As in ``dev_accuracy`` and ``test_accuracy``; None where it was not scored."""
    found: dict[str, object] = {f"dev_{name}": model.dev[name] for name in model.metrics}
    test = model.test or {}
    return found | {f"test_{name}": test.get(name) for name in model.metrics}


def _show(model: TaskModel, epochs: int) -> None:
    columns, row = ["network"], [model.architecture.summary()]
    for part, scores in (("dev", model.dev), ("test", model.test)):
        for name in model.metrics:
            columns.append(f"{part} {name.replace('_', ' ')}")
            row.append(shown_score(name, scores[name] if scores else None))
    table("Fine-tuned", (*columns, "epochs"), [(*row, str(epochs))])


def _length(asked: int | None, source: CheckpointConfig) -> int:
    """The default is no longer than a workload's: fixed shapes could not take more."""
    positions = source.source.embedding.max_positions
    if asked is not None and asked > positions:
        raise InputError(f"`max_length <= {positions}` must hold for this model, but got {asked}.")
    return min(128, source.max_length) if asked is None else asked
