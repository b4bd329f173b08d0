"""Labelled tasks: what a head learns, from which files, and how well."""

from supernet.tasks.base import Encoded, Logits, Task, TaskKind
from supernet.tasks.classification import Classification
from supernet.tasks.data import LabelledTexts, NumberedTexts, TaskData, split, split_groups
from supernet.tasks.glue import GLUE_TASKS, GlueName, read_glue, read_glue_file
from supernet.tasks.known import task_of
from supernet.tasks.regression import Regression
from supernet.tasks.scoring import Run, logits_of, runner, score_network, stacked
from supernet.tasks.sources import EncodedParts, TaskSource, read_questions, read_table
from supernet.tasks.spans import SpanExtraction
from supernet.tasks.squad import Answer, Question, Questions, read_squad
from supernet.tasks.tables import Columns, read_labelled, read_numbered

__all__ = [
    "GLUE_TASKS",
    "Answer",
    "Classification",
    "Columns",
    "Encoded",
    "EncodedParts",
    "GlueName",
    "LabelledTexts",
    "Logits",
    "NumberedTexts",
    "Question",
    "Questions",
    "Regression",
    "Run",
    "SpanExtraction",
    "Task",
    "TaskData",
    "TaskKind",
    "TaskSource",
    "logits_of",
    "read_glue",
    "read_glue_file",
    "read_labelled",
    "read_numbered",
    "read_questions",
    "read_squad",
    "read_table",
    "runner",
    "score_network",
    "split",
    "split_groups",
    "stacked",
    "task_of",
]
