"""What further measurements would buy, in one sentence for each target."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from predictors import LearningCurve
from search.cli.console import percent, say

__all__ = ["say_outlook", "sentence"]

_WORTHWHILE = 0.97
"""An error that falls less than to this share of itself is not called a gain."""
_FAR = 10
"""Times the networks there are: further than that no curve is trusted."""


def sentence(curve: LearningCurve, *, wanted: float | None = None) -> str:
    """As in 3.1% now with 40 networks; 40 more would bring it to about 2.6%.

    With too few networks it says that what more would buy is not known.

    ``wanted``: an error to reach; how many networks it takes is said too, where it is above that.
    """
    count = curve.networks[-1]
    text = f"{percent(curve.error)} now with {count} networks; {_with_twice(curve)}"
    if curve.noise is not None:
        text += f", the measurement noise is {percent(curve.noise)}"
    if wanted is None or curve.error <= wanted or not curve.is_known:
        return text + "."
    needed = curve.networks_for(wanted)
    if needed is None or needed > _FAR * count:
        return text + f"; more networks would not bring it to {percent(wanted)}."
    return text + f"; {percent(wanted)} would take about {needed}."


def _with_twice(curve: LearningCurve) -> str:
    if not curve.is_known:
        return "too few networks to tell what more would buy"
    count = curve.networks[-1]
    later = curve.error_with(2 * count)
    if later < _WORTHWHILE * curve.error:
        return f"{count} more would bring it to about {percent(later)}"
    return f"{count} more would hardly change it"


def say_outlook(curves: Sequence[LearningCurve], *, wanted: float | None = None) -> None:
    """One line for each curve; the workload is named where there are several."""
    several = len({c.workload for c in curves}) > 1
    for curve in curves:
        name = f"{curve.target} ({curve.workload})" if several else str(curve.target)
        say(escape(f"{name}: {sentence(curve, wanted=wanted)}"))
