"""A bundle answers questions as training scores them: the reference is ``SpanExtraction``."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import supernet.tasks as tasks
from exporters import LoadedBundle, Manifest, load_bundle, random_weights
from exporters.questions import QuestionEncoder
from exporters.text import read_tokenizer
from fleetfit import Architecture, InputError, RuntimeName, Target
from supernet.network import EncoderNetwork
from tests.exporters.bundles import Write, build_spans

PASSAGE = "I lost my card, where is it? " * 4
QUESTIONS = ["where is my card", "it", "my " * 30, ""]
CONTEXTS = [PASSAGE, "My Card.", PASSAGE, "is it"]


@pytest.fixture
def spans() -> Manifest:
    return build_spans()


def reference(arch: Architecture, tokenizer: str, question: str, context: str) -> tuple[str, float]:
    """Text and score by the windows and spans of training, and PyTorch."""

    from fleetfit.spans import best_span
    from supernet.tasks.windows import windows_of

    whole = read_tokenizer(tokenizer)
    mark = tasks.Answer(text=context[:1], start=0)
    item = tasks.Question(id="q", article=0, context=context, question=question, answers=(mark,))
    network = EncoderNetwork.of(arch, random_weights(arch))
    found = []
    for window in windows_of(tasks.Questions(items=(item,)), whole, 16):
        ids = np.array([window.ids], dtype=np.int64)
        types = np.array([window.segments], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
        values = network.reference(inputs)["logits"][0]
        score, first, last = best_span(values, window.first, len(window.spans))
        found.append((score, context[window.spans[first][0] : window.spans[last][1]]))
    score, text = max(found, key=lambda one: one[0])
    return text, score


@pytest.mark.parametrize("shapes", ["fixed", "dynamic"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_answers_are_those_that_training_scores(
    write: Write,
    spans: Manifest,
    tokenizer: str,
    runtime: RuntimeName,
    shapes: Literal["fixed", "dynamic"],
) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    target = Target(runtime=runtime, shapes=shapes)
    bundle = load_bundle(write(dataclasses.replace(spans, target=target)))
    found = bundle.answer(QUESTIONS, CONTEXTS)
    for question, context, answer in zip(QUESTIONS, CONTEXTS, found, strict=True):
        text, score = reference(spans.architecture, tokenizer, question, context)
        assert answer.text == text == context[answer.start : answer.end]
        assert answer.score == pytest.approx(score, abs=1e-4)


def test_the_tasks_own_score_of_these_logits_finds_the_same_answers(
    write: Write, spans: Manifest, tokenizer: str
) -> None:
    """``SpanExtraction.score`` calls every answer of the bundle an exact match."""

    bundle = load_bundle(write(spans))
    found = bundle.answer(QUESTIONS[:3], CONTEXTS[:3])
    items = tuple(
        tasks.Question(
            id=str(i),
            article=0,
            context=context,
            question=question,
            answers=(tasks.Answer(text=answer.text, start=answer.start),),
        )
        for i, (question, context, answer) in enumerate(
            zip(QUESTIONS, CONTEXTS, found, strict=False)
        )
    )
    whole = read_tokenizer(tokenizer)
    task = tasks.SpanExtraction()
    encoded = task.encode(tasks.Questions(items=items), whole, 16)
    logits = []
    for ids, types in zip(encoded.ids, encoded.segments, strict=True):
        row = np.array([ids], dtype=np.int64)
        segments = np.array([types], dtype=np.int64)
        mask = np.ones_like(row)
        inputs = {"input_ids": row, "attention_mask": mask, "token_type_ids": segments}
        logits.append(bundle.session.run(inputs)["logits"][0])
    assert task.score(logits, encoded) == {"f1": 1.0, "exact_match": 1.0}


def test_spans_count_characters_as_python_does(write: Write, spans: Manifest) -> None:
    context = "\N{GRINNING FACE} Où est my card — là"
    (found,) = load_bundle(write(spans)).answer(["where"], [context])
    assert found.text == context[found.start : found.end] != ""


@pytest.mark.parametrize("context", ["", "   ", "\n"])
def test_a_context_without_words_has_an_empty_answer(
    write: Write, spans: Manifest, context: str
) -> None:
    (found,) = load_bundle(write(spans)).answer(["where"], [context])
    assert (found.text, found.score, found.start, found.end) == ("", 0, 0, 0)


def test_no_questions_have_no_answers(write: Write, spans: Manifest) -> None:
    assert load_bundle(write(spans)).answer([], []) == []


def test_all_of_a_context_of_100000_characters_is_read(tokenizer: str) -> None:
    context = ("I lost my card. " * 6250)[:100_000]
    found = list(QuestionEncoder(tokenizer, max_length=40).windows("where is it", context))
    covered = {span for window in found for span in window.spans}
    words = [w for w in sorted(covered) if context[w[0] : w[1]] != "."]
    assert [context[a:b] for a, b in words] == context.replace(".", " ").split()
    assert all(len(window.row[0]) <= 40 for window in found)
    starts = [window.spans[0][0] for window in found]
    assert all(a < b for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize(
    ("questions", "contexts", "named"),
    [
        ("one", ["x"], "sequence of strings"),
        (["x"], "one", "sequence of strings"),
        (["x"], [1], "sequence of strings"),
        (["x"], ["a", "b"], "but got 1 and 2"),
        (["x"], ["\ud800"], "valid Unicode"),
        (["\ud800"], ["x"], "valid Unicode"),
    ],
)
def test_what_is_no_question_is_refused(
    write: Write, spans: Manifest, questions: Any, contexts: Any, named: str
) -> None:
    with pytest.raises(InputError, match=named):
        load_bundle(write(spans)).answer(questions, contexts)


def test_each_kind_of_bundle_refuses_the_others_questions(
    write: Write, spans: Manifest, manifest: Manifest, tmp_path: Path
) -> None:
    bundle: LoadedBundle = load_bundle(write(spans))
    with pytest.raises(InputError, match="kind classification, but has span"):
        bundle.predict(["a"], ["b"])
    (tmp_path / "bundle").rename(tmp_path / "other")
    with pytest.raises(InputError, match="kind span, but has classification"):
        load_bundle(write(manifest)).answer(["a"], ["b"])


def test_a_tokenizer_without_special_tokens_is_refused(tokenizer: str) -> None:
    with pytest.raises(InputError, match=r"\[CLS\] and \[SEP\]"):
        QuestionEncoder(tokenizer.replace("[SEP]", "[END]"), max_length=16)
