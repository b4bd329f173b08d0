"""All members learn a task at once, on texts that one word decides."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import supernet.finetune_supernet as module
from fleetfit import Head, InputError, SurroundingsError
from supernet.checkpoint import load_tokenizer
from supernet.finetune import FinetuneConfig, Lesson, Teacher
from supernet.finetune_supernet import (
    SupernetTuning,
    TunedSupernet,
    finetune_supernet,
    score_members,
    watched_members,
)
from supernet.model import Supernet
from supernet.named_members import named_members
from supernet.network import EncoderNetwork
from supernet.sampling import Sampling
from supernet.tasks import Classification, LabelledTexts
from tests.supernet.tasks.cases import CASES
from tests.supernet.tiny import WORDS, tiny_spaces, tiny_supernet, train, write_tokenizer

BASE = FinetuneConfig(
    epochs=8, batch_size=8, learning_rate=2e-3, patience=8, dropout=0.0, bf16=False
)
TASK = Classification(("no", "yes"))
HEAD = TASK.head("mean")


def sentences(count: int, *, seed: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Texts of five words, the last of which is one of the first two: which one is the label."""
    rng = np.random.default_rng(seed)
    labels = tuple(int(x) for x in rng.integers(2, size=count))
    rows = ([*rng.choice(WORDS[10:60], size=4), WORDS[y]] for y in labels)
    return tuple(map(" ".join, rows)), labels


def lesson(tokenizer: Any, *, count: int = 80) -> Lesson:
    def part(size: int, seed: int) -> LabelledTexts:
        texts, labels = sentences(size, seed=seed)
        return LabelledTexts(texts=texts, labels=labels, names=TASK.labels)

    train, dev = (TASK.encode(one, tokenizer, 16) for one in (part(count, 0), part(40, 1)))
    return Lesson(task=TASK, train=train, dev=dev)


def fresh(kind: str = "elastic") -> Supernet:
    return tiny_supernet(kind).with_task(HEAD)


def tuned(tokenizer: Any, **changes: Any) -> TunedSupernet:
    config = SupernetTuning(base=dataclasses.replace(BASE, **changes))
    return finetune_supernet(fresh(), lesson(tokenizer), config=config)


def same(first: Supernet, second: Supernet) -> bool:
    ours, theirs = first.tensors(), second.tensors()
    return all(torch.equal(ours[name], theirs[name]) for name in ours.keys() | theirs.keys())


@functools.cache
def learned(kind: str, path: Path) -> tuple[TunedSupernet, Lesson]:
    given = lesson(load_tokenizer(path), count=320)
    config = SupernetTuning(base=BASE, random_members=2)
    return finetune_supernet(fresh(kind), given, config=config), given


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("words") / "tokenizer.json")


@pytest.mark.parametrize("kind", sorted(tiny_spaces()))
def test_every_named_member_learns_the_task(kind: str, words: Path) -> None:
    result, given = learned(kind, words)
    named = named_members(result.supernet.space)
    before = score_members(fresh(kind), named, TASK, given.dev)
    after = score_members(result.supernet, named, TASK, given.dev)
    assert np.mean([found["accuracy"] for found in before.values()]) < 0.7
    for name, found in after.items():
        assert found["accuracy"] > 0.9, name


def test_members_that_no_step_named_learn_it_too(words: Path) -> None:
    result, given = learned("elastic", words)
    space, rng = result.supernet.space, np.random.default_rng(8)
    drawn = {str(i): space.sample(rng) for i in range(12)}
    scores = score_members(result.supernet, drawn, TASK, given.dev)
    assert np.mean([found["accuracy"] for found in scores.values()]) > 0.9


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_task_is_learned(name: str, tokenizer: Any) -> None:
    """By heart: the mean metric of large and small on a few rows rises by a quarter at least."""
    task, rows = CASES[name].task, CASES[name].encoded(tokenizer)
    start = tiny_supernet().with_task(task.head("first"))
    before = score_members(start, watched_members(start.space), task, rows)
    base = dataclasses.replace(BASE, epochs=15, patience=15, learning_rate=5e-3)
    given = Lesson(task=task, train=rows, dev=rows)
    result = finetune_supernet(start, given, config=SupernetTuning(base=base))
    assert result.dev_score > 0.25 + np.mean([v[task.metrics[0]] for v in before.values()])


def test_the_dev_score_is_the_mean_over_the_watched_members(words: Path) -> None:
    result, given = learned("elastic", words)
    watched = watched_members(result.supernet.space)
    assert list(watched) == ["largest", "middle", "smallest"]
    scores = score_members(result.supernet, watched, TASK, given.dev)
    mean = np.mean([found["accuracy"] for found in scores.values()])
    assert result.dev_score == pytest.approx(mean)


def gradients(supernet: Supernet) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in supernet.tensors().items() if p.grad is not None}


@pytest.mark.parametrize("taught", [False, True], ids=["in_place", "teacher"])
def test_a_step_learns_as_the_sandwich_rule_says(tokenizer: Any, taught: bool) -> None:
    """By hand: labels and the largest's shares in place, or labels and the teacher's for all."""
    supernet, given = train(fresh(), steps=1), lesson(tokenizer)
    supernet.zero_grad(set_to_none=True)
    chosen, step = [3, 1, 4, 15], 7
    config = SupernetTuning(base=BASE, random_members=2, hard=0.3, soft=0.6)
    soft = None
    if taught:
        arch = supernet.space.source.with_head(HEAD)
        teacher = EncoderNetwork.of(arch, fresh().with_task(HEAD, seed=9).extract(arch))
        given = dataclasses.replace(given, teacher=Teacher(network=teacher, weight=0.8))
        soft = given.answers(dataclasses.replace(config.base, bf16=False))
    run = module._Run(supernet=supernet, lesson=given, config=config, soft=soft)
    run._learn(chosen, step)
    ours = gradients(supernet)

    supernet.zero_grad(set_to_none=True)
    batch, labels = given.train.batch(chosen), given.train.targets[chosen]
    members = Sampling(random_members=2).members(supernet.space, seed=0, step=step)
    assert list(members) == ["largest", "smallest", "random0", "random1"]
    hard, weight = (1.0, 0.8) if taught else (0.3, 0.6)
    shares = None if soft is None else torch.tensor(np.stack([soft[r] for r in chosen])).softmax(-1)
    for arch in members.values():
        logits = supernet(batch, arch.with_head(HEAD)).logits
        assert logits is not None
        loss = F.cross_entropy(logits, labels)
        if shares is not None:
            loss = hard * loss - weight * (shares * logits.log_softmax(-1)).sum(-1).mean()
        else:
            shares = logits.detach().softmax(-1)
        (loss / 4).backward()
    theirs = gradients(supernet)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)


def test_the_supernet_given_stays_as_it_was(tokenizer: Any) -> None:
    start, untouched = fresh(), fresh()
    config = SupernetTuning(base=dataclasses.replace(BASE, epochs=1))
    result = finetune_supernet(start, lesson(tokenizer), config=config)
    assert same(start, untouched)
    assert result.supernet.space == start.space
    for name in ("task.weight", "in.0.weight", "out.1", "layers.1.1.linear.0.weight"):
        assert not torch.equal(result.supernet.tensors()[name], start.tensors()[name]), name


def test_the_same_seed_gives_the_same_weights(tokenizer: Any) -> None:
    first, again, other = (
        tuned(tokenizer, epochs=1, dropout=0.2, seed=seed).supernet for seed in (1, 1, 2)
    )
    assert same(first, again)
    assert not same(first, other)


def test_the_global_seed_is_as_before(tokenizer: Any) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    tuned(tokenizer, epochs=1, dropout=0.2)
    assert torch.equal(torch.rand(3), wanted)


def test_only_the_embeddings_of_tokens_seen_are_trained(tokenizer: Any) -> None:
    given = lesson(tokenizer)
    used = {0}.union(*given.train.ids, *given.dev.ids)
    assert len(used) < 70  # of 100
    before = fresh().tensors()["embedding.tokens"]
    after = tuned(tokenizer, epochs=1).supernet.tensors()["embedding.tokens"]
    still = (before == after).all(dim=1).numpy()
    assert set(np.flatnonzero(still)) == set(range(100)) - used


def test_it_stops_early_and_goes_back_to_the_best_epoch(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    script, seen = [0.3, 0.8, 0.8, 0.1], list[dict[str, torch.Tensor]]()

    def reading(supernet: Supernet, members: Any, *_: Any, **__: Any) -> Any:
        seen.append({n: t.detach().clone() for n, t in supernet.tensors().items()})
        return {name: {"accuracy": script[len(seen) - 1]} for name in members}

    monkeypatch.setattr(module, "score_members", reading)
    result = tuned(tokenizer, patience=2)
    assert result.epochs == 4
    assert result.dev_score == pytest.approx(0.8)
    ours = result.supernet.tensors()
    whole = seen[1].keys() - {"embedding.tokens", "head.bias"}
    assert all(torch.equal(ours[name], seen[1][name]) for name in whole)
    assert not torch.equal(seen[1]["task.weight"], seen[3]["task.weight"])


def test_a_loss_that_is_not_finite_names_step_and_rate(tokenizer: Any) -> None:
    start = fresh()
    with torch.no_grad():
        start.tensors()["task.weight"][0, 0] = float("nan")
    rate = re.escape(f"{2e-3 / 8:.2g}")  # a tenth of 80 steps warms up
    with pytest.raises(SurroundingsError, match=rf"step 0 at learning rate {rate} .* lower"):
        finetune_supernet(start, lesson(tokenizer), config=SupernetTuning(base=BASE))
    assert torch.equal(start.tensors()["out.0"], torch.eye(32))


@pytest.mark.parametrize("head", [None, TASK.head("mean"), Head(kind="span", outputs=2)])
def test_a_head_of_another_task_is_refused(tokenizer: Any, head: Head | None) -> None:
    three = Classification(("a", "b", "c"))
    data = LabelledTexts(texts=("w00", "w01"), labels=(0, 2), names=three.labels)
    rows = three.encode(data, tokenizer, 16)
    start = tiny_supernet() if head is None else tiny_supernet().with_task(head)
    with pytest.raises(InputError, match="must have a classification head with 3 outputs"):
        finetune_supernet(
            start, Lesson(task=three, train=rows, dev=rows), config=SupernetTuning(base=BASE)
        )


def test_a_teacher_of_another_task_is_refused(tokenizer: Any) -> None:
    arch = tiny_supernet().space.source.with_head(Head(kind="span", outputs=2))
    teacher = Teacher(network=EncoderNetwork(arch))
    given = dataclasses.replace(lesson(tokenizer), teacher=teacher)
    with pytest.raises(InputError, match="A teacher must have a classification head"):
        finetune_supernet(fresh(), given, config=SupernetTuning(base=BASE))


@pytest.mark.parametrize(
    "change",
    [{"hard": -1.0}, {"soft": float("nan")}, {"hard": 0.0, "soft": 0.0}, {"random_members": -1}],
    ids=str,
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"must be >= 0"):
        SupernetTuning(base=BASE, **change)


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_a_gpu_trains_all_members_as_the_cpu_does(tokenizer: Any) -> None:
    given = lesson(tokenizer)
    config = SupernetTuning(base=dataclasses.replace(BASE, epochs=1))
    base = dataclasses.replace(config.base, device=torch.device("cuda"))
    wanted = finetune_supernet(fresh(), given, config=config).supernet.tensors()
    on_gpu = finetune_supernet(fresh(), given, config=dataclasses.replace(config, base=base))
    for name, value in on_gpu.supernet.tensors().items():
        if not name.endswith("key.bias"):  # rounding alone moves it
            torch.testing.assert_close(value, wanted[name], rtol=1e-2, atol=1e-3, msg=name)


def test_it_pauses_before_each_step(tokenizer: Any) -> None:
    def pause() -> float:
        pauses.append(0.0)
        return 0.0

    pauses, given = list[float](), lesson(tokenizer)
    config = SupernetTuning(base=dataclasses.replace(BASE, epochs=1))
    finetune_supernet(fresh(), given, config=config, pause=pause)
    assert len(pauses) == math.ceil(len(given.train) / BASE.batch_size)
