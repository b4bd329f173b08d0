"""Training all sub-networks at once: sampled members, distillation and masked LM.

Each step trains some members on the same batch: by default the largest, the smallest and random
ones (Yu & Huang 2019). Everything random follows from (seed, step), so a run goes on from its last
state to the same result; the state is bound to the settings, the text, the teacher and the starting
weights it came from.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from fleetfit.codec import to_json
from fleetfit.errors import InputError, SurroundingsError
from fleetfit.files import read_text, write_bytes, write_text
from supernet.digests import digest_of_stream, digest_of_tensors
from supernet.forward import Batch
from supernet.losses import LossWeights
from supernet.masking import corrupt, masked_lm_loss
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.objective import Example, Objective
from supernet.sampling import Sampling
from supernet.teacher import Teacher
from supernet.text import TokenStream

__all__ = ["PretrainConfig", "Pretraining"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainConfig:
    """One training run."""

    tokens: int
    """Tokens of the main stage; each is seen by every sub-network of its step."""
    head_tokens: int = 0
    """Tokens of the first stage: the masked-LM head alone on the frozen source."""
    batch_tokens: int = 4096
    seq_lens: tuple[int, ...] = (128, 64, 32)
    """One of them is drawn for each step; short ones are what sentence tasks look like."""
    learning_rate: float = 5e-4
    head_learning_rate: float = 1e-3
    warmup: float = 0.05
    """Share of each stage with a rising rate; after it the rate falls linearly to 2 %."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    sampling: Sampling = field(default_factory=Sampling)
    """Which sub-networks a step of the main stage trains."""
    losses: LossWeights = field(default_factory=LossWeights)
    """What they learn from."""
    fitted_teacher: bool = False
    """The teacher is another model of the same vocabulary, compared through a learned map."""
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Counts and rates are positive, and what is distilled from is trained."""
        sizes = (self.tokens, self.batch_tokens, self.learning_rate, self.head_learning_rate)
        if not all(0 < size < math.inf for size in sizes) or self.head_tokens < 0:
            raise InputError("Tokens and learning rates must be above 0 and finite, one is not.")
        if not (0 < self.clip < math.inf and 0 <= self.weight_decay < math.inf):
            raise InputError(
                "`clip > 0` and `weight_decay >= 0` must hold, both finite, but got "
                f"{self.clip} and {self.weight_decay}."
            )
        if not 0 <= self.warmup < 1:
            raise InputError(f"The warmup must be a share below 1, but got {self.warmup}.")
        if not self.seq_lens or min(self.seq_lens) < 3 or self.batch_tokens < max(self.seq_lens):
            raise InputError(
                "Sequences must have at least 3 tokens and fit into the tokens of a step, but got "
                f"lengths {_listed(self.seq_lens)} and {self.batch_tokens} tokens a step."
            )
        if self.seed < 0:
            raise InputError(f"The seed must be >= 0, but got {self.seed}.")
        if self.losses.in_place and self.sampling.strategy != "sandwich":
            raise InputError(
                "In-place distillation must have the largest member in every step, but the "
                f"strategy is {self.sampling.strategy}; take the sandwich or in_place 0."
            )

    @property
    def head_steps(self) -> int:
        """Steps of the first stage."""
        return math.ceil(self.head_tokens / self.batch_tokens)

    @property
    def steps(self) -> int:
        """Steps of both stages."""
        return self.head_steps + math.ceil(self.tokens / self.batch_tokens)


Progress = Callable[[int, int, str], None]


class Pretraining:
    """A run in ``directory``: ``state.safetensors`` (resumable) and ``loss.csv``."""

    def __init__(
        self,
        supernet: Supernet,
        text: tuple[TokenStream, dict[str, int]],
        config: PretrainConfig,
        *,
        directory: Path,
        teacher: EncoderNetwork | None = None,
    ) -> None:
        """``text``: its tokens, and the ids of [MASK], [PAD] and [UNK].

        ``teacher``: a network of the source's sizes, as when training goes on; a copy of the
        largest member as ``supernet`` is now where not given. A fitted one may have other sizes
        and must be given. Raises InputError for one of other sizes or another vocabulary, a corpus
        below one batch and sequences longer than the positions of supernet or teacher.
        """
        self.supernet, self.config, self.directory = supernet, config, directory
        self.stream, self.special = text
        frozen = Teacher.of(supernet, teacher, fitted=config.fitted_teacher)
        self.teacher = frozen.network
        self._check_lengths()
        self.objective = Objective(supernet, frozen, config.losses)
        self.named = supernet.tensors() | frozen.fit
        self.optimizer = torch.optim.AdamW(
            _groups(self.named, config.weight_decay), betas=(0.9, 0.98), fused=True
        )
        self.step = 0
        self._inputs = {  # by digest; a state must come from the same
            "text": digest_of_stream(self.stream, self.special),
            "teacher": digest_of_tensors(self.teacher.named_weights()),
            "starting weights": digest_of_tensors(supernet.tensors()),
        }

    def _check_lengths(self) -> None:
        config = self.config
        networks = (self.supernet.space.source, self.teacher.arch)
        positions = min(arch.embedding.max_positions for arch in networks)
        if max(config.seq_lens) > positions:
            raise InputError(
                f"Sequences must have at most the model's {positions} positions, but got lengths "
                f"{_listed(config.seq_lens)}."
            )
        if any(self.stream.windows(n) * n < config.batch_tokens for n in config.seq_lens):
            raise InputError(
                f"A corpus must hold at least one batch of {config.batch_tokens} tokens, "
                f"but this one has {len(self.stream.tokens)}; give more text."
            )

    def run(
        self,
        *,
        until: int | None = None,
        save_every_s: float = 60.0,
        progress: Progress | None = None,
    ) -> None:
        """Train to the end (or to step ``until``), saving state on the way and at the end."""
        end = self.config.steps if until is None else min(self.config.steps, until)
        saved = begun = time.monotonic()
        first = self.step
        self._trim_log()
        while self.step < end:
            losses = self._train_step()
            self._log(losses)
            rate = (self.step - first) * self.config.batch_tokens / (time.monotonic() - begun)
            if progress is not None:
                shown = " ".join(f"{k} {v:.3f}" for k, v in losses.items())
                progress(self.step, self.config.steps, f"{shown}, {rate:.0f} tokens/s")
            if time.monotonic() - saved > save_every_s:
                self.save_state()
                saved = time.monotonic()
        self.save_state()

    def _train_step(self) -> dict[str, float]:
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        example = self._example(np.random.default_rng([self.config.seed, self.step]))
        if self.step < self.config.head_steps:
            losses = {"head": self._head_step(example)}
        else:
            losses = self._member_step(example)
        norm = torch.nn.utils.clip_grad_norm_(list(self.named.values()), self.config.clip)
        if not math.isfinite(float(norm)):
            raise SurroundingsError(
                f"Losses must stay finite, but step {self.step} at learning rate {rate:.2g} gave "
                f"{losses}; the state before is kept: start again with a lower rate."
            )
        self.optimizer.step()
        self.step += 1
        return losses

    def _example(self, rng: np.random.Generator) -> Example:
        seq_len = int(rng.choice(self.config.seq_lens))
        rows = rng.integers(self.stream.windows(seq_len), size=self.config.batch_tokens // seq_len)
        clean = torch.from_numpy(self.stream.batch(rows, seq_len))
        if self.step >= self.config.head_steps and not self.config.losses.needs_masking:
            return Example(batch=Batch.of(clean), clean=clean)
        keep = {self.stream.cls_id, self.stream.sep_id, self.special["[PAD]"]}
        corrupted, chosen = corrupt(
            clean,
            rng,
            mask_id=self.special["[MASK]"],
            vocab_size=self.supernet.space.source.embedding.vocab_size,
            keep=keep | {self.special["[UNK]"]},
        )
        return Example(batch=Batch.of(corrupted), clean=clean, chosen=chosen)

    def _head_step(self, example: Example) -> float:
        chosen = example.chosen
        assert chosen is not None
        with self._autocast():
            hidden = self.objective.source_states(example.batch)
        with self._autocast():
            largest = self.supernet.space.largest()
            logits = self.objective.logits(largest, hidden, chosen)
            loss = masked_lm_loss(logits, example.clean[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in self.named.items():
            if not name.startswith("head."):
                parameter.grad = None  # the tied embeddings stay the source's in this stage
        return float(loss.detach())

    def _member_step(self, example: Example) -> dict[str, float]:
        config = self.config
        members = config.sampling.members(self.supernet.space, seed=config.seed, step=self.step)
        with self._autocast():
            lesson = self.objective.teach(example.batch)
        losses = {}
        for name, arch in members.items():
            with self._autocast():
                loss, logits = self.objective(arch, example, lesson)
            (loss / len(members)).backward()  # type: ignore[no-untyped-call]
            losses[name] = float(loss.detach())
            if name == "largest" and config.losses.in_place and logits is not None:
                lesson = replace(lesson, logits=logits.detach())
        return losses

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.bf16)

    def _learning_rate(self) -> float:
        config = self.config
        in_head = self.step < config.head_steps
        begin, end = (0, config.head_steps) if in_head else (config.head_steps, config.steps)
        done = (self.step - begin + 1) / max(1, end - begin)
        peak = config.head_learning_rate if in_head else config.learning_rate
        if done < config.warmup:
            return peak * done / config.warmup
        return peak * max(0.02, (1 - done) / max(1e-9, 1 - config.warmup))

    def _log(self, losses: dict[str, float]) -> None:
        path = self.directory / "loss.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if fresh:
                writer.writerow(["step", "name", "loss"])
            writer.writerows([self.step, name, f"{value:.6f}"] for name, value in losses.items())

    def _trim_log(self) -> None:
        """Drop lines of steps that will be taken again, and what a kill left of a line."""
        path = self.directory / "loss.csv"
        if path.exists():
            lines = [x for x in read_text(path, "The losses of a run").splitlines() if _is_row(x)]
            kept = [x for x in lines if int(x.split(",")[0]) <= self.step]
            write_text(path, "\n".join(["step,name,loss", *kept]) + "\n")

    def save_state(self) -> None:
        """Write ``state.safetensors``: weights, optimizer moments, step, settings, digests."""
        tensors = {f"weights.{n}": p.detach() for n, p in self.named.items()}
        for name, parameter in self.named.items():
            for part, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"{part}.{name}"] = value.detach().float()
        metadata = {
            "step": str(self.step),
            "config": json.dumps(_plain(self.config)),
            "inputs": json.dumps(self._inputs),
        }
        data = to_bytes({n: t.contiguous() for n, t in tensors.items()}, metadata)
        write_bytes(self.directory / "state.safetensors", data)

    def resume(self) -> bool:
        """Go on from ``state.safetensors`` where there is one; says whether there was.

        Raises InputError for a state of other settings, text, teacher or starting weights, and
        for a damaged one.
        """
        path = self.directory / "state.safetensors"
        for stray in self.directory.glob(f".{path.name}.*"):
            stray.unlink()  # what a kill left of a save
        if not path.exists():
            return False
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as exc:  # safetensors raises its own kind
            raise InputError(f"{path} must be a whole state file, but: {exc}.") from exc
        self._check_same(path, metadata)
        try:
            self._restore(tensors, int(metadata["step"]))
        except (KeyError, RuntimeError, ValueError) as exc:
            raise InputError(f"{path} must hold the whole state, but: {exc!r}.") from exc
        return True

    def _check_same(self, path: Path, metadata: dict[str, str]) -> None:
        try:
            config = json.loads(metadata.get("config", "null"))
            inputs = dict(json.loads(metadata.get("inputs", "{}")))
        except (ValueError, TypeError) as exc:
            raise InputError(f"{path} must say what it came from, but: {exc}.") from exc
        odd = [] if config == _plain(self.config) else ["settings"]
        odd += [what for what, ours in self._inputs.items() if inputs.get(what) != ours]
        if odd:
            raise InputError(
                f"{path} must come from the same {odd[0]}, but got others; give those of the first "
                "start or another directory."
            )

    def _restore(self, tensors: dict[str, Tensor], step: int) -> None:
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(tensors[f"weights.{name}"])
                if f"exp_avg.{name}" in tensors:
                    self.optimizer.state[parameter] = {
                        part: tensors[f"{part}.{name}"]
                        for part in ("step", "exp_avg", "exp_avg_sq")
                    }
        self.step = step


def _groups(named: dict[str, Tensor], decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices, the factors of projections among them; none for vectors."""
    matrices = [p for p in named.values() if p.ndim > 1]
    vectors = [p for p in named.values() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _listed(lengths: tuple[int, ...]) -> str:
    return ",".join(map(str, lengths)) or "none"


def _plain(config: PretrainConfig) -> dict[str, object]:
    data: dict[str, object] = to_json(config)
    return data


def _is_row(line: str) -> bool:
    step, *rest = line.split(",")
    return step.isdecimal() and len(rest) == 2
