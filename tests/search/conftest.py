"""A tiny BERT checkpoint with its texts, for tests of the command line."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cli import main
from tests.search.cli_fakes import SHAPE, TARGET, Fitted, measure_by_fake

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = (
    *("the", "a", "cat", "dog", "sat", "on", "mat", "i", "lost", "my", "card", "need", "new"),
    *("one", "where", "is", "money", "top", "up"),
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks are fastest so, most of all on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 layers, 32 wide, 4 heads, feed-forward 64, 200 words, 40 positions; by transformers."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    path = tmp_path_factory.mktemp("bert") / "checkpoint"
    names = [*_SPECIAL, *_WORDS]
    names += [f"[unused{i}]" for i in range(200 - len(names))]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = BertConfig(vocab_size=200, intermediate_size=64, max_position_embeddings=40, **sizes)
    BertModel(config).save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 lines of twelve words."""
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text("\n".join(" ".join(draw.choices(_WORDS, k=12)) for _ in range(120)))
    return path


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 texts that end in their label, ``card`` or ``money``."""
    draw = random.Random(1)
    path = tmp_path_factory.mktemp("task") / "train.csv"
    labels = ["card", "money"] * 20
    rows = [f"{' '.join(draw.choices(_WORDS, k=5))} {label},{label}" for label in labels]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.fixture(scope="session")
def supernet(bert: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint, converted by the command line, every dimension elastic."""
    from search.cli import main

    path = tmp_path_factory.mktemp("supernet") / "supernet"
    every = ["--depths", "2,3", "--widths", "16,32", "--heads", "1,2,3,4"]
    assert main(["convert", str(bert), str(path), "--text", str(corpus), *every]) == 0
    return path


@pytest.fixture(scope="session")
def learned(supernet: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The store and the predictors of ten networks measured by the fake."""
    from search.cli import main

    path = tmp_path_factory.mktemp("learned")
    store, costs = path / "store.db", path / "costs"
    sizes = ["--networks", "10", "--memory-every", "1"]
    with pytest.MonkeyPatch.context() as patch:
        measure_by_fake(patch)
        words = ["profile", str(supernet), "--store", str(store), *TARGET, *SHAPE, *sizes]
        assert main(words) == 0
    assert main(["learn", str(costs), "--store", str(store)]) == 0
    return store, costs


@pytest.fixture
def fitted(supernet: Path, learned: tuple[Path, Path], labelled: Path, tmp_path: Path) -> Fitted:
    """Everything that a search needs, a store of its own, and a new directory for the search."""
    kept, costs = learned
    store = Path(shutil.copy(kept, tmp_path / "store.db"))
    return Fitted(
        supernet=supernet, store=store, costs=costs, text=labelled, out=tmp_path / "found"
    )


@pytest.fixture(scope="session")
def tuned(supernet: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network fine-tuned on ``labelled``, of texts of 16 tokens; to be read only."""
    path = tmp_path_factory.mktemp("tuned") / "model"
    words = ["--train", str(labelled), "--epochs", "1", "--max-length", "16"]
    assert main(["finetune", str(supernet), str(path), *words]) == 0
    return path
