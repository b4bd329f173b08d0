"""What each step of a run is trained on: a pure function of (seed, step)."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from supernet.forward import Batch
from supernet.masking import corrupt
from supernet.objective import Example
from supernet.pretrain_config import PretrainConfig
from supernet.text import TokenStream

__all__ = ["StepBatches"]

_SAMPLE: Final = 4096


class StepBatches:
    """Windows of a text, corrupted where the stage predicts tokens."""

    def __init__(
        self,
        text: tuple[TokenStream, dict[str, int]],
        config: PretrainConfig,
        networks: tuple[Architecture, ...],
    ) -> None:
        """``text``: its tokens, and the ids of [MASK], [PAD] and [UNK].

        Raises InputError for a corpus below one batch and for sequences longer than the positions
        of one of ``networks``.
        """
        self._stream, self._special = text
        self._config = config
        self._vocab_size = networks[0].embedding.vocab_size
        positions = min(arch.embedding.max_positions for arch in networks)
        if max(config.seq_lens) > positions:
            raise InputError(
                f"Sequences must have at most the model's {positions} positions, but got lengths "
                f"{','.join(map(str, config.seq_lens))}."
            )
        if any(self._stream.windows(n) * n < config.batch_tokens for n in config.seq_lens):
            raise InputError(
                f"A corpus must hold at least one batch of {config.batch_tokens} tokens, "
                f"but this one has {len(self._stream.tokens)}; give more text, or a lower "
                "batch_tokens."
            )

    def check_parts(self, parts: int) -> None:
        """Raises InputError where a step has fewer sequences than ``parts``."""
        config = self._config
        rows = config.batch_tokens // max(config.seq_lens)
        if rows < parts:
            raise InputError(
                f"A step must have a sequence for each of its {parts} parts (processes times "
                f"micro-batches), but {config.batch_tokens} tokens are {rows} sequences of "
                f"{max(config.seq_lens)}; give more tokens a step or fewer parts."
            )

    def sample(self) -> Batch:
        """About 4,096 tokens from all over the text, the same for all processes and seeds."""
        length = max(self._config.seq_lens)
        count = min(self._stream.windows(length), max(1, _SAMPLE // length))
        rows = np.linspace(0, self._stream.windows(length) - 1, count).astype(np.int64)
        return Batch.of(torch.from_numpy(self._stream.batch(rows, length)))

    def example(self, step: int) -> Example:
        """All of a step's rows."""
        config, stream = self._config, self._stream
        rng = np.random.default_rng([config.seed, step])
        seq_len = int(rng.choice(config.seq_lens))
        rows = rng.integers(stream.windows(seq_len), size=config.batch_tokens // seq_len)
        clean = torch.from_numpy(stream.batch(rows, seq_len))
        if step >= config.head_steps and not config.losses.needs_masking:
            return Example(batch=Batch.of(clean), clean=clean)
        kept = {stream.cls_id, stream.sep_id, self._special["[PAD]"], self._special["[UNK]"]}
        corrupted, chosen = corrupt(
            clean, rng, mask_id=self._special["[MASK]"], vocab_size=self._vocab_size, keep=kept
        )
        return Example(batch=Batch.of(corrupted), clean=clean, chosen=chosen)
