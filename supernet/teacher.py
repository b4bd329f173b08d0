"""A frozen network that sub-networks are compared with: the source itself or another model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from supernet.forward import Batch, Output, runner
from supernet.model import Supernet
from supernet.network import EncoderNetwork
from supernet.quality import source_network

__all__ = ["Teacher"]


class Teacher:
    """Outputs to compare with, and which of its layers stands for which of the source's.

    Another model has a stream of its own: member states pass through a fitted linear map from the
    source's width to the teacher's first. It is trained with the members (TinyBERT, Jiao et al.
    2020, section 3.1: W_h) and forgotten with the training. It starts at zero: no gradient
    through it before it has learned something.
    """

    def __init__(self, network: EncoderNetwork, source: Architecture, *, fitted: bool) -> None:
        """``fitted``: ``network`` is another model; raises InputError for another vocabulary."""
        ours, theirs = source.embedding.vocab_size, network.arch.embedding.vocab_size
        if ours != theirs:
            raise InputError(
                f"A teacher must have the supernet's vocabulary of {ours} tokens, but has {theirs}."
            )
        self.network = network.requires_grad_(False).eval()
        self._weights = network.named_weights()
        self.run = runner(network.arch)
        """Replaced by a compiled one where that pays."""
        self.source = source
        self.fit: dict[str, Tensor] = {}
        if fitted:
            width = network.arch.width
            self.fit["fit.weight"] = nn.Parameter(torch.zeros(width, source.width))
            self.fit["fit.bias"] = nn.Parameter(torch.zeros(width))

    @classmethod
    def of(cls, supernet: Supernet, given: EncoderNetwork | None, *, fitted: bool) -> Teacher:
        """The largest member as it is now where none is given; one ``fitted`` must be given."""
        if not fitted:
            given = source_network(supernet, given)
        elif given is None:
            raise InputError(
                "A fitted teacher must be given, but there is none: name its supernet, or leave "
                "fitted_teacher out."
            )
        return cls(given, supernet.space.source, fitted=fitted)

    def __call__(self, batch: Batch, *, scores: bool = False) -> Output:
        """What the members of a step are compared with."""
        return self.run(self._weights, batch, scores)

    def to(self, device: torch.device) -> None:
        """Move the network and the map."""
        self.network.to(device)
        for parameter in self.fit.values():
            parameter.data = parameter.data.to(device)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.network.arch.layers)

    def layer_of(self, source_layer: int) -> int:
        """The teacher's layer for a layer of the source, at the same share of the depth.

        ceil((s + 1) T / S) - 1, TinyBERT's uniform mapping function (Jiao et al. 2020), which is
        the same layer at equal depths.
        """
        layers = len(self.source.layers)
        return -(-(source_layer + 1) * self.depth // layers) - 1

    def mapped(self, states: Tensor) -> Tensor:
        """States of the source's width as the teacher's; as they are where it is no other model."""
        if not self.fit:
            return states
        return F.linear(states, self.fit["fit.weight"], self.fit["fit.bias"])
