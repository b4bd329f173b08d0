"""Fine-tuning on a task that one word decides."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

import supernet.finetune as module
from fleetfit import Head, InputError, SurroundingsError
from supernet.finetune import (
    FinetuneConfig,
    FinetuneResult,
    Lesson,
    Teacher,
    finetune,
    with_task_head,
)
from supernet.network import EncoderNetwork
from supernet.quality import encode_texts, pad
from supernet.tasks import (
    Answer,
    Classification,
    LabelledTexts,
    NumberedTexts,
    Question,
    Questions,
    Regression,
    SpanExtraction,
    Task,
    runner,
    score_network,
    split_groups,
)
from tests.supernet.tiny import WORDS, tiny_supernet

CONFIG = FinetuneConfig(
    epochs=6, batch_size=8, learning_rate=3e-3, patience=6, dropout=0.0, bf16=False
)


def texts(count: int, *, seed: int) -> LabelledTexts:
    rng = np.random.default_rng(seed)
    labels = tuple(int(x) for x in rng.integers(2, size=count))
    rows = ([*rng.choice(WORDS[10:], size=4), WORDS[y]] for y in labels)
    return LabelledTexts(texts=tuple(map(" ".join, rows)), labels=labels, names=("no", "yes"))


PARTS = (texts(120, seed=0), texts(40, seed=1))
TASK = Classification(("no", "yes"))
HEAD = TASK.head("mean")


def encoded(tokenizer: Any) -> Lesson:
    train, dev = (TASK.encode(part, tokenizer, 16) for part in PARTS)
    return Lesson(task=TASK, train=train, dev=dev)


def used_ids(tokenizer: Any) -> list[int]:
    """Ids of the tokens in train or dev, and padding."""
    texts = [text for part in PARTS for text in part.texts]
    return sorted({0}.union(*encode_texts(texts, tokenizer, max_length=16)))


def fresh() -> EncoderNetwork:
    supernet = tiny_supernet()
    arch = supernet.space.smallest()
    return EncoderNetwork.of(*with_task_head(arch, supernet.extract(arch), HEAD))


def tuned(tokenizer: Any, **changes: Any) -> FinetuneResult:
    config = dataclasses.replace(CONFIG, **changes)
    return finetune(fresh(), encoded(tokenizer), config=config)


def scripted(monkeypatch: pytest.MonkeyPatch, script: list[float]) -> list[dict[str, Any]]:
    """Let the dev accuracy follow ``script``; returns the trained weights at each reading."""
    seen: list[dict[str, Any]] = []

    def reading(network: EncoderNetwork, *_: Any) -> dict[str, float]:
        seen.append(network.weights())
        return {"accuracy": script[len(seen) - 1]}

    monkeypatch.setattr(module, "_scores", reading)
    return seen


def test_a_separable_task_is_learned_to_the_last_text(tokenizer: Any) -> None:
    result = tuned(tokenizer)
    assert result.dev == {"accuracy": 1.0}
    dev = encoded(tokenizer).dev
    assert score_network(runner(result.network), TASK, dev) == {"accuracy": 1.0}
    assert not result.network.training


def test_it_stops_early_and_goes_back_to_the_best_epoch(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    seen = scripted(monkeypatch, [0.3, 0.8, 0.8, 0.1])
    result = tuned(tokenizer, patience=2)
    assert result.epochs == 4
    assert result.dev == {"accuracy": 0.8}
    best, last = seen[1], seen[3]
    ours = result.network.weights()
    ours["embedding.tokens"] = ours["embedding.tokens"][used_ids(tokenizer)]
    assert all(np.array_equal(ours[name], best[name]) for name in best)
    assert not np.array_equal(best["head.output.weight"], last["head.output.weight"])


def test_it_goes_on_while_it_improves(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> None:
    scripted(monkeypatch, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert tuned(tokenizer, patience=1).epochs == 6


def test_the_same_seed_gives_the_same_weights(tokenizer: Any) -> None:
    runs = [
        tuned(tokenizer, epochs=1, dropout=0.2, seed=seed).network.weights() for seed in (1, 1, 2)
    ]
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not np.array_equal(runs[0]["head.output.weight"], runs[2]["head.output.weight"])


def test_the_global_seed_is_as_before(tokenizer: Any) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    tuned(tokenizer, epochs=1, dropout=0.2)
    assert torch.equal(torch.rand(3), wanted)


def test_only_the_rows_of_tokens_seen_are_trained(tokenizer: Any) -> None:
    used = used_ids(tokenizer)
    assert len(used) < 95  # of 100
    table = "embedding.tokens"
    before, after = fresh().weights()[table], tuned(tokenizer, epochs=1).network.weights()[table]
    same = (before == after).all(axis=1)
    assert set(np.flatnonzero(same)) == set(range(100)) - set(used)


def test_the_network_given_back_equals_the_one_trained(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    trained: list[EncoderNetwork] = []

    def reading(network: EncoderNetwork, *_: Any) -> dict[str, float]:
        trained.append(network)
        return {"accuracy": 0.5}

    monkeypatch.setattr(module, "_scores", reading)
    result = tuned(tokenizer, epochs=1)
    used = used_ids(tokenizer)
    rows = encode_texts(PARTS[0].texts[:9], tokenizer, max_length=16)
    assert trained[0].arch.embedding.vocab_size == len(used)
    assert result.network.arch == fresh().arch

    def logits(network: EncoderNetwork, rows: list[list[int]]) -> torch.Tensor:
        batch = pad(rows)
        found = network.eval()(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits
        assert found is not None
        return found

    ours = logits(result.network, rows)
    assert torch.equal(ours, logits(trained[0], [[used.index(t) for t in row] for row in rows]))


def test_unseen_tokens_in_the_table_change_no_step(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    """Against training the whole table: without weight decay, rows without gradients stay."""
    narrow = tuned(tokenizer, epochs=2, weight_decay=0.0).network.weights()
    monkeypatch.setattr(module, "used_ids", lambda *_: list(range(100)))
    whole = tuned(tokenizer, epochs=2, weight_decay=0.0).network.weights()
    for name, value in whole.items():
        np.testing.assert_allclose(narrow[name], value, atol=2e-5, err_msg=name)


def test_a_loss_that_is_not_finite_stops_and_leaves_the_network(tokenizer: Any) -> None:
    network = fresh()
    with torch.no_grad():
        network.named_weights()["head.output.weight"][0, 0] = float("nan")
    before = network.weights()
    with pytest.raises(SurroundingsError, match=r"step 0 .* lower rate"):
        finetune(network, encoded(tokenizer), config=CONFIG)
    after = network.weights()
    assert all(np.array_equal(before[n], after[n], equal_nan=True) for n in before)


def test_a_head_stands_on_the_body_as_it_was() -> None:
    supernet = tiny_supernet()
    arch = supernet.space.smallest()
    body = supernet.extract(arch)
    head = Head(kind="classification", pooling="first", outputs=5)
    headed, named = with_task_head(arch, body, head, seed=3)
    assert headed.head == head
    assert named["head.output.weight"].shape == (5, arch.width)
    assert not named["head.output.bias"].any()
    assert all(np.array_equal(named[name], body[name]) for name in body)


def taught(tokenizer: Any, teacher: Teacher | None) -> float:
    """Dev accuracy where every second label of the training part is wrong."""
    noisy = dataclasses.replace(PARTS[0], labels=tuple(np.arange(120) % 2))
    lesson = Lesson(
        task=TASK,
        train=TASK.encode(noisy, tokenizer, 16),
        dev=encoded(tokenizer).dev,
        teacher=teacher,
    )
    config = dataclasses.replace(CONFIG, epochs=4, seed=1)
    return finetune(fresh(), lesson, config=config).dev["accuracy"]


def test_a_teacher_stands_above_labels_that_say_nothing(tokenizer: Any) -> None:
    """The labels alternate whatever the text says: only the teacher knows."""
    teacher = tuned(tokenizer).network
    assert taught(tokenizer, Teacher(network=teacher, weight=20.0)) > 0.9
    assert taught(tokenizer, None) < 0.8


def test_a_teachers_part_of_the_loss_is_its_weight_times_the_distance(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    """Against both losses of the first batch, from the network and teacher as they were."""
    teacher = tuned(tokenizer, epochs=1).network
    lesson = dataclasses.replace(encoded(tokenizer), teacher=Teacher(network=teacher, weight=3.0))
    seen: list[tuple[list[int], float]] = []
    inner = module._Training._loss

    def loss(training: Any, run: Any, chosen: list[int]) -> torch.Tensor:
        value = inner(training, run, chosen)
        seen.append((chosen, float(value.detach())))
        return value

    monkeypatch.setattr(module._Training, "_loss", loss)
    finetune(fresh(), lesson, config=dataclasses.replace(CONFIG, epochs=1))
    assert sorted(r for rows, _ in seen for r in rows) == list(range(120))
    chosen, found = seen[0]
    batch = lesson.train.batch(chosen)
    ours, theirs = runner(fresh())(batch), runner(teacher)(batch)
    soft = TASK.soft_loss(ours, theirs, lesson.train, chosen)
    wanted = TASK.loss(ours, lesson.train, chosen) + 3 * soft
    assert found == pytest.approx(float(wanted.detach()), rel=1e-4)


def test_a_teacher_with_another_head_is_refused(tokenizer: Any) -> None:
    other = EncoderNetwork(tiny_supernet().space.smallest().with_head(Head(kind="span", outputs=2)))
    lesson = dataclasses.replace(encoded(tokenizer), teacher=Teacher(network=other))
    with pytest.raises(InputError, match="A teacher must have a classification head"):
        finetune(fresh(), lesson, config=CONFIG)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_teachers_weight_is_positive(weight: float) -> None:
    with pytest.raises(InputError, match="positive and finite"):
        Teacher(network=fresh(), weight=weight)


def test_numbers_and_spans_are_learned_as_well(tokenizer: Any) -> None:
    """The number is which word stands first; the answer is the one word that is not ``w20``."""
    rng = np.random.default_rng(0)
    numbers = NumberedTexts(
        texts=tuple(f"w{n:02d} " + " ".join(rng.choice(WORDS[20:], size=3)) for n in range(6)) * 20,
        numbers=tuple(float(n) for n in range(6)) * 20,
    )
    assert learned(Regression(), numbers, tokenizer)["pearson"] > 0.9
    items = []
    for i in range(120):
        place = int(rng.integers(8))
        words = ["w20"] * 8
        words[place] = f"w{21 + i % 9}"
        answer = Answer(text=words[place], start=4 * place)
        items.append(
            Question(id="q", article=i, context=" ".join(words), question="w0", answers=(answer,))
        )
    questions = Questions(items=tuple(items))
    assert learned(SpanExtraction(), questions, tokenizer)["exact_match"] > 0.9


def learned(task: Task[Any], data: Any, tokenizer: Any) -> dict[str, float]:
    supernet = tiny_supernet()
    arch = supernet.space.smallest()
    named = with_task_head(arch, supernet.extract(arch), task.head("mean"))
    train, dev = split_groups(data, range(len(data)), share=0.2, seed=0)
    lesson = Lesson(
        task=task, train=task.encode(train, tokenizer, 16), dev=task.encode(dev, tokenizer, 16)
    )
    config = dataclasses.replace(CONFIG, epochs=12, patience=12, learning_rate=1e-2)
    return finetune(EncoderNetwork.of(*named), lesson, config=config).dev


def test_an_empty_part_is_refused(tokenizer: Any) -> None:
    lesson = encoded(tokenizer)
    with pytest.raises(InputError, match="they have 120 and 0"):
        dataclasses.replace(lesson, dev=TASK.encode(PARTS[1].take([]), tokenizer, 16))


@pytest.mark.parametrize("head", [Head(), Head(kind="span", outputs=2)], ids=str)
def test_a_network_with_another_head_is_refused(tokenizer: Any, head: Head) -> None:
    arch = tiny_supernet().space.smallest().with_head(head)
    with pytest.raises(InputError, match="A network must have a classification head with 2"):
        finetune(EncoderNetwork(arch), encoded(tokenizer), config=CONFIG)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("dropout", 1.0),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"{name} .* must hold.*, but got {value}"):
        FinetuneConfig(**settings)


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_a_gpu_learns_the_task_and_gives_the_network_back(tokenizer: Any) -> None:
    given = encoded(tokenizer)
    teacher = Teacher(network=tuned(tokenizer).network)
    lesson = dataclasses.replace(given, teacher=teacher)
    config = dataclasses.replace(CONFIG, device=torch.device("cuda"))
    result = finetune(fresh(), lesson, config=config)
    assert result.dev == {"accuracy": 1.0}
    assert score_network(runner(result.network), TASK, given.dev) == {"accuracy": 1.0}


def test_it_pauses_before_each_step(tokenizer: Any) -> None:
    def pause() -> float:
        pauses.append(0.0)
        return 0.0

    pauses, lesson = list[float](), encoded(tokenizer)
    config = dataclasses.replace(CONFIG, epochs=2)
    finetune(fresh(), lesson, config=config, pause=pause)
    assert len(pauses) == 2 * math.ceil(len(lesson.train) / config.batch_size)
