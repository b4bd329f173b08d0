"""Architectures that the papers' rules of thumb propose, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from fleetfit.architecture import Architecture
from fleetfit.errors import InputError
from fleetfit.table import IntArray
from supernet.spaces.autotinybert import AutoTinyBertSpace
from supernet.spaces.base import SearchSpace
from supernet.spaces.plain import layer_shape
from supernet.spaces.supershaper import SuperShaperSpace

__all__ = [
    "GENERATORS",
    "Generator",
    "GeneratorName",
    "fast_members",
    "is_fast",
    "shape_members",
    "shape_widths",
]

GeneratorName = Literal["supershaper-shapes", "autotinybert-fast"]
Generator = Callable[[SearchSpace, int, np.random.Generator], list[Architecture]]
"""At most ``count`` distinct members of a space; raises InputError for a space it does not fit."""


def shape_widths(depth: int, widths: Sequence[int]) -> list[tuple[int, ...]]:
    """SuperShaper's good shapes: distinct rows of ``depth`` widths out of ascending ``widths``.

    The rule is read off the nine networks that its authors drew by hand for 12 layers
    (``best_handcrafted`` in their repository); positions are scaled to ``depth``. Layer 1 and the
    middle have a base width; layers 2 to 4 are narrower, 1/3 to 2/3 of the base; the last two or
    four may be wider: 1.25 to 1.6 times the base, or the next two choices up in turn. Where no
    choice lies in a range the nearest one stands: the smallest, or the next one up.
    """
    found: dict[tuple[int, ...], None] = {}
    for i, base in enumerate(widths):
        narrower = [w for w in widths if base <= 3 * w <= 2 * base] or [widths[0]]
        for tail in _tails(base, widths[i + 1 :], depth):
            for narrow in narrower:
                found[_shape(depth, base, narrow, tail)] = None
    return list(found)


def _tails(base: int, wider: Sequence[int], depth: int) -> list[tuple[int, ...]]:
    """The ends that are wider than ``base``; the empty one among them."""
    short, long = (max(1, round(depth * k / 12)) for k in (2, 4))
    tails: list[tuple[int, ...]] = [()]
    for width in [w for w in wider if 5 * base <= 4 * w and 5 * w <= 8 * base] or wider[:1]:
        tails += [(width,) * short, (width,) * long]
    if len(wider) > 1 and 5 * wider[1] <= 8 * base:
        second = long // 2
        tails.append((wider[0],) * (long - second) + (wider[1],) * second)
    return tails


def _shape(depth: int, base: int, narrow: int, tail: tuple[int, ...]) -> tuple[int, ...]:
    begin = max(1, round(depth / 12))
    end = max(begin, round(depth * 4 / 12))
    body = [base] * depth
    body[begin:end] = [narrow] * (end - begin)
    wide = min(len(tail), depth - end)
    return (*body[: depth - wide], *tail[len(tail) - wide :])


def shape_members(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Members of a supershaper space by ``shape_widths``; a random ``count`` where there are more.

    In order of their base widths.
    """
    if not isinstance(space, SuperShaperSpace):
        raise _misfit("supershaper-shapes", "supershaper", space)
    rows = shape_widths(len(space.source.layers), space.choices.widths)
    chosen = np.sort(rng.choice(len(rows), size=min(count, len(rows)), replace=False))
    return [space.build(rows[i]) for i in chosen]


def is_fast(arch: Architecture) -> bool:
    """Whether a network of equal layers keeps AutoTinyBERT's rule for fast development.

    1.6 to 1.9 times the width as ffn, 0.7 to 1 times it as d_qkv = heads x head_dim.
    """
    attention, ffn = layer_shape(arch.layers[0], "autotinybert")
    width, inner = np.array(arch.layers[0].width), np.array(attention.heads * attention.head_dim)
    return bool(_ffn_fits(width, np.array(ffn)) & _inner_fits(width, inner))


def _ffn_fits(width: IntArray, ffn: IntArray) -> npt.NDArray[np.bool_]:
    return np.asarray((16 * width <= 10 * ffn) & (10 * ffn <= 19 * width))


def _inner_fits(width: IntArray, inner: IntArray) -> npt.NDArray[np.bool_]:
    return np.asarray((7 * width <= 10 * inner) & (inner <= width))


def fast_members(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Members of an autotinybert space that are ``is_fast``, all equally likely.

    The paper evaluates 25 such and takes the best, without evolution. Fewer only where the grid
    has fewer.
    """
    if not isinstance(space, AutoTinyBertSpace):
        raise _misfit("autotinybert-fast", "autotinybert", space)
    c = space.choices
    width = np.array(c.widths)[:, None]
    inner = np.outer(c.heads, c.head_dims).reshape(1, -1)
    fits = _ffn_fits(width, np.array([c.ffns]))[:, :, None] & _inner_fits(width, inner)[:, None, :]
    places = np.argwhere(fits)  # rows of width, ffn and d_qkv, as indices
    total = len(c.depths) * len(places)
    members = []
    for drawn in rng.choice(total, size=min(count, total), replace=False).tolist():
        depth, place = divmod(drawn, len(places))
        w, f, q = places[place]
        members.append(space.architecture(np.array([depth, w, *divmod(q, len(c.head_dims)), f])))
    return members


def _misfit(name: GeneratorName, wanted: str, space: SearchSpace) -> InputError:
    return InputError(f"{name} must be given the {wanted} space, but got {type(space).__name__}.")


GENERATORS: Final[dict[GeneratorName, Generator]] = {
    "supershaper-shapes": shape_members,
    "autotinybert-fast": fast_members,
}
