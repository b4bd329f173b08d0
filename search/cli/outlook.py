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

    ``wanted``: an error to reach; how many networks it takes is said too, where it is above that.
    """
    count = curve.networks[-1]
    later = curve.error_with(2 * count)
    text = f"{percent(curve.error)} now with {count} networks; {count} more would "
    gain = later < _WORTHWHILE * curve.error
    text += f"bring it to about {percent(later)}" if gain else "hardly change it"
    if curve.noise is not None:
        text += f", the measurement noise is {percent(curve.noise)}"
    if wanted is None or curve.error <= wanted:
        return text + "."
    needed = curve.networks_for(wanted)
    if needed is None or needed > _FAR * count:
        return text + f"; more networks would not bring it to {percent(wanted)}."
    return text + f"; {percent(wanted)} would take about {needed}."


def say_outlook(curves: Sequence[LearningCurve], *, wanted: float | None = None) -> None:
    """One line for each curve; the workload is named where there are several."""
    several = len({c.workload for c in curves}) > 1
    for curve in curves:
        name = f"{curve.target} ({curve.workload})" if several else str(curve.target)
        say(escape(f"{name}: {sentence(curve, wanted=wanted)}"))
