from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.config.grids import load_grid
from app.reports.layout import Layout, Placement


@pytest.fixture
def layout(tmp_path: Path) -> Callable[[str], Layout]:
    """The layout of a grid of this text."""

    def of(text: str) -> Layout:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return Layout.of_grid(load_grid(str(path)))

    return of


def test_all_results_have_a_row_per_network_and_a_column_per_scheme_and_variant() -> None:
    layout = Layout.of_results(["cora/gcn/dq_int8", "cora/gcn/dq_int8+m", "cora/gcn/fp32", "cora/gat/dq_int8"])
    assert list(layout.rows) == ["cora/gat", "cora/gcn"]
    assert layout.columns == ["fp32", "dq_int8", "dq_int8+m"]
    gat, *gcn = layout.places
    assert [layout.fp32_of(place) for place in gcn] == [gcn[0]] * 3
    assert layout.fp32_of(gat) is None


def test_a_scheme_that_is_only_called_like_fp32_is_compared_with_it() -> None:
    schemes = ("fp32_to4", "dq_int8", "fp32")
    layout = Layout("", tuple(Placement("a/b", scheme, f"a/b/{scheme}") for scheme in schemes))
    assert layout.columns == ["fp32", "fp32_to4", "dq_int8"]
    assert {layout.fp32_of(place).name for place in layout.places} == {"a/b/fp32"}  # type: ignore[union-attr]


def test_rows_are_in_the_paper_s_order_and_others_last() -> None:
    names = ("mine", "reddit_binary", "zinc", "cifar10", "mnist", "citeseer", "cora")
    layout = Layout.of_results([f"{name}/gin/fp32" for name in names])
    assert [row.partition("/")[0] for row in layout.rows] == [*reversed(names)]


def test_the_parts_of_a_cell_s_name() -> None:
    place = Placement("cora/gcn", "best", "cora/gcn/dq_int4+tuned")
    assert (place.dataset, place.scheme, place.variant) == ("cora", "dq_int4", "tuned")
    assert Placement("cora/gcn", "best", "cora/gcn/dq_int4").variant == ""


def test_a_layout_is_restricted_to_names() -> None:
    layout = Layout.of_results(["cora/gcn/fp32", "cora/gcn/dq_int8"]).restricted_to({"cora/gcn/fp32": []})
    assert layout.columns == ["fp32"]


def test_settings_are_changed_where_the_column_does_not_name_them(layout: Callable[[str], Layout]) -> None:
    found = layout("""entries:
- {cells: [synthetic/gcn/dq_int8, synthetic/gcn/dq_int4]}
- {cells: synthetic/gcn/qat_int8, variant: fast, overrides: &faster {model.lr: 0.1}}
- {cells: synthetic/gcn/nqat_int8, column: noisy and fast, variant: fast, overrides: *faster}
- {cells: [synthetic/gin/dq_int8, synthetic/gin/lsq_int8], column: "{scheme}", variant: fast, overrides: *faster}
- {cells: synthetic/gcn/dq_int4, column: other}
- {cells: synthetic/gin/dq_int4, column: other, variant: fast, overrides: *faster}
""")
    assert [place.column for place in found.placements[2:4]] == ["qat_int8+fast", "noisy and fast"]
    assert {(place.name, place.column) for place in found.changed} == {
        ("synthetic/gin/dq_int8+fast", "dq_int8"),  # a column named after a scheme is for plain cells
        ("synthetic/gin/lsq_int8+fast", "lsq_int8"),  # though there is none
        ("synthetic/gin/dq_int4+fast", "other"),  # this one began with a plain cell
    }
    assert {place.settings for place in found.changed} == {("--model.lr=0.1",)}


def test_layouts_are_joined_with_their_choices(layout: Callable[[str], Layout]) -> None:
    one = layout("title: One\nentries: [{cells: synthetic/gcn/dq_int8}]\nchoose: {best: [dq_int8]}")
    two = layout("title: Two\nentries: [{cells: 'synthetic/gcn/*dq_int8'}]\nchoose: {best: [lsq_dq_int8, dq_int8]}")
    joined = Layout.joined([one, two])
    assert joined.title == "One"
    assert joined.placements == (one.placements[0], *(place for place in two.placements if place != one.placements[0]))
    assert set(joined.choose["best"]) == {"dq_int8", "lsq_dq_int8"}


def test_joined_layouts_keep_all_runs_of_a_place() -> None:
    plain, tuned = (Placement("a/b", "best", f"a/b/dq_int8{variant}") for variant in ("", "+tuned"))
    joined = Layout.joined([Layout("one", (plain,)), Layout("two", (tuned, plain))])
    assert joined.placements == (plain, tuned)


@pytest.mark.parametrize(
    ("name", "fp32"),
    [
        ("fp32+50epochs", "fp32+50epochs"),
        ("best_int4+50epochs", "fp32+50epochs"),
        ("dq_int4+25epochs", "fp32+25epochs"),
        ("best_int4+25after25", "fp32"),
        ("dq_int8", "fp32"),
    ],
)
def test_a_cell_is_compared_with_fp32_of_its_variant_or_the_plain_one(name: str, fp32: str) -> None:
    names = ("fp32+25epochs", "fp32", "fp32+50epochs", name)
    places = {other: Placement("zinc/gin", other, f"zinc/gin/{other}") for other in names}
    assert Layout("T", tuple(places.values())).fp32_of(places[name]) == places[fp32]


@pytest.mark.parametrize("table", ["recipes", "parts", "table2", "table3", "int4", "headline", "own"])
def test_fp32_in_a_table_is_compared_with_itself_and_other_cells_with_the_first_or_that_of_their_variant(
    table: str,
) -> None:
    layout = Layout.of_grid(load_grid(table))
    for place in layout.places:
        fp32 = layout.fp32_of(place)
        of_row = layout.fp32_of_row(place.row)
        alike = [other for other in of_row if other.variant == place.variant]
        assert fp32 == (alike or of_row or [None])[0]
        assert place not in of_row or fp32 == place
