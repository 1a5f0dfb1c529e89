from __future__ import annotations

from app.reports.rows import without_empty_columns


def test_empty_columns_are_left_out() -> None:
    assert without_empty_columns([["a", "b", "c"], ["1", "", "2"], ["", "", ""]]) == [["a", "c"], ["1", "2"], ["", ""]]
