"""What the verb ``evaluate`` evaluates sub-networks on: windows of a text, labelled examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetfit import InputError
from search.cli.console import say
from search.cli.corpus import special_ids
from search.scoring import LabelledFile, read_examples

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.measure import Measure
    from supernet.text import TokenStream

__all__ = ["Data", "examples_of", "windows_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """What sub-networks are evaluated on."""

    measures: tuple[Measure, ...]
    taken: str
    """In the title of the table."""
    facts: dict[str, object]
    """In the JSON document."""


def windows_of(
    loaded: Checkpoint,
    stream: TokenStream,
    teacher: Checkpoint | None,
    sizes: tuple[int, int, int | None],
) -> Data:
    """A text; ``sizes``: windows, tokens of each, windows at once.

    ``teacher``: the supernet whose source model is the source; None: ``loaded``.
    """
    from supernet.evaluate import HiddenStates
    from supernet.masked_lm import MaskedLm
    from supernet.quality import BATCH_SIZE, source_network, windows

    net, (count, seq_len, size) = loaded.supernet, sizes
    source = None if teacher is None else source_network(teacher.supernet)
    batches = windows(stream, count=count, seq_len=seq_len)
    rows = size or BATCH_SIZE
    count = sum(len(b.input_ids) for b in batches)
    return Data(
        measures=(
            HiddenStates(net, batches, teacher=source, batch_size=rows),
            MaskedLm(net, batches, special_ids=special_ids(loaded), batch_size=rows),
        ),
        taken=f"{count} windows of {seq_len} tokens",
        facts={"windows": count, "seq_len": seq_len},
    )


def examples_of(loaded: Checkpoint, file: LabelledFile, size: int | None) -> Data:
    """Labelled examples of the task that the supernet has learned."""
    from supernet.checkpoint import load_tokenizer
    from supernet.task_measure import EXAMPLES_AT_ONCE, TaskScores
    from supernet.tasks import task_of

    record = loaded.config.task
    if record is None:
        raise InputError(
            "--test must be given for a supernet that has learned a task, but this one has not: "
            "finetune --supernet makes one."
        )
    task = task_of(record)
    examples = read_examples(file, record)
    encoded = task.encode(examples, load_tokenizer(loaded.tokenizer_path), record.max_length)
    if encoded.cut:
        longer = f"longer than {record.max_length} tokens"
        say(f"{encoded.cut} of {len(examples)} examples are {longer}.")
    scores = TaskScores(loaded.supernet, task, encoded, batch_size=size or EXAMPLES_AT_ONCE)
    return Data(
        measures=(scores,),
        taken=f"{len(examples)} examples of {file.path.name}",
        facts={"examples": len(examples), "task": record.name},
    )
