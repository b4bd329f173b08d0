"""What the genes of a space do, found by probing it, and steps that use it.

A step changes one gene by one value, or the genes of one kind in several neighbouring layers at
once (a prefix, a suffix or all of them): a width that changes in one layer alone costs two
projections, which is why single genes are not enough.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fleetfit import IntArray, LayerTable
from supernet.spaces import SearchSpace

__all__ = ["Genes"]

_FIELDS = ("kind", "width", "heads", "head_dim", "ff_sum")


@dataclass(frozen=True, kw_only=True)
class Genes:
    """Kinds of genes and the steps between neighbouring genomes of a space."""

    space: SearchSpace
    kinds: tuple[str, ...]
    """What each gene changes: depth, embedding, one of the table's fields, or other."""
    moves: npt.NDArray[np.bool_]
    """M x G; the genes that each step changes together."""

    @classmethod
    def of(cls, space: SearchSpace) -> Genes:
        """Probe ``space`` around its largest member."""
        origin = space.genome(space.largest())
        kinds = tuple(_kind(space, origin, gene) for gene in range(len(origin)))
        return cls(space=space, kinds=kinds, moves=_moves(kinds, space.gene_sizes))

    def group(self, kind: str) -> IntArray:
        """Indices of the genes of a kind, in the order of the layers."""
        return np.array([i for i, k in enumerate(self.kinds) if k == kind], dtype=np.int64)

    def active(self, genomes: IntArray) -> npt.NDArray[np.bool_]:
        """N x G; which genes a member uses. Genes with one value count as unused."""
        depth = np.array([kind == "depth" for kind in self.kinds])
        top = np.where(depth, genomes, np.array(self.space.gene_sizes) - 1)
        return np.asarray((self.space.repair(top) > 0) | depth)

    def step(self, genomes: IntArray, moves: IntArray, signs: IntArray) -> IntArray:
        """Genomes one step away (N x G); ``moves`` and ``signs`` (+1, -1) have shape N.

        Layers that a deeper member gains copy the layer before them.
        """
        changed = genomes + signs[:, None] * self.moves[moves]
        changed = np.clip(changed, 0, np.array(self.space.gene_sizes) - 1)
        gained = self.active(changed) & ~self.active(genomes)
        for kind in sorted(set(self.kinds) - {"depth", "embedding", "other"}):
            genes = self.group(kind)
            for before, gene in itertools.pairwise(genes):
                changed[:, gene] = np.where(gained[:, gene], changed[:, before], changed[:, gene])
        return self.space.repair(changed)


def _kind(space: SearchSpace, origin: IntArray, gene: int) -> str:
    size = space.gene_sizes[gene]
    if size == 1:
        return "other"
    probe = origin.copy()
    probe[gene] += 1 if origin[gene] == 0 else -1
    tables = [space.layer_table(space.repair(g[None])) for g in (origin, probe)]
    return _difference(*tables)


def _difference(first: LayerTable, second: LayerTable) -> str:
    if ((first.width > 0) != (second.width > 0)).any():
        return "depth"
    if (first.embedding_width != second.embedding_width).any():
        return "embedding"
    for name in _FIELDS:
        if (getattr(first, name) != getattr(second, name)).any():
            return name
    return "other"


def _moves(kinds: tuple[str, ...], sizes: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    groups = {k: [i for i, kind in enumerate(kinds) if kind == k] for k in sorted(set(kinds))}
    groups.pop("other", None)
    chosen: set[tuple[int, ...]] = set()
    for kind, genes in groups.items():
        chosen.update((gene,) for gene in genes)
        if kind not in ("depth", "embedding"):
            for cut in range(len(genes)):
                chosen.update((tuple(genes[cut:]), tuple(genes[: cut + 1])))
    if "width" in groups:
        chosen.add(tuple(sorted(groups["width"] + groups.get("embedding", []))))
    mask = np.zeros((max(1, len(chosen)), len(sizes)), dtype=np.bool_)
    for row, genes_ in zip(mask, sorted(chosen), strict=False):
        row[list(genes_)] = True
    return mask
