"""A runtime for tests: ONNX's own reference evaluator in numpy, slow and with no options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from exporters._file import existing, write_onnx
from exporters.input_rule import InputRule, wrong_inputs
from exporters.runtime import (
    Artifact,
    Inputs,
    Outputs,
    Runtime,
    Session,
    check_target,
)
from fleetfit import DeviceInfo, InputError, Target, Workload

__all__ = ["FakeRuntime"]


class FakeRuntime(Runtime):
    """Answers to the name of ONNX Runtime, so that targets need no name of their own."""

    name = "onnxruntime"
    provider = "cpu"
    precisions = ("fp32",)

    def available(self) -> bool:
        """See Runtime."""
        return True

    def version(self) -> str:
        """See Runtime."""
        return str(onnx.__version__)

    def targets(self, device: DeviceInfo, *, threads: int) -> tuple[Target, ...]:
        """See Runtime."""
        return (Target(runtime=self.name, threads=threads),)

    def takes_onnx(self, target: Target) -> bool:
        """See Runtime."""
        return True

    def build(
        self,
        model: onnx.ModelProto,
        target: Target,
        workload: Workload,
        directory: Path,
        *,
        calibration: Sequence[Inputs] = (),
    ) -> Artifact:
        """See Runtime."""
        check_target(self, target)
        return write_onnx(model, target, workload, directory)

    def options(self, target: Target) -> dict[str, Any]:
        """See Runtime; it has none."""
        return {}

    def load(self, artifact: Artifact) -> Session:
        """See Runtime."""
        check_target(self, artifact.target)
        path = existing(artifact)
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model)
        except Exception as exc:  # protobuf's decoding error has no public class
            raise InputError(f"The evaluator must be able to read {path}: {exc}") from exc
        return _FakeSession(model, artifact.target, path)


class _FakeSession(Session):
    def __init__(self, model: Any, target: Target, path: str) -> None:
        from onnx.reference import ReferenceEvaluator

        self._evaluator = ReferenceEvaluator(model)
        self._target = target
        metadata = {p.key: p.value for p in model.metadata_props}
        inputs = {i.name: _dims(i) for i in model.graph.input}
        self._rule = InputRule.of(path, inputs, metadata)

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._rule.shape

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self._evaluator.output_names)

    @property
    def properties(self) -> dict[str, str]:
        return {"threads": str(self._target.threads)}

    def run(self, inputs: Inputs) -> Outputs:
        self._rule.check(inputs)
        try:
            values = self._evaluator.run(None, dict(inputs))
        except Exception as exc:  # whatever numpy raises inside an operator
            raise wrong_inputs(inputs, exc) from exc
        return dict(zip(self._evaluator.output_names, values, strict=True))


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else None for d in dims]
