"""A bundle comes back as it was written, or is refused with the name of what is wrong.

Long because writing, loading and every damage share the fixtures of one written bundle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from exporters import (
    Cost,
    Licence,
    Manifest,
    Parity,
    TaskMetric,
    check_parity,
    emit,
    load_bundle,
    model_bytes,
    random_weights,
    read_weights,
    write_bundle,
)
from exporters.manifest import read_manifest
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import (
    Architecture,
    DeviceInfo,
    Head,
    InputError,
    RuntimeName,
    SurroundingsError,
    Target,
    Workload,
    dumps,
    to_json,
)
from fleetfit.files import sha256_of
from supernet.network import EncoderNetwork
from tests.exporters.tensorrt_fake import install_standin

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", "lost", "my", "card", "where", "is", "it"]
Write = Callable[[Manifest], Path]
LABELS = ("lost_card", "other", "refund", "top_up", "transfer")


@pytest.fixture(scope="module")
def tokenizer() -> str:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # As some checkpoints come; a bundle must not be misled by it.
    made.enable_padding(length=37)
    made.enable_truncation(5)
    return made.to_str()


@pytest.fixture
def manifest(mixed: Architecture, device: DeviceInfo) -> Manifest:
    return Manifest(
        architecture=mixed,
        device=device,
        target=Target(runtime="onnxruntime"),
        workload=Workload(seq_len=16),
        parity=Parity(max_abs_diff=1e-6, mean_abs_diff=1e-7, limit=1e-4, shapes=((1, 16),)),
        max_length=12,
        session={"threads": "1"},
        budgets=("latency_p50<=8ms",),
        predicted=Cost(latency_p50_s=0.007),
        measured=Cost(latency_p50_s=0.0071, memory_bytes=1e8),
        metric=TaskMetric(name="accuracy", data="made up", value=0.9, source_value=0.92),
        pooling="mean",
        labels=LABELS,
        licences=(Licence(part="weights", licence="Apache-2.0", source="here"),),
        provenance={"weights": "random"},
    )


@pytest.fixture
def write(tokenizer: str, tmp_path: Path) -> Write:
    def written(manifest: Manifest) -> Path:
        arch = manifest.architecture
        fixed = manifest.target.shapes == "fixed"
        weights = random_weights(arch)
        model = emit(arch, weights, workload=manifest.workload if fixed else None)
        path = tmp_path / "bundle"
        write_bundle(path, manifest, model=model, tokenizer=tokenizer, weights=weights)
        return path

    return written


def row(ids: list[int], types: list[int] | None = None) -> dict[str, Any]:
    found = np.array([ids], dtype=np.int64)
    return {
        "input_ids": found,
        "attention_mask": np.ones_like(found),
        "token_type_ids": np.array([types or [0] * len(ids)], dtype=np.int64),
    }


def expected(
    arch: Architecture, ids: list[int], types: list[int] | None = None
) -> dict[str, float]:
    """Probabilities by PyTorch of one text of these token ids and segments."""
    inputs = row(ids, types)
    logits = EncoderNetwork.of(arch, random_weights(arch)).reference(inputs)["logits"][0]
    shares = np.exp(logits - logits.max())
    return dict(zip(LABELS, shares / shares.sum(), strict=True))


def test_the_manifest_comes_back_with_the_hash_of_every_file(
    write: Write, manifest: Manifest
) -> None:
    path = write(manifest)
    loaded = load_bundle(path).manifest
    assert dataclasses.replace(loaded, files={}, seal="") == manifest
    assert sorted(loaded.files) == ["encoder.safetensors", "model.onnx", "tokenizer.json"]
    assert all(sha256_of(path / name) == digest for name, digest in loaded.files.items())


def test_a_manifest_holds_the_lengths_of_its_workload(write: Write, manifest: Manifest) -> None:
    """Without them there is no such field: what reads format 2 without it reads these too."""
    workload = Workload(batch=2, seq_len=16, lengths=(3, 5, 16))
    path = write(dataclasses.replace(manifest, workload=workload))
    assert load_bundle(path).manifest.workload == workload
    written = json.loads((path / "manifest.json").read_text())["workload"]
    assert written == {"batch": 2, "seq_len": 16, "padding": 0, "lengths": [3, 5, 16]}
    assert "lengths" not in dumps(manifest)


def test_predictions_equal_pytorch_and_are_sorted(write: Write, manifest: Manifest) -> None:
    (found,) = load_bundle(write(manifest)).predict(["I lost my card"])
    wanted = expected(manifest.architecture, [2, 4, 5, 6, 7, 3])
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("shapes", ["fixed", "dynamic"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_target_gives_the_same_for_any_number_of_texts(
    write: Write, manifest: Manifest, shapes: Literal["fixed", "dynamic"], runtime: RuntimeName
) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    target = Target(runtime=runtime, shapes=shapes)
    workload = Workload(batch=2, seq_len=16)
    bundle = load_bundle(write(dataclasses.replace(manifest, target=target, workload=workload)))
    texts = ["I lost my card", "where is it", ""]
    alone = [bundle.predict([t])[0] for t in texts]
    together = bundle.predict(texts)
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert alone[0] == pytest.approx(expected(manifest.architecture, [2, 4, 5, 6, 7, 3]), abs=1e-5)


def test_pairs_run_as_they_were_trained(write: Write, manifest: Manifest) -> None:
    """``[CLS] A [SEP] B [SEP]``, the second in segment 1; the reference is PyTorch."""
    bundle = load_bundle(write(dataclasses.replace(manifest, pairs=True)))
    (found,) = bundle.predict(["I lost my card"], ["where is it"])
    ids, types = [2, 4, 5, 6, 7, 3, 8, 9, 10, 3], [0] * 6 + [1] * 4
    assert found == pytest.approx(expected(manifest.architecture, ids, types), abs=1e-5)
    assert bundle.predict([], []) == []


def test_of_an_overlong_pair_the_longer_is_cut(write: Write, manifest: Manifest) -> None:
    bundle = load_bundle(write(dataclasses.replace(manifest, pairs=True)))
    (found,) = bundle.predict(["card " * 99], ["where is it"])
    ids, types = [2, *[7] * 6, 3, 8, 9, 10, 3], [0] * 8 + [1] * 4
    assert found == pytest.approx(expected(manifest.architecture, ids, types), abs=1e-5)


@pytest.mark.parametrize(
    ("pairs", "seconds", "named"),
    [
        (True, None, "given pairs of texts"),
        (False, ["x"], "given single texts"),
        (True, ["x", "y"], "second one, but got 1 and 2"),
        (True, "x", "sequence of strings"),
        (True, [1], "sequence of strings"),
    ],
)
def test_a_bundle_takes_pairs_or_single_texts(
    write: Write, manifest: Manifest, pairs: bool, seconds: Any, named: str
) -> None:
    bundle = load_bundle(write(dataclasses.replace(manifest, pairs=pairs)))
    with pytest.raises(InputError, match=named):
        bundle.predict(["I"], seconds)


def test_a_number_is_the_output_itself(write: Write, manifest: Manifest) -> None:
    head = Head(kind="classification", pooling="mean", outputs=1)
    arch = manifest.architecture.with_head(head)
    bundle = load_bundle(write(dataclasses.replace(manifest, architecture=arch, labels=())))
    logits = EncoderNetwork.of(arch, random_weights(arch)).reference(row([2, 4, 5, 3]))["logits"]
    assert bundle.numbers(["I lost"]) == pytest.approx([float(logits[0, 0])], abs=1e-5)
    with pytest.raises(InputError, match="use numbers"):
        bundle.predict(["I lost"])


def test_labels_are_no_number(write: Write, manifest: Manifest) -> None:
    with pytest.raises(InputError, match="use predict"):
        load_bundle(write(manifest)).numbers(["I lost"])


def test_spans_are_for_the_session(write: Write, manifest: Manifest) -> None:
    arch = manifest.architecture.with_head(Head(kind="span", outputs=2))
    spans = dataclasses.replace(manifest, architecture=arch, labels=(), pooling=None, pairs=True)
    bundle = load_bundle(write(spans))
    reference = EncoderNetwork.of(arch, random_weights(arch)).reference
    assert check_parity(bundle.session, reference, arch.embedding, "fp32").holds
    with pytest.raises(InputError, match="kind classification, but has span"):
        bundle.predict(["a"], ["b"])


def test_a_manifest_of_the_first_format_is_read(write: Write, manifest: Manifest) -> None:
    """Sealed as version 0.1 did: ``pairs`` is no field of it."""
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    old = {k: v for k, v in data.items() if k != "pairs"} | {"format_version": 1, "seal": ""}
    text = json.dumps(old, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    old["seal"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(old))
    found = load_bundle(path).manifest
    assert (found.format_version, found.pairs) == (1, False)
    assert found.labels == LABELS
    for change in ({"pairs": True}, {"max_length": 11}):
        (path / "manifest.json").write_text(json.dumps(old | change))
        with pytest.raises(InputError, match=r"was changed|pairs from 2"):
            load_bundle(path)


def test_no_texts_give_no_predictions(write: Write, manifest: Manifest) -> None:
    assert load_bundle(write(manifest)).predict([]) == []


def test_an_empty_text_is_its_special_tokens(write: Write, manifest: Manifest) -> None:
    (found,) = load_bundle(write(manifest)).predict([""])
    assert found == pytest.approx(expected(manifest.architecture, [2, 3]), abs=1e-5)


def test_an_overlong_text_is_cut_at_its_end(write: Write, manifest: Manifest) -> None:
    (found,) = load_bundle(write(manifest)).predict(["card " * 1000])
    wanted = expected(manifest.architecture, [2] + [7] * 10 + [3])
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("texts", ["one string", [b"bytes"], [None], ["\ud800"]])
def test_what_is_no_text_is_refused(write: Write, manifest: Manifest, texts: Any) -> None:
    with pytest.raises(InputError, match="Texts must"):
        load_bundle(write(manifest)).predict(texts)


def test_embeddings_have_length_one(write: Write, manifest: Manifest) -> None:
    arch = manifest.architecture.with_head(Head(kind="embedding", pooling="mean"))
    bundle = load_bundle(write(dataclasses.replace(manifest, architecture=arch, labels=())))
    found = bundle.embed(["where is it", "my card"])
    assert found.shape == (2, arch.width)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert bundle.embed([]).shape == (0, arch.width)
    with pytest.raises(InputError, match="classification"):
        bundle.predict(["x"])


def test_the_session_runs_with_the_targets_options(write: Write, manifest: Manifest) -> None:
    target = Target(runtime="onnxruntime", threads=2, spinning=True)
    bundle = load_bundle(write(dataclasses.replace(manifest, target=target)))
    assert bundle.session.properties["intra_op_num_threads"] == "2"
    assert bundle.session.properties["session.intra_op.allow_spinning"] == "1"


def test_a_loaded_bundle_can_be_checked_against_pytorch(write: Write, manifest: Manifest) -> None:
    arch = manifest.architecture
    reference = EncoderNetwork.of(arch, random_weights(arch)).reference
    session = load_bundle(write(manifest)).session
    assert check_parity(session, reference, arch.embedding, "fp32").holds


def test_weights_come_back_for_further_training(write: Write, manifest: Manifest) -> None:
    found, wanted = read_weights(write(manifest)), random_weights(manifest.architecture)
    assert found.keys() == wanted.keys()
    assert all((found[name] == wanted[name]).all() for name in wanted)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "encoder.safetensors"])
def test_a_changed_file_is_refused_by_name(write: Write, manifest: Manifest, name: str) -> None:
    path = write(manifest)
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"{name} was changed"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "encoder.safetensors"])
def test_a_missing_file_is_refused_by_name(write: Write, manifest: Manifest, name: str) -> None:
    path = write(manifest)
    (path / name).unlink()
    with pytest.raises(InputError, match=rf"{name} is missing"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["notes.txt", "deep/er/notes.txt", ".hidden"])
def test_an_extra_file_is_refused_by_name(write: Write, manifest: Manifest, name: str) -> None:
    path = write(manifest)
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("x")
    with pytest.raises(InputError, match=rf"{name} is extra"):
        load_bundle(path)


def test_a_link_that_leads_outside_is_refused(
    write: Write, manifest: Manifest, tmp_path: Path
) -> None:
    path = write(manifest)
    outside = tmp_path / "outside.onnx"
    (path / "model.onnx").rename(outside)
    (path / "model.onnx").symlink_to(outside)
    with pytest.raises(InputError, match=r"model\.onnx leads outside"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\..\\b", "."])
def test_a_path_that_leaves_the_directory_is_refused(
    write: Write, manifest: Manifest, name: str
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    data["files"][name] = "0" * 64
    (path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="inside its directory"):
        load_bundle(path)


def test_a_newer_format_is_refused_before_its_fields_are_read(
    write: Write, manifest: Manifest
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**data, "format_version": 4, "new": 1}))
    with pytest.raises(InputError, match=r"format version must be 1 to 3 .*, but got 4"):
        load_bundle(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"format_version": 1}'])
def test_a_manifest_that_is_none_is_refused(write: Write, manifest: Manifest, text: str) -> None:
    path = write(manifest)
    (path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json must be JSON|Manifest must"):
        load_bundle(path)


@given(st.text() | st.recursive(st.none() | st.integers(), lambda x: st.lists(x)).map(json.dumps))
def test_any_text_as_manifest_is_read_or_refused(text: str) -> None:
    with pytest.raises(InputError):
        read_manifest(text, "manifest.json")


def replace_file(path: Path, name: str, content: bytes) -> None:
    """Another file of that name, with its hash in the manifest."""
    (path / name).write_bytes(content)
    data = json.loads((path / "manifest.json").read_text())
    data["files"][name] = sha256_of(path / name)
    other = read_manifest(json.dumps(data), "manifest.json").sealed()
    (path / "manifest.json").write_text(json.dumps(to_json(other)))


@pytest.mark.parametrize(
    "change", [{"labels": list(reversed(LABELS))}, {"max_length": 11}, {"seal": ""}], ids=str
)
def test_a_manifest_that_was_edited_is_refused_by_name(
    write: Write, manifest: Manifest, change: dict[str, Any]
) -> None:
    path = write(manifest)
    data = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(InputError, match=r"manifest\.json was changed"):
        load_bundle(path)


@pytest.mark.parametrize("how", ["output", "shape"])
def test_a_model_other_than_the_manifests_is_refused(
    write: Write, manifest: Manifest, how: str
) -> None:
    path = write(manifest)
    arch = manifest.architecture.with_head(Head()) if how == "output" else manifest.architecture
    workload = manifest.workload if how == "shape" else None
    model = emit(arch, random_weights(arch), workload=workload)
    replace_file(path, "model.onnx", model_bytes(model))
    with pytest.raises(InputError, match="must give logits with named axes as its manifest says"):
        load_bundle(path)


def test_weights_of_another_precision_are_refused(write: Write, manifest: Manifest) -> None:
    path = write(manifest)
    halves = {n: w.astype(np.float16) for n, w in read_weights(path).items()}
    replace_file(path, "encoder.safetensors", save(halves))
    with pytest.raises(InputError, match="must be float32, but is float16"):
        read_weights(path)


def test_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a directory"):
        load_bundle(tmp_path / "nothing")


def test_a_directory_that_holds_something_is_left_alone(
    write: Write, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").write_text("x")
    with pytest.raises(InputError, match="new or empty"):
        write(manifest)
    assert [p.name for p in (tmp_path / "bundle").iterdir()] == ["mine"]


def test_parts_that_do_not_fit_leave_nothing_behind(
    manifest: Manifest, tokenizer: str, tmp_path: Path
) -> None:
    arch = manifest.architecture
    weights = random_weights(arch)
    model = emit(arch, weights)
    path = tmp_path / "bundle"
    with pytest.raises(InputError, match="Weights must fit"):
        write_bundle(path, manifest, model=model, tokenizer=tokenizer, weights={})
    with pytest.raises(InputError, match="tokenizer"):
        write_bundle(path, manifest, model=model, tokenizer="{}", weights=weights)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_with_more_words_than_the_network_is_refused(
    manifest: Manifest, tokenizer: str, tmp_path: Path
) -> None:
    arch = manifest.architecture
    embedding = dataclasses.replace(arch.embedding, vocab_size=5)
    arch = dataclasses.replace(arch, embedding=embedding)
    weights = random_weights(arch)
    small = dataclasses.replace(manifest, architecture=arch)
    with pytest.raises(InputError, match="5 words"):
        write_bundle(
            tmp_path / "b", small, model=emit(arch, weights), tokenizer=tokenizer, weights=weights
        )


def test_an_id_beyond_the_network_is_refused_though_the_words_are_few(
    manifest: Manifest, tokenizer: str, tmp_path: Path
) -> None:
    arch = manifest.architecture
    weights = random_weights(arch)
    data = json.loads(tokenizer)
    data["model"]["vocab"]["card"] = 100
    with pytest.raises(InputError, match="100 words, but needs 101"):
        write_bundle(
            tmp_path / "b",
            manifest,
            model=emit(arch, weights),
            tokenizer=json.dumps(data),
            weights=weights,
        )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"labels": LABELS[:4]}, "5 different labels"),
        ({"labels": ("a",) * 5}, "1 different"),
        ({"max_length": 41}, "max_length <= 40"),
        ({"max_length": 1}, "2 <= max_length"),
        ({"max_length": 4, "pairs": True}, "5 <= max_length"),
        ({"labels": ()}, "5 different labels"),
        ({"pooling": "first"}, "pooling"),
        ({"budgets": ("latency<=8",)}, "metric"),
        ({"format_version": 0}, "format version"),
        ({"target": Target(runtime="onnxruntime", shapes="fixed"), "max_length": 17}, "<= 16"),
    ],
)
def test_a_manifest_whose_parts_do_not_fit_is_refused(
    manifest: Manifest, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        dataclasses.replace(manifest, **change)


def test_a_model_beyond_its_parity_limit_is_not_bundled(manifest: Manifest) -> None:
    worse = dataclasses.replace(manifest.parity, max_abs_diff=1e-3)
    with pytest.raises(InputError, match="agree with PyTorch"):
        dataclasses.replace(manifest, parity=worse)


def test_equal_bundles_have_equal_bytes(write: Write, manifest: Manifest, tmp_path: Path) -> None:
    first = write(manifest)
    first.rename(tmp_path / "first")
    second = write(manifest)
    for name in ("manifest.json", "model.onnx", "encoder.safetensors", "tokenizer.json"):
        assert (tmp_path / "first" / name).read_bytes() == (second / name).read_bytes()
    assert dumps(load_bundle(second).manifest) == dumps(load_bundle(tmp_path / "first").manifest)


def test_an_engine_is_bundled_with_its_record_and_stays_where_it_was_built(
    manifest: Manifest, tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = install_standin(monkeypatch)
    target = Target(runtime="tensorrt", provider="cuda", precision="fp16")
    adapter, weights = TensorRtGpu(tmp_path / "cache"), random_weights(manifest.architecture)
    model = emit(manifest.architecture, weights)
    artifact = adapter.build(model, target, manifest.workload, tmp_path / "built")
    manifest = dataclasses.replace(
        manifest, target=target, session=adapter.load(artifact).properties
    )
    path = tmp_path / "bundle"
    write_bundle(path, manifest, model=artifact, tokenizer=tokenizer, weights=weights)
    loaded = load_bundle(path)
    assert {"model.engine", "model.json"} < loaded.manifest.files.keys()
    assert "matmul fp16" in loaded.manifest.session["layers"]
    assert len(loaded.predict(["i lost my card"])[0]) == 5
    trt.cuda.name = "NVIDIA L4"
    with pytest.raises(SurroundingsError, match=r"NVIDIA H200.* here is NVIDIA L4.*export it here"):
        load_bundle(path)
