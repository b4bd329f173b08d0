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
from fleetfit import Target

__all__ = ["converted", "optimised"]

Run = Callable[[Inputs], Any]


def optimised(network: EagerNetwork, directory: Path) -> Run:
    """``torch.onnx.export``, then ``onnxruntime.transformers.optimizer``; our session options."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    from onnxruntime.transformers import optimizer

    plain, better = directory / "exported.onnx", directory / "optimised.onnx"
    onnx.save(by_exporter(network), plain)
    heads, width = _attention_of(network)
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = optimizer.optimize_model(
                str(plain), model_type="bert", num_heads=heads, hidden_size=width
            )
            model.save_model_to_file(str(better))
    finally:
        logging.disable(logging.NOTSET)
    options = runtime("onnxruntime").options(Target(runtime="onnxruntime"))
    given = onnxruntime.SessionOptions()
    given.intra_op_num_threads = options["session"]["intra_op_num_threads"]
    given.inter_op_num_threads = 1
    given.log_severity_level = 4
    for key, value in options["entries"].items():
        given.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(str(better), given, providers=options["providers"])
    return lambda inputs: session.run(None, inputs)


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
    from fleetfit import SelfAttention

    for sub in network.arch.layers[0].sublayers:
        if isinstance(sub, SelfAttention):
            return sub.heads, sub.heads * sub.head_dim
    raise AssertionError("a layer without attention")
