"""When the visits of a configuration are enough: counted by hand."""

from __future__ import annotations

import pytest

from fleetfit import Job, Query, Target, Workload
from profiler import SurveyProtocol
from profiler.entry import Entry
from profiler.visit import Visit
from supernet.spaces import ElasticSpace


@pytest.mark.parametrize(
    ("milliseconds", "enough"),
    [
        ([10, 10.7, 11.4, 12], True),  # the middle two: 6.5 % apart
        ([10, 10.1, 11.5, 11.6], False),  # the ends agree, the middle two are 14 % apart
        ([10, 10.1, 11.5, 11.6, 11.7], True),  # the middle one has a near neighbour
        ([8, 9, 10, 12, 14], False),  # the middle one has none within 8 %
        ([8, 9, 10, 12, 14, 15], True),  # no more than the extra visits, agreed or not
        ([10, 10, 10], False),
    ],
)
def test_the_middle_visits_must_agree(
    tiny_space: ElasticSpace, milliseconds: list[float], enough: bool
) -> None:
    protocol = SurveyProtocol(visits=4, extra_visits=2, agreement=0.08)
    query = Query(
        architecture=tiny_space.largest(),
        target=Target(runtime="onnxruntime", threads=1),
        workload=Workload(),
    )
    job = Job(query=query, protocol="survey", protocol_version=protocol.version)
    visits = {
        n: Visit(samples_s=(t / 1e3,), load_s=0.1, file_bytes=1) for n, t in enumerate(milliseconds)
    }
    entry = Entry(query=query, job=job, visits=visits, verdicts=dict.fromkeys(visits, "good"))
    assert entry.wants_visit(protocol) != enough
