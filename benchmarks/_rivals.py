"""The same network by the usual ways of ONNX Runtime and OpenVINO."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from benchmarks._eager import EagerNetwork
from benchmarks.export import by_exporter
from exporters import INPUTS, Inputs, runtime
from fleetfit import Architecture, SelfAttention, Target, Weights

__all__ = ["Run", "rivals"]

Run = Callable[[Inputs], Any]


def rivals(
    arch: Architecture, weights: Weights, directory: Path
) -> tuple[dict[str, Run], dict[str, dict[str, int]]]:
    """By name; and what ONNX Runtime's optimizer has fused. As far as the tools are installed.

    Each usual way in two variants, because neither is always the faster.
    """
    plain, made, fused = EagerNetwork(arch, weights).eval(), dict[str, Run](), {}
    files = [directory / "exported.onnx", directory / "traced.onnx"]
    onnx.save(by_exporter(plain), files[0])
    by_script(plain, files[1])
    for name, path in zip(("ort-optimizer", "ort-optimizer-script"), files, strict=True):
        made[name], fused[name] = optimised(plain, path)
    if runtime("openvino").available():
        made["ov-convert"] = converted(plain)
        made["ov-convert-sdpa"] = converted(EagerNetwork(arch, weights, sdpa=True).eval())
    return made, fused


def by_script(network: EagerNetwork, path: Path) -> None:
    """The older, tracing ``torch.onnx.export``, in whose graphs the optimizer knows attention."""
    import torch

    ids = torch.ones((2, 16), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            path,
            dynamo=False,
            input_names=list(INPUTS),
            output_names=["sentence_embedding"],
            dynamic_axes={name: {0: "batch", 1: "seq"} for name in INPUTS},
            opset_version=17,
        )


def optimised(network: EagerNetwork, path: Path) -> tuple[Run, dict[str, int]]:
    """By ``onnxruntime.transformers.optimizer``, with our session options; what it has fused."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    from onnxruntime.transformers import optimizer

    heads, width = _attention_of(network)
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            better = optimizer.optimize_model(
                str(path), model_type="bert", num_heads=heads, hidden_size=width
            )
            better.save_model_to_file(str(path))
            fused = {k: n for k, n in better.get_fused_operator_statistics().items() if n}
    finally:
        logging.disable(logging.NOTSET)
    options = runtime("onnxruntime").options(Target(runtime="onnxruntime"))
    given = onnxruntime.SessionOptions()
    given.intra_op_num_threads = options["session"]["intra_op_num_threads"]
    given.inter_op_num_threads = 1
    given.log_severity_level = 4
    for key, value in options["entries"].items():
        given.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(str(path), given, providers=options["providers"])
    return (lambda inputs: session.run(None, inputs)), fused


def converted(network: EagerNetwork) -> Run:
    """OpenVINO's ``convert_model`` from PyTorch; our properties."""
    import torch

    from exporters._openvino import ov_core, ov_library

    library = ov_library()
    ids = torch.ones((2, 16), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = library.convert_model(
            network,
            example_input=(ids, torch.ones_like(ids), torch.zeros_like(ids)),
            input=[([-1, -1], library.Type.i64)] * 3,
        )
    options = runtime("openvino").options(Target(runtime="openvino"))
    request = ov_core().compile_model(model, "CPU", options["properties"]).create_infer_request()
    return lambda inputs: request.infer([inputs[name] for name in INPUTS], share_inputs=True)


def _attention_of(network: EagerNetwork) -> tuple[int, int]:
    """Heads and their joint width, of the first layer."""
    for sub in network.arch.layers[0].sublayers:
        if isinstance(sub, SelfAttention):
            return sub.heads, sub.heads * sub.head_dim
    raise AssertionError("a layer without attention")
