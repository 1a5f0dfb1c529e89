from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.config.cells import CONFIGS
from app.config.settings import read_yaml
from app.reports import tables
from app.reports.layout import Layout, Placement
from app.reports.results import Results, collect
from app.reports.rows import Rows
from app.reports.statistics import PairedTest
from app.reports.tables import paired_texts, result_tables


@pytest.fixture
def results(root: Path) -> Results:
    return collect(root)


def of_all(build: Callable[[Layout, Results], Rows], results: Results) -> Rows:
    return build(Layout.of_results(results), results)


def test_the_overview_has_a_row_per_network_and_a_column_per_scheme_and_variant(results: Results) -> None:
    assert of_all(tables.overview, results) == [
        ["dataset/architecture", "metric", "fp32", "dq_int8", "qat_int8", "qat_int8+m"],
        ["cora/gcn", "accuracy %", "81.5 (1)", "83.0 +- 3.6 (3)", "63.0 +- 36.1 (4)", "50.0 (1)"],
        ["reddit_binary/gin *", "accuracy %", "-", "90.0 (1)", "-", "-"],
    ]


def test_differences_to_fp32_are_over_common_seeds(results: Results) -> None:
    header, *rows = of_all(tables.against_fp32, results)
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert table["cora/gcn/dq_int8"]["mean"] == "83.0"
    assert table["cora/gcn/dq_int8"]["deviation"] == "3.6"
    assert table["cora/gcn/dq_int8"]["- our FP32"] == "-1.5", "of seed 0 alone: FP32 has no other"
    assert table["cora/gcn/qat_int8+m"]["- our FP32"] == "-31.5"
    assert table["reddit_binary/gin/dq_int8 *"]["- our FP32"] == ""


def test_where_a_row_has_several_fp32_each_cell_says_which_it_is_compared_with(
    make_results: Callable[..., Results],
) -> None:
    scores = {"fp32": (0.8,), "fp32+short": (0.7,), "dq_int8": (0.79,), "dq_int8+short": (0.69,)}
    results = make_results({f"cora/gcn/{name}": values for name, values in scores.items()})
    assert [(row[0].rpartition("/")[2], *row[-2:]) for row in of_all(tables.against_fp32, results)[1:]] == [
        ("fp32", "+0.0", "fp32"),
        ("fp32+short", "+0.0", "fp32+short"),
        ("dq_int8", "-1.0", "fp32"),
        ("dq_int8+short", "-1.0", "fp32+short"),
    ]


@pytest.fixture
def of_two_metrics(make_result: Callable[..., dict]) -> Results:
    """Two schemes of a network measured in accuracy, two in F1."""
    metrics = {"fp32": "accuracy", "dq_int8": "f1", "qat_int8": "accuracy", "nqat_int8": "f1"}
    names = {f"mnist/gcn/{scheme}": metric for scheme, metric in metrics.items()}
    return {name: [make_result(name, seed, 0.5, metric=metric) for seed in (0, 1)] for name, metric in names.items()}


def test_results_of_another_metric_stand_in_a_row_of_their_own_and_are_compared_with_none_of_the_first(
    of_two_metrics: Results,
) -> None:
    found = result_tables(Layout.of_results(of_two_metrics), of_two_metrics)
    five = "50.0 +- 0.0 (2)"
    assert found["Test results, mean +- deviation (seeds)"] == [
        ["dataset/architecture", "metric", "fp32", "dq_int8", "nqat_int8", "qat_int8"],
        ["mnist/gcn", "accuracy %", five, "-", "-", five],
        ["mnist/gcn (F1 %)", "F1 %", "-", five, five, "-"],
    ]
    assert [[row[0], row[1], row[-1]] for row in found["Against our FP32"][1:]] == [
        ["mnist/gcn/fp32", "accuracy %", "+0.0"],
        ["mnist/gcn/qat_int8", "accuracy %", "+0.0"],
        ["mnist/gcn/dq_int8", "F1 %", ""],
        ["mnist/gcn/nqat_int8", "F1 %", ""],
    ]
    assert [row[:2] for row in found["Paired over seeds"][1:]] == [["mnist/gcn (F1 %)", "dq_int8 - nqat_int8"]]
    assert [row[0] for row in found["Against published figures"][1:]] == ["mnist/gcn/fp32"]


def test_published_accuracies_are_held_against_accuracies_only(make_result: Callable[..., dict]) -> None:
    results = {"mnist/gcn/fp32": [make_result("mnist/gcn/fp32", 0, 0.5, metric="f1")]}
    assert "Against published figures" not in result_tables(Layout.of_results(results), results)


def test_published_figures_stand_beside_ours_where_there_are_any(results: Results) -> None:
    (row,) = of_all(tables.against_published, results)[1:]
    assert row[:4] == ["reddit_binary/gin/dq_int8 *", "accuracy %", "90.0 (1)", "91.8"]
    assert "Tailor et al. 2021" in row[4]


def test_a_published_figure_is_held_against_one_variant_of_its_scheme(make_results: Callable[..., Results]) -> None:
    results = make_results({"mnist/gcn/fp32+first5000": (0.5,), "mnist/gcn/fp32+other": (0.6,)})
    assert [row[0] for row in of_all(tables.against_published, results)[1:]] == ["mnist/gcn/fp32+first5000"]


def test_there_is_no_table_of_published_figures_for_data_sets_without_any(make_results: Callable[..., Results]) -> None:
    results = make_results({"cora/gcn/fp32": (0.8,)})
    assert "Against published figures" not in result_tables(Layout.of_results(results), results)


def test_published_figures_name_their_source() -> None:
    for name, figure in read_yaml(CONFIGS / "published.yaml", "").items():
        assert name.count("/") == 2
        assert figure["value"] > 50
        assert len(figure["source"]) > 10


def test_differences_are_paired_over_common_seeds(results: Results) -> None:
    _, row = of_all(tables.paired_differences, results)
    assert row == ["cora/gcn", "dq_int8 - qat_int8", "3", "+2.00", "-0.48 to +4.48", "0.074", "0.25"]


def test_a_paired_test_without_spread_leaves_its_columns_empty() -> None:
    assert paired_texts(PairedTest(3, 0.0), 2) == ["3", "+0.00", "", "", ""]


def test_rows_of_one_metric_are_tested_together_too(make_result: Callable[..., dict]) -> None:
    scores = {"cora/gcn": (0.5, 0.6), "cora/gat": (0.8, 0.85), "zinc/gcn": (0.4, 0.3), "mnist/gcn": (0.9,)}
    metrics = {"zinc/gcn": "mae"}
    results = {
        f"{row}/{scheme}_int8": [
            make_result(f"{row}/{scheme}_int8", seed, value + gain * (seed + 1), metric=metrics.get(row, "accuracy"))
            for seed, value in enumerate(values)
        ]
        for row, values in scores.items()
        for scheme, gain in (("dq", 0.01), ("qat", 0.0))
    }
    _, *rows = of_all(tables.paired_differences, results)
    assert [row[:4] for row in rows] == [
        ["cora/gat", "dq_int8 - qat_int8", "2", "+1.50"],
        ["cora/gcn", "dq_int8 - qat_int8", "2", "+1.50"],
        ["zinc/gcn", "dq_int8 - qat_int8", "2", "+0.0150"],
        ["all 2 rows", "dq_int8 - qat_int8", "4", "+1.50"],
    ]


def test_exactness_sums_counts_and_takes_the_largest_difference(results: Results) -> None:
    _, row = of_all(tables.exactness, results)
    # 3 runs of 1,000 codes, 2 each differing by at most 2; 10 predictions, 1 each differing
    assert row == ["cora/gcn/dq_int8", "3", "3,000", "6", "2", "30", "3", "0"]


def test_a_copy_of_a_run_counts_once_everywhere(make_result: Callable[..., dict]) -> None:
    exact = dict.fromkeys((key for key, _ in tables.EXACTNESS.values()), 7)
    name = "cora/gcn/dq_int8"
    for known in ({"exactness": exact}, {"no_program": "why"}):
        once = result_tables(Layout.of_results([name]), {name: [make_result(name, 0, 0.5, **known)]})
        twice = result_tables(Layout.of_results([name]), {name: [make_result(name, 0, 0.5, **known)] * 2})
        assert once == twice


def test_what_is_not_the_original_data_is_named(results: Results) -> None:
    found = result_tables(Layout.of_results(results), results)
    assert found["* Data"][1:] == [["reddit_binary", "REDDIT-BINARY", "a half"]]


def test_changed_settings_are_marked_and_named(make_results: Callable[..., Results]) -> None:
    results = make_results({"cora/gcn/fp32": (0.8,), "cora/gcn/dq_int4+tuned": (0.7,), "zinc/gcn/fp32+short": (0.9,)})
    layout = Layout(
        "Table",
        (
            Placement("cora/gcn", "fp32", "cora/gcn/fp32"),
            Placement("cora/gcn", "dq_int4", "cora/gcn/dq_int4+tuned", ("--model.lr=0.1", "--model.p=1")),
            Placement("zinc/gcn", "fp32", "zinc/gcn/fp32+short", ("--trainer.max_epochs=2",)),
        ),
    )
    found = result_tables(layout, results)
    assert found["Table"][1:] == [
        ["cora/gcn", "accuracy %", "80.0 (1)", "70.0 (1) †"],
        ["zinc/gcn †", "accuracy %", "90.0 (1)", "-"],  # all of the row
    ]
    assert found["† Changed settings"] == [
        ["variant", "of", "settings"],
        ["tuned", "cora/gcn", "model.lr=0.1 model.p=1"],
        ["short", "zinc/gcn", "trainer.max_epochs=2"],
    ]


def test_mixed_schemes_say_their_bits_and_uniform_ones_are_not_named(make_results: Callable[..., Results]) -> None:
    def widths(weights: int, activations: int, **exceptions: int) -> dict[str, object]:
        parts = {"weights": weights, "activations": activations, "exceptions": exceptions}
        return {"bits": activations, "bit_widths": parts}

    results = {
        **make_results({"cora/gcn/fp32": (0.5,)}, **widths(32, 32)),
        **make_results({"cora/gcn/qat_int8": (0.5,)}, **widths(8, 8)),
        **make_results({"cora/gcn/qat_int4": (0.5,)}, bits=4),
        **make_results({"cora/gcn/dq_int8": (0.5,)}, **widths(4, 8)),
        **make_results({"cora/gcn/dq_int4": (0.5,)}, **widths(4, 4, a=8, b=8, c=32, d=8, e=8, f=8)),
        **make_results({"cora/gcn/first_last_8": (0.5,)}, bits=4, bit_widths={
            "weights": 4, "activations": 4, "exceptions": {"readout.scores": 6}, "parts": {
                "first": {"weights": 4, "activations": 8}, "trunk": {"weights": 4, "activations": 4},
                "last": {"weights": 8, "activations": 8},
            },
        }),
    }  # fmt: skip
    tables = result_tables(Layout.of_results(results), results)
    assert tables["Bits of mixed schemes"] == [
        ["cell", "weights", "activations", "first", "last", "exceptions"],
        ["cora/gcn/dq_int4", "INT4", "INT4", "", "", "a INT8, b INT8, c FP32, d INT8 and 2 more"],
        ["cora/gcn/dq_int8", "INT4", "INT8", "", "", ""],
        ["cora/gcn/first_last_8", "INT4", "INT4", "weights INT4, activations INT8", "INT8", "readout.scores INT6"],
    ]


def test_runs_without_a_program_are_listed_with_the_reason(make_results: Callable[..., Results]) -> None:
    results = make_results({"cora/gcn/dq_int8": (0.8, 0.8, 0.8), "cora/gcn/fp32": (0.8,)})
    for result, reason in zip(results["cora/gcn/dq_int8"], ("export is false", "a site", "a site"), strict=True):
        result["no_program"] = reason
    tables = result_tables(Layout.of_results(results), results)
    assert tables["Without an integer program"] == [
        ["cell", "runs", "why"],
        ["cora/gcn/dq_int8", "1", "export is false"],
        ["cora/gcn/dq_int8", "2", "a site"],
    ]


def test_a_network_of_ones_own_has_its_name_in_every_table(make_results: Callable[..., Results]) -> None:
    names = [f"cora/gcn/{scheme}+prepared" for scheme in ("fp32", "dq_int8")]
    layout = Layout("title", tuple(Placement("cora/Net", name.split("/")[2], name) for name in names))
    found = result_tables(layout, make_results(dict.fromkeys(names, (0.5, 0.6))))
    assert [row[0] for row in found["Against our FP32"][1:]] == ["cora/Net/fp32+prepared", "cora/Net/dq_int8+prepared"]
    assert not any("cora/gcn" in text for rows in found.values() for row in rows for text in row)
