"""What every task promises to training and scoring."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from fleetfit import Architecture, InputError
from supernet.finetune import with_task_head
from supernet.forward import Batch, Output
from supernet.network import EncoderNetwork
from supernet.tasks import Encoded, Logits, logits_of, runner, score_network, stacked
from tests.conftest import build_tiny_source
from tests.supernet.tasks.cases import CASES, MAX_LENGTH, Case, perfect
from tests.supernet.tiny import arrays, random_weights


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def network(case: Case) -> EncoderNetwork:
    body = build_tiny_source()
    weights = arrays(random_weights(body))
    arch, named = with_task_head(body, weights, case.task.head("mean"), seed=1)
    named["head.output.weight"] *= 20  # so that answers differ
    return EncoderNetwork.of(arch, named).eval()


def random_logits(case: Case, encoded: Encoded, *, seed: int = 0) -> list[Logits]:
    rng = np.random.default_rng(seed)
    shapes = [p.shape for p in perfect(encoded, case.task)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_rows_fit_and_have_targets(case: Case, tokenizer: Any) -> None:
    encoded = case.encoded(tokenizer)
    assert len(encoded) == len(encoded.segments) == len(encoded.targets)
    for ids, segments in zip(encoded.ids, encoded.segments, strict=True):
        assert len(ids) == len(segments) <= MAX_LENGTH
        assert (ids[0], ids[-1]) == (2, 3)  # [CLS], [SEP]
        assert sorted(segments) == segments
        assert set(segments) <= {0, 1}
    assert encoded.cut > 0  # some of these texts are longer than that


def test_nothing_is_cut_where_there_is_room(case: Case, tokenizer: Any) -> None:
    assert case.encoded(tokenizer, max_length=40).cut == 0


def test_a_batch_holds_its_rows_and_padding(case: Case, tokenizer: Any) -> None:
    encoded = case.encoded(tokenizer)
    chosen = [3, 0, 5]
    batch = encoded.batch(chosen)
    for i, row in enumerate(chosen):
        length = len(encoded.ids[row])
        assert batch.input_ids[i, :length].tolist() == encoded.ids[row]
        assert batch.token_type_ids[i, :length].tolist() == encoded.segments[row]
        assert batch.attention_mask[i].tolist() == [1] * length + [0] * (
            batch.input_ids.shape[1] - length
        )
        assert not batch.input_ids[i, length:].any()


def test_the_head_takes_what_the_loss_needs(case: Case, tokenizer: Any) -> None:
    encoded, chosen = case.encoded(tokenizer), [4, 1, 2]
    batch = encoded.batch(chosen)
    output = runner(network(case))(batch)
    loss = case.task.loss(output, encoded, chosen)
    assert loss.ndim == 0
    assert float(loss.detach()) > 0
    loss.backward()


def test_a_loss_is_the_mean_of_its_rows_whatever_the_padding(case: Case, tokenizer: Any) -> None:
    """Against the loss of each row alone, where there is no padding."""
    encoded = case.encoded(tokenizer)
    ours, theirs = (random_logits(case, encoded, seed=s) for s in (0, 1))
    chosen = [5, 2, 0, 7]
    told = stacked(ours, chosen), stacked(theirs, chosen)
    alone = [(stacked(ours, [r]), stacked(theirs, [r]), [r]) for r in chosen]
    hard = torch.stack([case.task.loss(a, encoded, r) for a, _, r in alone]).mean()
    torch.testing.assert_close(case.task.loss(told[0], encoded, chosen), hard)
    soft = torch.stack([case.task.soft_loss(a, b, encoded, r) for a, b, r in alone]).mean()
    torch.testing.assert_close(case.task.soft_loss(*told, encoded, chosen), soft)


def test_the_right_answer_has_the_least_loss(case: Case, tokenizer: Any) -> None:
    encoded = case.encoded(tokenizer)
    every = range(len(encoded))
    right = stacked(perfect(encoded, case.task), every)
    wrong = stacked(random_logits(case, encoded), every)
    assert case.task.loss(right, encoded, every) < 0.02 < case.task.loss(wrong, encoded, every)


def test_a_student_equal_to_its_teacher_has_nothing_to_learn(case: Case, tokenizer: Any) -> None:
    """The gradient of both distances is zero exactly there; the teacher gets none anywhere."""
    encoded, chosen = case.encoded(tokenizer), [1, 6, 2]
    values = stacked(random_logits(case, encoded), chosen).logits
    others = stacked(random_logits(case, encoded, seed=1), chosen).logits
    assert values is not None
    assert others is not None
    student, teacher = values.clone().requires_grad_(), others.requires_grad_()
    _soft(case, student, values, encoded, chosen).backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-6
    _soft(case, student, teacher, encoded, chosen).backward()
    assert float(student.grad.abs().max()) > 1e-3
    assert teacher.grad is None


def _soft(
    case: Case, logits: torch.Tensor, told: torch.Tensor, encoded: Encoded, chosen: list[int]
) -> torch.Tensor:
    ours, theirs = (Output(hidden_states=(), pooled=None, logits=x) for x in (logits, told))
    return case.task.soft_loss(ours, theirs, encoded, chosen)


def test_perfect_answers_score_one(case: Case, tokenizer: Any) -> None:
    encoded = case.encoded(tokenizer)
    found = case.task.score(perfect(encoded, case.task), encoded)
    assert tuple(found) == case.task.metrics
    assert found == pytest.approx(dict.fromkeys(case.task.metrics, 1.0))


def test_constant_answers_have_a_score(case: Case, tokenizer: Any) -> None:
    encoded = case.encoded(tokenizer)
    constant = [np.zeros_like(p) for p in perfect(encoded, case.task)]
    found = case.task.score(constant, encoded)
    assert all(-1 <= value <= 0.7 for value in found.values())


def test_logits_come_in_the_order_of_the_rows_without_padding(case: Case, tokenizer: Any) -> None:
    """Against each row alone."""
    encoded, run = case.encoded(tokenizer), runner(network(case))
    found = logits_of(run, encoded, batch_size=5)
    for row, values in enumerate(found):
        alone = run(encoded.batch([row])).logits
        assert alone is not None
        np.testing.assert_allclose(values, alone[0].detach().numpy(), atol=1e-4)


def test_a_network_is_scored_by_its_logits(case: Case, tokenizer: Any) -> None:
    encoded, run = case.encoded(tokenizer), runner(network(case))
    wanted = case.task.score(logits_of(run, encoded), encoded)
    assert score_network(run, case.task, encoded) == wanted
    half = score_network(run, case.task, encoded, precision="bf16")
    assert half.keys() == wanted.keys()


def test_scoring_keeps_no_gradients(case: Case, tokenizer: Any) -> None:
    seen: list[bool] = []
    inner = runner(network(case))

    def run(batch: Batch) -> Output:
        seen.append(torch.is_grad_enabled())
        return inner(batch)

    score_network(run, case.task, case.encoded(tokenizer))
    assert seen
    assert not any(seen)


def test_a_network_with_one_segment_or_few_positions_is_refused(case: Case, tokenizer: Any) -> None:
    encoded = case.encoded(tokenizer)
    encoded.check(build_tiny_source())
    with pytest.raises(InputError, match="at most the network's 9 tokens"):
        encoded.check(_embedding(max_positions=9))
    if any(1 in row for row in encoded.segments):
        with pytest.raises(InputError, match="2 segments, but this one has 1"):
            encoded.check(_embedding(segments=1))


def _embedding(**changes: Any) -> Architecture:
    source = build_tiny_source()
    return dataclasses.replace(source, embedding=dataclasses.replace(source.embedding, **changes))
