"""Members of a space by name: its ends and cuts between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fleetfit.architecture import Architecture
from supernet.spaces import ElasticSpace, SearchSpace

__all__ = ["named_members"]


def named_members(space: SearchSpace) -> dict[str, Architecture]:
    """The largest, the smallest and what lies between.

    Of the elastic space up to five cuts, each along one dimension or all; of others the member with
    the middle choice everywhere. A cut that is another of these members is left out.
    """
    if not isinstance(space, ElasticSpace):
        middle = space.repair(np.array([space.gene_sizes], dtype=np.int64) // 2)[0]
        three = (space.largest(), space.architecture(middle), space.smallest())
        return _distinct(dict(zip(("largest", "middle", "smallest"), three, strict=True)))
    c = space.choices
    full = (c.widths[-1], c.heads[-1], c.ffns[-1])

    def near(values: Sequence[int], share: float) -> int:
        return min(values, key=lambda v: (abs(v - share * values[-1]), v))

    def member(depth: float, width: float, heads: float, ffn: float) -> Architecture:
        layer = (near(c.widths, width), near(c.heads, heads), near(c.ffns, ffn))
        embedding = min(c.embedding_widths, key=lambda e: abs(e - layer[0]))
        return space.build(embedding, [layer] * near(c.depths, depth))

    found = {
        "largest": space.build(c.embedding_widths[-1], [full] * c.depths[-1]),
        "half-ffn": member(1, 1, 1, 0.5),
        "half-heads": member(1, 1, 0.5, 1),
        "narrow": member(1, 0.75, 1, 1),
        "half-depth": member(0.5, 1, 1, 1),
        "middle": member(2 / 3, 0.75, 2 / 3, 0.5),
        "smallest": space.smallest(),
    }
    return _distinct(found)


def _distinct(found: dict[str, Architecture]) -> dict[str, Architecture]:
    ends = {found[name].id: name for name in ("smallest", "largest")}
    first = {arch.id: name for name, arch in reversed(found.items())} | ends
    kept = {name: arch for name, arch in found.items() if first[arch.id] == name}
    return kept | {"smallest": found["smallest"]}
