from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from app.reports.plots.by_degree import column_by_degree


def test_bins_of_in_degree_stand_in_order_whoever_names_them_first() -> None:
    rows = [["dataset", "in-degree", "%"], ["a", "1", "70"], ["a", "16-31", "30"], ["b", "0", "1"], ["b", "2-3", "99"]]
    (axes,) = column_by_degree("title", rows, "%").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "2-3", "16-31"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines] == [
        ([1, 3], [70.0, 30.0]),
        ([0, 2], [1.0, 99.0]),
    ]
