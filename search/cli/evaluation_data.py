"""What the verb ``evaluate`` evaluates sub-networks on: windows of a text, labelled examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetfit import InputError
from search.cli.console import say
from search.cli.corpus import special_ids, stream_of, teacher_of
from search.cli.options import refuse_alone
from search.scoring import LabelledFile, read_examples

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.measure import Measure

__all__ = ["SEQ_LEN", "WINDOWS", "Data", "TextOptions", "examples_of"]

WINDOWS, SEQ_LEN = 200, 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """What sub-networks are evaluated on."""

    measures: tuple[Measure, ...]
    taken: str
    """In the title of the table."""
    facts: dict[str, object]
    """In the JSON document."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextOptions:
    """``--text`` and the options about it, as the user gave them."""

    paths: list[Path] | None
    windows: int | None
    seq_len: int | None
    wikitext: bool
    teacher: Path | None

    def __post_init__(self) -> None:
        """Without a text none of them is given; else InputError."""
        if not self.paths:
            refuse_alone(
                "--text",
                windows=self.windows,
                seq_len=self.seq_len,
                wikitext=self.wikitext,
                teacher=self.teacher,
            )

    def read(self, loaded: Checkpoint, size: int | None) -> Data:
        """Windows of the text; ``size``: how many at once."""
        from supernet.hidden_states import HiddenStates
        from supernet.masked_lm import MaskedLm
        from supernet.quality import BATCH_SIZE, source_network, windows

        net, seq_len = loaded.supernet, self.seq_len or SEQ_LEN
        stream = stream_of(self.paths or [], loaded, wikitext=self.wikitext)
        teacher = None if self.teacher is None else teacher_of(self.teacher, loaded)
        source = None if teacher is None else source_network(teacher.supernet)
        batches = windows(stream, count=self.windows or WINDOWS, seq_len=seq_len)
        rows, count = size or BATCH_SIZE, sum(len(b.input_ids) for b in batches)
        against = ""
        if teacher is not None and self.teacher is not None:
            against = f" against {self.teacher.resolve().name} ({teacher.sha256[:16]})"
        return Data(
            measures=(
                HiddenStates(net, batches, teacher=source, batch_size=rows),
                MaskedLm(net, batches, special_ids=special_ids(loaded), batch_size=rows),
            ),
            taken=f"{count} windows of {seq_len} tokens{against}",
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
