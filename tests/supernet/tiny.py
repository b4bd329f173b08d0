"""A tiny random BERT checkpoint, its tokenizer, and supernets around it; small enough to train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fleetfit import Architecture, Head
from fleetfit.weights import weight_shapes
from supernet.forward import Batch
from supernet.model import Supernet
from supernet.quality import HiddenLoss, windows
from supernet.spaces import (
    AutoTinyBertSpace,
    ElasticChoices,
    ElasticSpace,
    SearchSpace,
    SuperShaperSpace,
)
from supernet.text import TokenStream
from tests.conftest import build_tiny_source

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
IDS = {name: i for i, name in enumerate(SPECIAL)}
WORDS = tuple(f"w{i:02d}" for i in range(95))
"""``WORDS[i]`` has the id ``i + 5``; the vocabulary has 100 entries."""

CHOICES = ElasticChoices(
    depths=(1, 2, 3), embedding_widths=(16, 32), widths=(16, 24, 32), heads=(1, 2, 4), ffns=(32, 64)
)


def tiny_space() -> ElasticSpace:
    return ElasticSpace(source=build_tiny_source(), choices=CHOICES)


def tiny_spaces() -> dict[str, SearchSpace]:
    """Every space and way of slicing around the same source."""
    source = build_tiny_source()
    return {
        "elastic": tiny_space(),
        "supershaper": SuperShaperSpace.of(source),
        "whole_heads": AutoTinyBertSpace.of(source),
        "narrowed_heads": AutoTinyBertSpace.of(source, slicing="narrowed_heads"),
    }


def members(space: SearchSpace) -> dict[str, Architecture]:
    """Every dimension alone and together, from few layers to all."""
    ends = {"largest": space.largest(), "smallest": space.smallest()}
    match space:
        case ElasticSpace():
            return ends | _elastic_members(space)
        case SuperShaperSpace():
            return ends | {
                "narrow_middle": space.build([32, 16, 32]),
                "equal_widths": space.build([20, 20, 20]),
                "growing": space.build([8, 16, 24]),
            }
        case AutoTinyBertSpace():
            attention = (2, 8) if space.slicing == "whole_heads" else (4, 3)
            return ends | {
                "narrow": space.build(3, (20, 4, 8, 64)),
                "less_attention": space.build(3, (32, *attention, 64)),
                "less_ffn": space.build(3, (32, 4, 8, 20)),
                "shallow": space.build(2, (24, *attention, 40)),
            }
        case _:
            raise TypeError(f"name the members of {type(space).__name__} to test with here")


def _elastic_members(space: ElasticSpace) -> dict[str, Architecture]:
    return {
        "narrow_embedding": space.build(16, [(32, 4, 64)] * 3),
        "wide_embedding": space.build(32, [(16, 4, 64)] * 3),
        "projected_twice": space.build(32, [(24, 4, 64), (24, 2, 32), (16, 1, 64)]),
        "growing": space.build(16, [(16, 2, 32), (32, 4, 64)]),
        "fewer_heads": space.build(32, [(32, 1, 64), (32, 2, 64), (32, 4, 64)]),
        "less_ffn": space.build(32, [(32, 4, 32)] * 3),
        "shallow": space.build(32, [(32, 4, 64)] * 2),
    }


MEMBERS = [(kind, name) for kind, space in tiny_spaces().items() for name in members(space)]
"""The space and name of each."""


def random_weights(arch: Architecture, *, seed: int = 0) -> dict[str, Tensor]:
    """Nothing zero or one, so that no forgotten bias or norm goes unseen."""
    rng = np.random.default_rng(seed)
    named = {}
    for name, shape in weight_shapes(arch).items():
        value = rng.normal(0, 0.3, shape)
        named[name] = torch.from_numpy((value + ("norm.weight" in name)).astype(np.float32))
    return named


def tiny_supernet(kind: str = "elastic", *, seed: int = 0) -> Supernet:
    space = tiny_spaces()[kind]
    masked_lm = space.source.with_head(Head(kind="masked_lm"))
    return Supernet(space, random_weights(masked_lm, seed=seed))


def batch(*, seed: int = 0, rows: int = 3, length: int = 12) -> Batch:
    """Rows with padding of different lengths at the end and both segments."""
    rng = np.random.default_rng(seed)
    mask = np.arange(length) < np.linspace(length, length // 2, rows).round()[:, None]
    ids = rng.integers(5, 100, (rows, length)) * mask
    segments = (np.arange(length) >= length // 3) * mask
    return Batch(
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask.astype(np.int64)),
        token_type_ids=torch.from_numpy(segments.astype(np.int64)),
    )


def arrays(weights: dict[str, Tensor]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in weights.items()}


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest value of the reference."""
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())


def train(supernet: Supernet, *, steps: int = 4) -> Supernet:
    """Move every weight, projections and masked-LM head included."""
    optimizer = torch.optim.AdamW(supernet.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        inputs = batch(seed=step)
        optimizer.zero_grad()
        for arch in members(supernet.space).values():
            output = supernet(inputs, arch.with_head(Head(kind="masked_lm")))
            assert output.logits is not None
            wish = torch.randn(output.hidden.shape, generator=generator)
            (output.hidden * wish).mean().backward()
            output = supernet(inputs, arch.with_head(Head(kind="masked_lm")))
            assert output.logits is not None
            output.logits.logsumexp(dim=-1).mean().backward()
        optimizer.step()
    return supernet


def stream(*, tokens: int = 2000, seed: int = 0) -> TokenStream:
    """Words in a fixed cycle with some noise: there is something to learn."""
    rng = np.random.default_rng(seed)
    ids = 5 + (np.arange(tokens) * 7) % 95
    ids = np.where(rng.random(tokens) < 0.1, rng.integers(5, 100, tokens), ids)
    return TokenStream(tokens=ids.astype(np.uint16), cls_id=IDS["[CLS]"], sep_id=IDS["[SEP]"])


def hidden_quality(supernet: Supernet) -> HiddenLoss:
    return HiddenLoss(supernet, windows(stream(), count=8, seq_len=16))


def text_lines(count: int = 60, *, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=10)) for _ in range(count)]


def write_tokenizer(path: Path) -> Path:
    """A WordPiece ``tokenizer.json`` of 100 entries, as BERT's is built."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, IDS[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.enable_truncation(4)  # checkpoints often ship limits of their own
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(path))
    return path


def write_bert(path: Path, *, masked_lm: bool = False, **changes: Any) -> Any:
    """Save a random BERT of transformers in ``path`` with its tokenizer; returns the model."""
    from transformers import BertConfig, BertForMaskedLM, BertModel

    config = BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        **changes,
    )
    torch.manual_seed(3)
    model = BertForMaskedLM(config) if masked_lm else BertModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            near = 1.0 if "LayerNorm.weight" in name else 0.0
            parameter.copy_(near + 0.3 * torch.randn_like(parameter))
    model.save_pretrained(path)
    write_tokenizer(path / "tokenizer.json")
    return model.eval()


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
