"""One extracted network as a torch module: for fine-tuning, parity checks and further training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fleetfit.architecture import Architecture
from fleetfit.weights import Weights, check_weights, weight_shapes
from supernet.forward import Batch, Encoder, Output

__all__ = ["EncoderNetwork"]


class EncoderNetwork(nn.Module):
    """A fixed architecture with its own weights; parameters carry the names of their weights."""

    def __init__(self, arch: Architecture, *, dropout: float = 0.0) -> None:
        """Weights start at zero; ``dropout`` works in training mode only."""
        super().__init__()
        self.arch = arch
        self.dropout = dropout
        # torch forbids dots in parameter names
        for name, shape in weight_shapes(arch).items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(torch.zeros(shape)))

    @classmethod
    def of(cls, arch: Architecture, weights: Weights, *, dropout: float = 0.0) -> EncoderNetwork:
        """A network under a copy of ``weights``; raises InputError where they do not fit."""
        check_weights(arch, weights)
        network = cls(arch, dropout=dropout)
        with torch.no_grad():
            for name, parameter in network.named_weights().items():
                parameter.copy_(torch.from_numpy(np.array(weights[name], dtype=np.float32)))
        return network

    def named_weights(self) -> dict[str, Tensor]:
        """The parameters under the names of ``fleetfit.weights``."""
        return {name.replace("/", "."): p for name, p in self.named_parameters()}

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """A copy of the weights as float32 arrays."""
        named = self.named_weights().items()
        return {name: p.detach().float().cpu().numpy().copy() for name, p in named}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        *,
        scores: bool = False,
    ) -> Output:
        """Run on int64 tensors of shape batch x seq; ``scores``: with the attention scores."""
        batch = Batch(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        dropout = self.dropout if self.training else 0.0
        encoder = Encoder(arch=self.arch, weights=self.named_weights(), dropout=dropout)
        return encoder(batch, scores=scores)

    def reference(
        self, inputs: Mapping[str, npt.NDArray[np.int64]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Outputs by ONNX name for the same inputs; what an exported graph must agree with."""
        tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
        was_training = self.training
        self.eval()
        with torch.no_grad():
            output = self(**tensors)
        self.train(was_training)
        name = self.arch.head.output
        values = {"hidden": output.hidden, "embedding": output.pooled, "logits": output.logits}
        chosen = values[name]
        assert chosen is not None
        return {name: chosen.float().numpy()}
