"""A loaded bundle answers as PyTorch does, for any number of texts."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest

from exporters import (
    Manifest,
    check_parity,
    load_bundle,
    random_weights,
)
from fleetfit import (
    Head,
    InputError,
    RuntimeName,
    Target,
    Workload,
)
from supernet.network import EncoderNetwork
from tests.exporters.bundles import Write, expected, row


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


def test_no_texts_give_no_predictions(write: Write, manifest: Manifest) -> None:
    assert load_bundle(write(manifest)).predict([]) == []


def test_an_empty_text_is_its_special_tokens(write: Write, manifest: Manifest) -> None:
    (found,) = load_bundle(write(manifest)).predict([""])
    assert found == pytest.approx(expected(manifest.architecture, [2, 3]), abs=1e-5)


def test_an_overlong_text_is_cut_at_its_end(write: Write, manifest: Manifest) -> None:
    (found,) = load_bundle(write(manifest)).predict(["card " * 1000])
    wanted = expected(manifest.architecture, [2] + [7] * 10 + [3])
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    "texts",
    ["one string", b"bytes", [b"bytes"], [None], ["\ud800"], None, 3, {"a": 1}, {"a"}, [["a"]]],
    ids=ascii,
)
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
    check_parity(session, reference, arch.embedding, "fp32")  # which raises


def test_any_ordered_texts_will_do(write: Write, manifest: Manifest) -> None:
    bundle = load_bundle(write(manifest))
    texts = ["I lost my card", "where is it"]
    wanted = bundle.predict(texts)
    generated: Any = (text for text in texts)
    every: list[Any] = [tuple(texts), np.array(texts), generated]
    for given in every:
        assert bundle.predict(given) == wanted


def test_threads_share_a_bundle(write: Write, manifest: Manifest) -> None:
    """Tokenisation and session together; the reference is one call after the other."""
    bundle = load_bundle(
        write(dataclasses.replace(manifest, workload=Workload(batch=2, seq_len=16)))
    )
    asked = [["I lost my card " * (1 + k % 3), "where is it"][: 1 + k % 2] for k in range(8)]
    alone = [bundle.predict(texts) for texts in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(bundle.predict, [asked[k % 8] for k in range(200)]))
    for k, found in enumerate(together):
        assert all(
            one == pytest.approx(other, abs=1e-6)
            for one, other in zip(found, alone[k % 8], strict=True)
        )
