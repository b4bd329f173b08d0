"""The module beside bundles is the network itself: for every head, before and after training."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

import examples.encoder_torch
from examples.encoder_torch import BundleEncoder
from exporters import Manifest, emit, load_bundle, make_inputs, read_weights, write_bundle
from fleetfit import Head, Workload
from supernet.network import EncoderNetwork
from tests.exporters.bundles import LABELS, build_bundle, build_manifest, build_mixed

HEADS = {
    "none": Head(),
    "masked_lm": Head(kind="masked_lm"),
    "mean": Head(kind="classification", pooling="mean", outputs=5),
    "first": Head(kind="classification", pooling="first", outputs=5),
    "number": Head(kind="classification", pooling="mean", outputs=1),
    "span": Head(kind="span", outputs=2),
    "embedding": Head(kind="embedding", pooling="mean"),
    "first embedding": Head(kind="embedding", pooling="first"),
}


def manifest_of(name: str, activation: Literal["gelu", "gelu_tanh", "relu"]) -> Manifest:
    arch = dataclasses.replace(build_mixed(HEADS[name]), activation=activation)
    labels = LABELS if name in ("mean", "first") else ()
    return build_manifest(architecture=arch, labels=labels, pooling=arch.head.pooling)


def tensors(manifest: Manifest, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Three rows with padding and two segments."""
    workload = Workload(batch=3, seq_len=17, padding=0.3)
    (inputs,) = make_inputs(manifest.architecture.embedding, workload, seed=seed, count=1)
    return {name: torch.from_numpy(value) for name, value in inputs.items()}


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize("name", HEADS)
def test_outputs_are_those_of_the_project(
    tmp_path: Path, name: str, activation: Literal["gelu", "gelu_tanh", "relu"]
) -> None:
    manifest = manifest_of(name, activation)
    path = build_bundle(tmp_path / "bundle", manifest)
    arch = manifest.architecture
    inputs = tensors(manifest)
    arrays = {key: value.numpy() for key, value in inputs.items()}
    wanted = EncoderNetwork.of(arch, read_weights(path)).reference(arrays)[arch.head.output]
    with torch.no_grad():
        found = BundleEncoder.of_bundle(path).eval()(**inputs).numpy()
    real = arrays["attention_mask"] > 0 if found.ndim == 3 else slice(None)
    np.testing.assert_allclose(found[real], wanted[real], atol=1e-5)
    (ran,) = load_bundle(path).session.run(arrays).values()
    np.testing.assert_allclose(found[real], ran[real], atol=1e-4)


def test_it_trains_on_and_comes_back_as_a_bundle(tmp_path: Path) -> None:
    """Weights -> module -> steps -> file -> ONNX -> bundle: the same outputs at both ends."""
    manifest = manifest_of("mean", "gelu")
    path = build_bundle(tmp_path / "bundle", manifest)
    network = BundleEncoder.of_bundle(path, dropout=0.0).train()
    inputs, wanted = tensors(manifest), torch.tensor([3, 1, 4])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        loss = F.cross_entropy(network(**inputs), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(p.grad is not None for p in network.parameters())

    network.save(tmp_path / "trained.safetensors")
    weights = load_file(tmp_path / "trained.safetensors")
    again = tmp_path / "again"
    model = emit(manifest.architecture, weights)
    tokenizer = (path / "tokenizer.json").read_text(encoding="utf-8")
    write_bundle(again, manifest, model=model, tokenizer=tokenizer, weights=weights)
    arrays = {key: value.numpy() for key, value in inputs.items()}
    (ran,) = load_bundle(again).session.run(arrays).values()
    np.testing.assert_allclose(ran, network.eval()(**inputs).detach().numpy(), atol=1e-4)
    assert ran.argmax(axis=1).tolist() == wanted.tolist()


def test_dropout_works_in_training_mode_only(tmp_path: Path) -> None:
    manifest = manifest_of("mean", "gelu")
    network = BundleEncoder.of_bundle(build_bundle(tmp_path / "bundle", manifest), dropout=0.5)
    inputs = tensors(manifest)
    torch.manual_seed(0)
    assert not torch.equal(network.train()(**inputs), network(**inputs))
    assert torch.equal(network.eval()(**inputs), network(**inputs))


def test_it_needs_nothing_of_the_project() -> None:
    tree = ast.parse(inspect.getsource(examples.encoder_torch))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    assert found - set(sys.stdlib_module_names) == {"torch", "safetensors"}
