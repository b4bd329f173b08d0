"""Which networks a survey visits next, and which of them get a memory child."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fleetfit import LayerTable, Query, parameters
from profiler.entry import Entry

__all__ = ["chosen_for_memory", "shuffled"]


def shuffled(entries: list[Entry], rng: np.random.Generator, last: str) -> list[Entry]:
    """Networks in random order, the targets of each together in random order.

    Together, because they share a file. The entry visited last before does not come first.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.query.architecture.cost_id, []).append(entry)
    order = []
    names = list(groups)
    for at in rng.permutation(len(names)):
        members = groups[names[int(at)]]
        order += [members[int(i)] for i in rng.permutation(len(members))]
    if len(order) > 1 and order[0].job.id == last:
        order.append(order.pop(0))
    return order


def chosen_for_memory(queries: Sequence[Query], every: int) -> frozenset[str]:
    """``cost_id`` of every ``every``-th network and of the largest and smallest."""
    if every == 0 or not queries:
        return frozenset()
    networks = {q.architecture.cost_id: q.architecture for q in queries}
    names = list(networks)
    sizes = parameters(LayerTable.of(list(networks.values())))
    ends = {names[int(np.argmax(sizes))], names[int(np.argmin(sizes))]}
    return frozenset(ends | set(names[::every]))
