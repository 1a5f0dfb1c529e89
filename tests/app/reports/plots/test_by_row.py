from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("matplotlib")

from app.reports.layout import Layout
from app.reports.plots.by_row import accuracy_by_bits, error_by_degree
from app.reports.results import Results


def test_scores_are_drawn_by_kind_and_bits_with_fp32_as_a_line(make_results: Callable[..., Results]) -> None:
    results = make_results({
        "a/b/fp32": (0.9,), "a/b/dq_int8": (0.8, 0.9), "a/b/dq_int4": (0.7,), "a/b/qat_int4": (0.5,)
    })  # fmt: skip
    figure = accuracy_by_bits("a/b", Layout.of_results(results).places, results)
    assert figure is not None
    (axes,) = figure.axes
    lines = {container.get_label(): container.lines[0] for container in axes.containers}
    assert {name: list(line.get_xdata()) for name, line in lines.items()} == {"dq": [4, 8], "qat": [4]}
    assert list(lines["dq"].get_ydata()) == pytest.approx([70.0, 85.0])
    assert [line.get_label() for line in axes.lines if line.get_linestyle() == "--"] == ["fp32"]


def test_one_width_is_no_picture(make_results: Callable[..., Results]) -> None:
    results = make_results({"a/b/fp32": (0.9,), "a/b/dq_int8": (0.8,)})
    assert accuracy_by_bits("a/b", Layout.of_results(results).places, results) is None


def test_errors_by_in_degree_are_of_all_seeds_together(make_results: Callable[..., Results]) -> None:
    results = make_results({"a/b/fp32": (0.9, 0.8)}, error_by_degree={"1": {"nodes": 4, "wrong": 1}})
    results["a/b/fp32"][1]["error_by_degree"] = {"1": {"nodes": 4, "wrong": 3}, "2-3": {"nodes": 2, "wrong": 0}}
    figure = error_by_degree("a/b", Layout.of_results(results).places, results)
    assert figure is not None
    (axes,) = figure.axes
    (line,) = axes.lines
    assert (line.get_label(), list(line.get_ydata())) == ("fp32", [50.0, 0.0])
    assert error_by_degree("a/b", [], {}) is None
