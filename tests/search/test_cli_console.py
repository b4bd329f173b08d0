from __future__ import annotations

import pytest
from rich.console import Console

from fleetfit import Budget
from search.cli import console
from search.cli.console import mib, ms, result, table


def test_no_cell_of_a_table_is_cut_or_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table("Title", ("name", "time"), [("[bold]a" + "b" * 100, ms(0.0125))])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[bold]a" + "b" * 100 in shown.err
    assert "12.50 ms" in shown.err


@pytest.mark.parametrize("width", [60, 70, 80, 120])
def test_only_headings_are_wrapped_where_cells_fit(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_console", lambda: Console(stderr=True, width=width))
    heads = ("name", "network", "hidden loss (of variance)", "masked-LM accuracy")
    rows = [("smallest", "2L e240 d384 h12 f384", "0.8954", "12.7%")]
    rows.append(("half-depth", "3L e384 d384 h12 f1536", "-0.1400", "9.1%"))
    table("Title", heads, rows)
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= width
    for row in rows:
        (line,) = [line for line in lines if row[0] in line]
        assert [cell for cell in row if cell in line] == list(row)
    ends = {line.index(value) + len(value) for line, value in _found(lines, ("0.8954", "-0.1400"))}
    assert len(ends) == 1  # aligned to the right


def _found(lines: list[str], values: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(line, value) for value in values for line in lines if value in line]


def test_a_result_is_written_only_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    result({"a": 1}, as_json=False)
    result({"b": 2}, as_json=True)
    assert capsys.readouterr().out == '{"b": 2}\n'


def test_numbers_have_units() -> None:
    assert [ms(None), ms(1.5e-6), ms(0.02)] == ["-", "0.0015 ms", "20.00 ms"]
    assert [mib(None), mib(2.0**20), mib(2.0**34)] == ["-", "1.0 MiB", "16.0 GiB"]
    assert Budget.parse("memory<=160MiB").shown(2.0**20) == "1MiB"
