"""What a configuration says of a task: names that the metrics of ``supernet.tasks`` have."""

from __future__ import annotations

import pytest

from fleetfit import Head, InputError
from supernet.spaces import CORRELATIONS, METRICS, TaskRecord
from supernet.tasks import SpanExtraction
from supernet.tasks.metrics import CLASS_METRICS, NUMBER_METRICS


def test_the_names_are_those_of_the_metrics() -> None:
    assert METRICS["classification"] == tuple(CLASS_METRICS)
    assert METRICS["regression"] == tuple(NUMBER_METRICS)
    assert METRICS["span"] == SpanExtraction().metrics
    assert set(CORRELATIONS) <= {*CLASS_METRICS, *NUMBER_METRICS}


@pytest.mark.parametrize("metrics", [(), ("acc",), ("accuracy", "pearson")])
def test_other_metrics_are_refused(metrics: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="must be some of accuracy, f1, matthews"):
        TaskRecord(
            name="t.csv",
            kind="classification",
            head=Head(kind="classification", pooling="mean", outputs=2),
            labels=("a", "b"),
            metrics=metrics,
            pairs=False,
            max_length=16,
        )
