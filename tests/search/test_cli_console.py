from __future__ import annotations

import pytest

from fleetfit import Budget
from search.cli.console import mib, ms, result, table


def test_no_cell_of_a_table_is_cut_or_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table("Title", ("name", "time"), [("[bold]a" + "b" * 100, ms(0.0125))])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[bold]a" + "b" * 100 in shown.err
    assert "12.50 ms" in shown.err


def test_a_result_is_written_only_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    result({"a": 1}, as_json=False)
    result({"b": 2}, as_json=True)
    assert capsys.readouterr().out == '{"b": 2}\n'


def test_numbers_have_units() -> None:
    assert [ms(None), ms(1.5e-6), ms(0.02)] == ["-", "0.0015 ms", "20.00 ms"]
    assert [mib(None), mib(2.0**20), mib(2.0**34)] == ["-", "1.0 MiB", "16.0 GiB"]
    assert Budget.parse("memory<=160MiB").shown(2.0**20) == "1MiB"
