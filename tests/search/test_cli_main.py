"""Parsing, help and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

import devices
from search.cli import main
from tests.search.cli_fakes import refused

VERBS = (
    "describe", "convert", "pretrain", "finetune", "evaluate", "profile", "learn", "search",
    "verify", "export", "run",
)  # fmt: skip


def test_help_lists_every_verb_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"│ {verb} ") for verb in (*VERBS, "store")]
    assert places == sorted(places)


def test_its_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fleetfit {version('fleetfit')}\n"


def test_no_words_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "describe" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"fleetfit {verb}" in text
    assert "--json" in text


@pytest.mark.parametrize(
    "words",
    [
        ["frob"],
        ["describe", "--frob"],
        ["convert"],
        ["learn"],
        ["profile", "supernet", "--networks", "many"],
    ],
)
def test_misuse_ends_with_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--help" in refused(capsys, 2, *words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_how_to_go_on(
    number: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    def interrupted() -> None:
        os.kill(os.getpid(), number)
        for _ in range(1000):  # any thread may take the signal; this one hears of it a little later
            time.sleep(0.01)

    monkeypatch.setattr(devices, "describe", interrupted)
    monkeypatch.delenv("RANK", raising=False)
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests
    before = signal.getsignal(signal.SIGTERM)
    assert main(["describe"]) == 130
    assert (
        "profile and evaluate go on from here, pretrain from its last state"
        in capsys.readouterr().err
    )
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGINT, ours)


def test_a_disk_error_without_a_sentence_gets_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(devices, "describe", full)
    assert "/somewhere" in refused(capsys, 4, "describe")


def test_a_reader_that_has_gone_is_no_bug() -> None:
    command = f"{sys.executable} -m search.cli describe --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
