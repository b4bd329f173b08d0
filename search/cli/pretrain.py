"""The verb ``pretrain``: train all sub-networks at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fleetfit import InputError
from fleetfit.files import write_text
from search.cli.console import progress, result, say
from search.cli.corpus import (
    CacheFolder,
    Column,
    Corpora,
    TrainTexts,
    documents_of,
    names_of,
    special_ids,
)
from search.cli.options import MAX_SEED, AsJson, Device, SupernetPath, numbers_of, refuse_alone
from search.cli.pretrain_record import taught, told
from search.cli.turns import polite

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.pretrain import Pretraining
    from supernet.pretrain_config import PretrainConfig
    from supernet.spaces import CheckpointConfig

__all__ = ["pretrain"]


def pretrain(
    context: typer.Context,
    supernet: SupernetPath,
    out: Annotated[Path, typer.Argument(help="Directory of the run; the same again to go on.")],
    text: TrainTexts = None,
    corpus: Corpora = None,
    corpus_column: Column = None,
    cache: CacheFolder = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="TOML file of settings; other options stand above it. Default: none."),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of the main stage. Default: 5,000,000.")
    ] = None,
    head_tokens: Annotated[
        int | None,
        typer.Option(
            min=0, help="Tokens that train the masked-LM head alone, first. Default: 300,000."
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak. Default: 0.0005.")] = None,
    hidden_weight: Annotated[
        float | None, typer.Option(help="Of the teacher's hidden states. Default: 1.")
    ] = None,
    masked_lm_weight: Annotated[
        float | None, typer.Option(help="Of the masked-LM loss. Default: 0.")
    ] = None,
    random_members: Annotated[
        int | None, typer.Option(min=0, help="Random sub-networks a step. Default: 1.")
    ] = None,
    batch_tokens: Annotated[
        int | None, typer.Option(min=3, help="Tokens a step. Default: 4096.")
    ] = None,
    seq_lens: Annotated[
        str | None,
        typer.Option(
            help="Tokens per sequence: comma-separated, one is drawn for each step. "
            "Default: 128,64,32."
        ),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Supernet whose largest member teaches. Default: the same.")
    ] = None,
    text_tokens: Annotated[
        int, typer.Option(min=1, help="Read at most so many tokens of the text.")
    ] = 30_000_000,
    licence: Annotated[str, typer.Option(help="Licence of the text (SPDX).")] = "unknown",
    device: Device = "auto",
    processes: Annotated[
        int,
        typer.Option(min=1, help="On this machine, a GPU each; for many hosts use torchrun."),
    ] = 1,
    micro_batches: Annotated[
        int, typer.Option(min=1, help="Parts of a step, one after another, to save memory.")
    ] = 1,
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile the networks of every step.")
    ] = False,
    half: Annotated[bool, typer.Option(help="Store the result in fp16.")] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_SEED, help="Of batches and sub-networks. Default: 0."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Train all sub-networks at once: sandwich rule, distillation from the frozen source.

    Killed at any time, the same command goes on from the last saved state to the same result.
    What a run was told is in its recipe.toml. A step is cut into equal parts for the processes of
    torchrun, so its result does not depend on their number but for rounding.
    """
    from supernet import checkpoint
    from supernet.launch import launch
    from supernet.pretrain import Placement, Pretraining
    from supernet.processes import check_count, device_of, joined

    _check_unfinished(out)
    config = _config(
        recipe,
        {
            "tokens": tokens,
            "head_tokens": head_tokens,
            "batch_tokens": batch_tokens,
            "seq_lens": None if seq_lens is None else numbers_of("--seq-lens", seq_lens),
            "learning_rate": learning_rate,
            "losses.hidden": hidden_weight,
            "losses.masked_lm": masked_lm_weight,
            "sampling.random_members": random_members,
            "seed": seed,
        },
    )
    if not corpus:
        refuse_alone("--corpus", corpus_column=corpus_column)
    start = checkpoint.load(supernet)
    trained = told(start.config, config, names_of(text, corpus), licence)
    network = None
    if teacher is not None:
        network, trained = taught(teacher, start, config, trained)
    with progress("reading text") as report:
        stream = documents_of(
            text,
            corpus,
            start,
            column=corpus_column,
            cache=cache,
            limit=text_tokens,
            report=report,
        )
    chosen = device_of(device)
    if processes > 1 and not _started(processes):  # they find the tokens in the cache
        check_count(chosen, processes)
        launch(["-m", "search.cli", *context.obj], count=processes)
        return
    with joined(chosen) as group:
        place = Placement(
            directory=out,
            device=chosen,
            processes=group,
            micro_batches=micro_batches,
            compile=compiled,
        )
        read = (stream, special_ids(start))
        run = Pretraining(start.supernet, read, config, placement=place, teacher=network)
        _train(run)
        if group.first:
            _keep(out / "supernet", start, trained, half=half)
            result({"supernet": str(out / "supernet"), "steps": run.step}, as_json=json)


def _started(processes: int) -> bool:
    """Whether this is one of several processes already; InputError where of another number."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    others = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if others != processes:
        raise InputError(
            f"--processes must be left out under torchrun, which started {others} on this machine, "
            f"but is {processes}."
        )
    return True


def _check_unfinished(out: Path) -> None:
    if (out / "supernet").exists():
        raise InputError(
            f"A run must be unfinished to go on, but {out / 'supernet'} is there: use it, or name "
            "another directory for another run."
        )


def _train(run: Pretraining) -> None:
    """To the end, from where it was left."""
    from supernet.pretrain_state import held

    place, config = run.placement, run.config
    place.directory.mkdir(parents=True, exist_ok=True)
    if not place.processes.first:
        run.resume()
        with polite("pretrain") as pause:  # the first process of another host
            run.run(pause=pause)
        return
    with held(place.directory):
        if run.resume():
            say(f"going on at step {run.step} of {config.steps}")
        _keep_recipe(place.directory / "recipe.toml", config)
        with polite("pretrain") as pause, progress("training") as report:
            run.run(progress=report, pause=pause)


def _keep_recipe(path: Path, config: PretrainConfig) -> None:
    """All settings of the run; a file of the user's own is left, or refused if it says others."""
    from supernet.recipe import read_recipe, recipe_text

    if path.exists():
        said = read_recipe(path, _defaults())
        if said == config:
            return
        if path.read_text() != recipe_text(said):
            raise InputError(
                f"The run keeps its settings in {path}, but a recipe of your own with other "
                "settings is there; move it, and name it with --recipe."
            )
    write_text(path, recipe_text(config))


def _keep(out: Path, trained: Checkpoint, config: CheckpointConfig, *, half: bool) -> None:
    import torch

    from supernet import checkpoint

    checkpoint.save(
        out,
        trained.supernet,
        config,
        like=(trained.tokenizer_path, trained.stream_order),
        dtype=torch.float16 if half else torch.float32,
    )
    seen, before = (int(c.provenance.get("tokens_seen", "0")) for c in (config, trained.config))
    say(f"{escape(str(out))}: trained on {seen - before:,} tokens here, {seen:,} in all")


def _config(recipe: Path | None, options: dict[str, object]) -> PretrainConfig:
    """The settings: options above the recipe above the defaults."""
    from supernet.recipe import read_recipe, with_options

    config = _defaults()
    if recipe is not None:
        config = read_recipe(recipe, config)
    return with_options(config, options)


def _defaults() -> PretrainConfig:
    from supernet.pretrain_config import PretrainConfig

    return PretrainConfig(tokens=5_000_000, head_tokens=300_000)
