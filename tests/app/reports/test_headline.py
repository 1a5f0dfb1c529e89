from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from app.reports.headline import LEFT_OUT, headline_rows, headline_tables, left_out
from app.reports.layout import Layout, Placement
from app.reports.results import Results

Make = Callable[..., Results]


@pytest.fixture
def results(make_results: Make) -> Results:
    return make_results({
        "cora/gcn/fp32": (0.8, 0.82),
        "cora/gcn/qat_int8": (0.78,),
        "cora/gcn/dq_int8": (0.79,),
        "cora/gcn/dq_int4": (0.7,),
        "cora/gcn/dq_int4+tuned": (0.75,),
        "mnist/gcn/fp32+part": (0.5,),
        "mnist/gcn/dq_int8+part": (0.4,),
    })  # fmt: skip


def headline(results: Results, choose: dict[str, Sequence[str]] | None = None) -> dict[str, list[list[str]]]:
    layout = Layout.of_results(results)
    return headline_tables(Layout(layout.title, layout.placements, choose=choose or {}), results, "Title")


def test_a_row_has_fp32_degree_quant_the_best_and_what_is_published(results: Results) -> None:
    header, cora, mnist = headline(results)["Title"]
    assert header == [
        "dataset/architecture", "metric", "FP32", "best INT8", "DQ INT8", "DQ INT4", "best INT4", "published",
    ]  # fmt: skip
    assert cora == [
        "cora/gcn", "accuracy %", "81.0 +- 1.4 (2)", "79.0 (1), dq_int8", "79.0 (1)", "70.0 (1)",
        "75.0 (1), dq_int4+tuned", "-",
    ]  # fmt: skip
    assert mnist == [
        "mnist/gcn †", "accuracy %", "50.0 (1)", "40.0 (1), dq_int8+part", "40.0 (1)", "-", "-", "FP32 90.7"
    ]  # fmt: skip


def test_the_best_is_among_the_columns_that_the_table_names(results: Results) -> None:
    chosen = headline(results, {"best INT8": ["qat_int8"], "best INT4": ["dq_int4"]})["Title"]
    assert [chosen[1][3], chosen[1][6]] == ["78.0 (1), qat_int8", "70.0 (1), dq_int4"]
    assert chosen[2][3] == "40.0 (1), dq_int8+part", "none of them is in this row"


def test_a_changed_cell_is_marked_where_its_row_is_not(make_results: Make) -> None:
    results = make_results({"cora/gcn/fp32": (0.8,), "cora/gcn/dq_int4+mine": (0.7,)})
    layout = Layout(
        "",
        (
            Placement("cora/gcn", "fp32", "cora/gcn/fp32"),
            Placement("cora/gcn", "dq_int4", "cora/gcn/dq_int4+mine", ("--model.lr=1",)),
        ),
    )
    found = headline_tables(layout, results, "Title")
    assert found["Title"] == [
        ["dataset/architecture", "metric", "FP32", "DQ INT4", "best INT4"],
        ["cora/gcn", "accuracy %", "80.0 (1)", "70.0 (1) †", "70.0 (1) †, dq_int4"],
    ]
    assert found["† Changed settings"][1:] == [["mine", "cora/gcn", "model.lr=1"]]


def test_substitutes_are_named(make_results: Make) -> None:
    results = make_results({"zinc/gcn/fp32": (0.8,)}, data={"name": "ZINC", "substitute": "a part"})
    found = headline(results)
    assert found["Title"][1][0] == "zinc/gcn *"
    assert found["* Data"][1:] == [["zinc", "ZINC", "a part"]]


def test_without_results_there_is_no_table() -> None:
    assert headline({}) == {}


def test_the_picture_s_columns_are_found_too(results: Results) -> None:
    cora, mnist = headline_rows(Layout.of_results(results), results)
    assert (cora.row, cora.places["QAT INT8"].name) == ("cora/gcn", "cora/gcn/qat_int8")
    assert "QAT INT8" not in mnist.places


def test_what_the_headline_has_no_place_for_is_named(make_results: Make, results: Results) -> None:
    layout = Layout.of_results(results)
    assert left_out(layout, results) == {LEFT_OUT: [["column", "of"], ["qat_int8", "cora/gcn"]]}
    more = make_results({"cora/gcn/fp32": (0.8,), "cora/gcn/fp32+lr": (0.9,), "mnist/gcn/fp32+lr": (0.9,)})
    assert left_out(Layout.of_results(more), more) == {LEFT_OUT: [["column", "of"], ["fp32+lr", "cora/gcn"]]}
    assert left_out(Layout.of_results({}), {}) == {}


def test_results_of_another_metric_have_a_row_of_their_own(make_result: Callable[..., dict]) -> None:
    names = {"mnist/gcn/fp32": "accuracy", "mnist/gcn/dq_int8": "f1"}
    found = headline({name: [make_result(name, 0, 0.5, metric=metric)] for name, metric in names.items()})["Title"]
    assert found == [
        ["dataset/architecture", "metric", "FP32", "best INT8", "DQ INT8", "published"],
        ["mnist/gcn", "accuracy %", "50.0 (1)", "-", "-", "FP32 90.7"],
        ["mnist/gcn (F1 %)", "F1 %", "-", "50.0 (1), dq_int8", "50.0 (1)", "-"],
    ]
