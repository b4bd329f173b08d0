"""Which of several failed processes is to blame."""

from __future__ import annotations

import pytest

from fleetfit import FleetfitError, InputError, SurroundingsError
from supernet.launch import failed, launch


@pytest.mark.parametrize(
    ("codes", "kind", "said"),
    [
        ({0: 130, 1: 2}, InputError, r"rank 1 \(process 11\) ended with exit code 2"),
        ({0: -15, 1: 2}, InputError, "rank 1 .* exit code 2"),
        ({0: 4, 1: 2}, InputError, "rank 1 .* exit code 2"),
        ({0: -9, 2: 1}, FleetfitError, "rank 2 .* exit code 1"),
        ({0: 4, 1: -9, 2: 130}, SurroundingsError, "rank 1 .* was ended by SIGKILL, .* go on"),
        ({0: 130, 1: 4, 2: 4}, SurroundingsError, "rank 1 .* exit code 4"),
        ({1: -15, 2: 130}, SurroundingsError, "rank 1 .* was ended by SIGTERM"),
    ],
    ids=str,
)
def test_the_rank_to_blame_is_named(
    codes: dict[int, int], kind: type[FleetfitError], said: str
) -> None:
    error = failed({rank: (10 + rank, code) for rank, code in codes.items()}, 3)
    assert type(error) is kind
    with pytest.raises(kind, match=f"All 3 training processes must run to the end, but {said}"):
        raise error


def test_one_process_is_not_launched() -> None:
    with pytest.raises(InputError, match="processes >= 2"):
        launch(["-c", "pass"], count=1)
