"""Parity: agreement passes, disagreement is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from exporters import (
    Inputs,
    Parity,
    Session,
    check_parity,
    emit,
    random_weights,
    runtime,
)
from exporters.parity import Reference
from exporters.runtime import Outputs
from fleetfit import Architecture, Head, InputError, Precision, RuntimeName, Target, Workload
from supernet.network import EncoderNetwork


def session_of(
    arch: Architecture,
    directory: Path,
    *,
    precision: Precision = "fp32",
    name: RuntimeName = "onnxruntime",
    workload: Workload | None = None,
) -> Session:
    chosen = runtime(name)
    target = Target(runtime=name, precision=precision, shapes="fixed" if workload else "dynamic")
    model = emit(arch, random_weights(arch), workload=workload)
    return chosen.load(chosen.build(model, target, workload or Workload(), directory))


def reference_of(arch: Architecture) -> Reference:
    return EncoderNetwork.of(arch, random_weights(arch)).reference


def test_a_faithful_export_passes_at_three_shapes_with_padding(
    mixed: Architecture, tmp_path: Path
) -> None:
    session = session_of(mixed, tmp_path)
    found = check_parity(session, reference_of(mixed), mixed.embedding, "fp32")
    assert found.max_abs_diff < 2e-5
    assert found.limit == 1e-4
    assert found.shapes == ((1, 40), (2, 40), (3, 17))
    assert found.holds


def test_a_fixed_session_is_compared_at_its_shape(mixed: Architecture, tmp_path: Path) -> None:
    session = session_of(mixed, tmp_path, workload=Workload(batch=2, seq_len=12))
    found = check_parity(session, reference_of(mixed), mixed.embedding, "fp32")
    assert (found.shapes, found.texts) == (((2, 12),), 0)


@pytest.mark.parametrize("kind", ["none", "classification", "embedding"])
def test_bf16_is_within_its_limit_and_is_not_fp32(
    kind: Any, mixed: Architecture, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    from exporters.openvino_cpu import capabilities

    if "BF16" not in capabilities():
        pytest.skip("the processor has no bf16")
    pooling: Literal["mean"] | None = None if kind == "none" else "mean"
    arch = mixed.with_head(
        Head(kind=kind, pooling=pooling, outputs=5 if kind == "classification" else 0)
    )
    session = session_of(arch, tmp_path, name="openvino", precision="bf16")
    found = check_parity(session, reference_of(arch), arch.embedding, "bf16")
    assert 1e-5 < found.max_abs_diff <= found.limit


def test_another_network_is_refused(mixed: Architecture, tmp_path: Path) -> None:
    session = session_of(mixed, tmp_path)
    other = EncoderNetwork.of(mixed, random_weights(mixed, seed=9)).reference
    for precision in ("fp32", "bf16"):
        with pytest.raises(InputError, match="must agree"):
            check_parity(session, other, mixed.embedding, precision)


def test_outputs_that_are_no_numbers_are_refused(mixed: Architecture, tmp_path: Path) -> None:
    session = session_of(mixed, tmp_path)
    inner = reference_of(mixed)

    def broken(inputs: Inputs) -> Outputs:
        return {k: np.full_like(v, np.nan) for k, v in inner(inputs).items()}

    with pytest.raises(InputError, match="must agree"):
        check_parity(session, broken, mixed.embedding, "fp32")


def test_other_outputs_are_refused(mixed: Architecture, tmp_path: Path) -> None:
    session = session_of(mixed, tmp_path)
    inner = reference_of(mixed)
    with pytest.raises(InputError, match="outputs"):
        check_parity(session, lambda i: {"x": inner(i)["logits"]}, mixed.embedding, "fp32")
    with pytest.raises(InputError, match="shape"):
        check_parity(
            session,
            lambda i: {"logits": inner(i)["logits"][:, :2]},
            mixed.embedding,
            "fp32",
        )


def test_parity_needs_numbers() -> None:
    with pytest.raises(InputError, match="finite"):
        Parity(max_abs_diff=float("nan"), mean_abs_diff=0.0, limit=1.0, shapes=((1, 1),))
