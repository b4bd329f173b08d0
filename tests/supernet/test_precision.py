"""What torch computes in a precision is what an exported network computes in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given as given_
from hypothesis import strategies as st

from exporters import differences, emit, make_inputs, random_weights, runtime_of
from exporters.quantize import ActivationRange, _per_row
from fleetfit import Architecture, Head, InputError, Precision, Target, Workload
from supernet.network import EncoderNetwork
from supernet.precision import _activations, _weights, computed_in
from tests.supernet import tiny


@pytest.fixture(scope="module")
def arch() -> Architecture:
    return tiny.tiny_space().largest().with_head(Head())


@pytest.mark.parametrize("precision", ["int8", "int8_dynamic"])
def test_int8_loses_what_the_exported_network_loses(
    arch: Architecture, tmp_path: Path, precision: Precision
) -> None:
    weights = random_weights(arch)
    network = EncoderNetwork.of(arch, weights).eval()
    target = Target(runtime="onnxruntime", precision=precision)
    workload = Workload(batch=16, seq_len=32)
    (inputs,) = make_inputs(arch.embedding, workload, seed=0, count=1)
    rows = [{name: part[i : i + 1] for name, part in inputs.items()} for i in range(16)]
    adapter = runtime_of(target)
    artifact = adapter.build(emit(arch, weights), target, workload, tmp_path, calibration=rows)
    session, fp32 = adapter.load(artifact), network.reference(inputs)
    exported = {"hidden": np.concatenate([session.run(row)["hidden"] for row in rows])}
    with computed_in(precision):
        here = network.reference(inputs)
    lost, wanted = (float(differences(fp32, found, inputs)[0].mean()) for found in (here, exported))
    # Not number by number: one other rounding at the start changes all that follow. The exported
    # network has its table of words in int8, too.
    assert 0.6 < lost / wanted < 1.2


@given_(st.integers(0, 2**32 - 1))
def test_weights_and_activations_are_rounded_as_in_the_exported_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(5, 7)).astype(np.float32)
    rows, scales = _per_row(matrix, 8)
    wanted = rows * scales[:, None]
    np.testing.assert_allclose(_weights(torch.from_numpy(matrix)).numpy(), wanted, rtol=1e-5)
    x = rng.normal(1, 2, size=(1, 4, 6)).astype(np.float32)
    scale, zero = ActivationRange(low=float(x.min()), high=float(x.max())).affine()
    steps = np.clip(np.rint(x / scale) + float(zero), 0, 255)
    found = _activations(torch.from_numpy(x), fixed=True).numpy()
    # A value between two steps may fall to either: float32 divides here and there.
    assert np.abs(found - (steps - float(zero)) * scale).max() <= 1.01 * scale
    assert np.mean(np.abs(found - (steps - float(zero)) * scale) < 1e-4 * scale) > 0.8


def test_fp32_and_tf32_leave_everything_as_it_is(arch: Architecture) -> None:
    network = EncoderNetwork.of(arch, random_weights(arch)).eval()
    (inputs,) = make_inputs(arch.embedding, Workload(seq_len=7), seed=0, count=1)
    plain = network.reference(inputs)
    for precision in ("fp32", "tf32"):
        with computed_in(precision):
            np.testing.assert_array_equal(network.reference(inputs)["hidden"], plain["hidden"])
    np.testing.assert_array_equal(network.reference(inputs)["hidden"], plain["hidden"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precisions_round(precision: Precision) -> None:
    x, weight = torch.tensor([[1.0009765625, 1.0]]), torch.eye(2)
    with computed_in(precision):
        found = F.linear(x, weight)
    assert found.dtype == (torch.bfloat16 if precision == "bf16" else torch.float16)
    assert (found[0, 0] == found[0, 1]) == (precision == "bf16")


def test_sequences_of_a_batch_are_runs_of_their_own() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8)
    x[1] *= 100
    weight = torch.randn(4, 8)
    with computed_in("int8_dynamic"):
        together = F.linear(x, weight)
        alone = torch.cat([F.linear(row[None], weight) for row in x])
    torch.testing.assert_close(together, alone)
    with computed_in("int8"):
        fixed = F.linear(x, weight)
    assert not torch.allclose(fixed[0], alone[0])


def test_errors_leave_the_mode() -> None:
    with pytest.raises(InputError, match="on purpose"), computed_in("int8"):
        raise InputError("on purpose")
    x = torch.randn(2, 3)
    torch.testing.assert_close(F.linear(x, torch.eye(3)), x, rtol=0, atol=0)
