from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from search.cli import turns


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the machine."""
    seen: list[str] = []

    @contextlib.contextmanager
    def fake(who: str, *, say: Callable[[str], None]) -> Iterator[Callable[[], float]]:
        def pause() -> float:
            seen.append("pause")
            return 1.5

        seen.append(who)
        say("waiting: [a survey] has the machine")
        yield pause
        seen.append("end")

    monkeypatch.setattr(turns, "giving_way", fake)
    return seen


def test_the_first_process_of_a_machine_gives_way(
    calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with turns.polite("pretrain") as pause:
        assert pause() == 1.5
    assert calls == ["fleetfit pretrain", "pause", "end"]
    assert "waiting: [a survey] has the machine" in capsys.readouterr().err


def test_the_others_follow_it(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with turns.polite("pretrain") as pause:
        assert pause() == 0.0
    assert calls == []


def test_every_step_of_a_bar_gives_way(calls: list[str]) -> None:
    with turns.polite_progress("evaluate", "evaluating") as report:
        report(0, 2, "a")
        report(1, 2, "b")
    assert calls == ["fleetfit evaluate", "pause", "pause", "end"]
