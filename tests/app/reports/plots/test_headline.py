from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from app.reports.headline import headline_rows
from app.reports.layout import Layout
from app.reports.plots.headline import accuracy_lines, headline_figure, network_speeds
from app.reports.results import Results

SCORES = {"fp32": 0.8, "qat_int8": 0.7, "dq_int8": 0.75, "qat_int4": 0.3, "dq_int4": 0.6, "distil_int4": 0.65}


@pytest.fixture
def results(make_results: Callable[..., Results]) -> Results:
    """Ten seeds of a network, one of another, and a regression."""
    return {
        **make_results({f"cora/gcn/{scheme}": (score,) * 10 for scheme, score in SCORES.items()}),
        **make_results({f"mnist/gcn/{scheme}": (score / 2,) for scheme, score in SCORES.items()}),
        **make_results({f"zinc/gcn/{scheme}": (score,) * 10 for scheme, score in SCORES.items()}, metric="mae"),
    }


def lines(results: Results) -> dict[str, dict[str, list[float]]]:
    return accuracy_lines(headline_rows(Layout.of_results(results), results), results)


def measured(*networks: str, eager: bool = True) -> list[dict[str, Any]]:
    def ratios(fastest: float) -> dict[str, float | None]:
        own = {"best library FP32": 4.0 / fastest, "own FP32": 2.0 / fastest}
        return {"PyG eager": 8.0 / fastest if eager else None, **own}

    fastest = {"PyG eager": 8.0, "own FP32": 2.0, "INT8": 1.0, "INT4": 0.5}
    rows = [
        {"name": name, "threads": threads, "fastest": ms / threads, "ratios": ratios(ms / threads)}
        for threads in (2, 1)
        for name, ms in fastest.items()
        if eager or name != "PyG eager"
    ]
    return [{"workload": "cifar10", "network": name, "rows": rows} for name in networks]


def test_lines_are_of_rows_with_enough_seeds_of_everything(results: Results) -> None:
    (found,) = lines(results).items()
    assert found[0] == "cora/gcn"
    assert found[1]["QAT"] == pytest.approx([80, 70, 30])
    assert found[1]["DQ"] == pytest.approx([80, 75, 60])
    assert found[1]["best"] == pytest.approx([80, 75, 65])


def test_where_no_row_has_enough_seeds_all_are_drawn(results: Results) -> None:
    few = {name: runs[:2] for name, runs in results.items()}
    assert set(lines(few)) == {"cora/gcn", "mnist/gcn"}


def test_a_row_without_one_of_the_schemes_is_left_out(results: Results) -> None:
    del results["cora/gcn/qat_int4"]
    assert set(lines(results)) == {"mnist/gcn"}


def test_speeds_are_relative_to_pyg_eager() -> None:
    assert network_speeds(measured("gcn")) == {
        "gcn": {"PyG eager": 1.0, "best library FP32": 2.0, "own FP32": 4.0, "INT8": 8.0, "INT4": 16.0}
    }
    assert network_speeds(measured("gcn", eager=False)) == {"gcn": {}}


def test_the_picture_has_a_panel_for_each_that_there_is(results: Results) -> None:
    rows = headline_rows(Layout.of_results(results), results)
    both = headline_figure(rows, results, measured("gcn", "gat"))
    assert both is not None
    accuracy, speed = both.axes
    assert accuracy.get_title(loc="left") == "Accuracy: mean of 1 networks (Cora)"
    assert [text.get_text() for text in speed.get_xticklabels()] == ["GCN", "GAT"]
    assert [len(bars) for bars in speed.containers] == [2] * 5
    alone = headline_figure(rows, results, [])
    assert alone is not None
    assert len(alone.axes) == 1
    assert headline_figure([], results, measured("gcn", eager=False)) is None
