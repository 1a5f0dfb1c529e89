from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.config.grids import load_grid
from app.errors import UserError

ONE = "entries: [{cells: synthetic/gcn/fp32, "
"""The beginning of a table of one entry."""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title: mine", "mine.yaml: no entries here; give some"),
        ("entries: []", "mine.yaml: no entries here; give some"),
        (
            "entries: {cells: synthetic/gcn/fp32}",
            "write a dash before each entry, such as `- cells: synthetic/gcn/fp32`",
        ),
        ("entries: synthetic/gcn/fp32", "mine.yaml: entries: expected a list; write a dash before each entry"),
        (
            "entries: [yes]",
            "mine.yaml: entry 1: expected `cells: DATASET/ARCHITECTURE/SCHEME` or the name of a file, got 'yes'",
        ),
        ("entries: [{from: [a.yaml]}]", "entry 1: from: expected the name of a file, got ['a.yaml']"),
        ("entries: [{cells: [1]}]", "mine.yaml: entry 1: cells: '1': expected DATASET/ARCHITECTURE/SCHEME"),
        (
            "entries: [{cells: {a: b}}]",
            "mine.yaml: entry 1: cells: expected DATASET/ARCHITECTURE/SCHEME or a list of such",
        ),
        (
            "entries: [{cells: [[a]]}]",
            "mine.yaml: entry 1: cells: expected DATASET/ARCHITECTURE/SCHEME or a list of such",
        ),
        (
            "entries: [{cells: synthetic/gcn/fp32}, {cells: synthetic/gcm/fp32}]",
            "mine.yaml: entry 2: cells: 'synthetic/gcm/fp32': no architecture 'gcm'; did you mean 'gcn'?",
        ),
        (
            "entries: [{cells: synthetic/gcn/fp32, column: null}]",
            "entry 1: column: expected the name of a column, got 'null'",
        ),
        (
            "entries: [{cells: synthetic/gcn/fp32, column: [1]}]",
            "entry 1: column: expected the name of a column, got ['1']",
        ),
        (
            f"{ONE}variant: x, overrides: [a, b]}}]",
            "entry 1: overrides: expected settings, such as {model.lr: 0.02}, got ['a', 'b']",
        ),
        (f"{ONE}variant: x, overrides: {{on: 1}}}}]", "entry 1: overrides: expected settings"),
        (f"{ONE}variant: x, overrides: {{model.lr: 2024-01-01}}}}]", "entry 1: overrides: a value is no text, number"),
        (f"{ONE}variant: x, overrides: {{seed_everything: 3}}}}]", "entry 1: overrides: seed_everything has no effect"),
        (
            f"{ONE}variant: x, overrides: {{model.network: [a]}}}}]",
            "mine.yaml: entry 1: model.network: expected the path",
        ),
        (
            f"{ONE}variant: .., overrides: {{model.lr: 1}}}}]",
            "entry 1: variant '..': expected letters, digits, and . _ - (not",
        ),
        (f"{ONE}variant: [a], overrides: {{model.lr: 1}}}}]", "entry 1: variant ['a']: expected letters, digits"),
        (f"{ONE}seeds: 1:30}}]", "mine.yaml: entry 1: seeds: '1:30': expected a whole number"),
        (f"{ONE}seeds: yes}}]", "mine.yaml: entry 1: seeds: 'yes': expected a whole number"),
        (f"{ONE}seeds: 1.0}}]", "mine.yaml: entry 1: seeds: '1.0': expected a whole number"),
        (
            f"{ONE}seeds: []}}]",
            "mine.yaml: entry 1: seeds: expected a whole number, a list (0,4,7) or a range (0-9), got []",
        ),
        (f"{ONE}seeds: [0, yes]}}]", "mine.yaml: entry 1: seeds: '0,yes': expected a whole number"),
        (f"{ONE}seeds: {{synthetic: {{a: 1}}}}}}]", "mine.yaml: entry 1: seeds: expected a whole number, a list"),
        ("yes: 1", "mine.yaml: no key 'yes' here"),
        (f"{ONE}no: 1}}]", "mine.yaml: entry 1: no key 'no' here"),
        ("title: [a]", "mine.yaml: title: expected a text, got ['a']"),
        (
            "tables: headline",
            "mine.yaml: tables: expected a list of tables, such as [table2, mine.yaml], got 'headline'",
        ),
        ("tables: [table22]", "mine.yaml: tables: no table 'table22'"),
        ("tables: [mine.yaml]", "mine.yaml: tables: mine.yaml is this table itself, or one that this table is part of"),
        ("entries: [{cells: synthetic/gcn/fp32}]\nchoose: {best: []}", "choose: expected lists of columns by name"),
        ("entries: [{cells: synthetic/gcn/fp32}]\ncompare: ''", "compare: expected a list of pairs of columns"),
    ],
)
def test_another_form_is_refused_in_one_line_that_says_where(write: Callable[[str], str], text: str, told: str) -> None:
    with pytest.raises(UserError) as refused:
        load_grid(write(text))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_setting_is_text_as_it_is_written(write: Callable[[str], str]) -> None:
    text = f"title: 1_0\n{ONE}seeds: 010, variant: 007, column: yes, overrides: {{model.lr: 1_0}}}}, "
    text += "{cells: synthetic/gcn/fp32, column: 0x1, seeds: [3, 010, 5]}]\ncompare: [[yes, 0x1]]\nchoose: {on: [0x1]}"
    grid = load_grid(write(text))
    assert [(slot.name, slot.column, slot.seeds) for slot in grid.slots] == [
        ("synthetic/gcn/fp32+007", "yes", (10,)),
        ("synthetic/gcn/fp32", "0x1", (3, 10, 5)),
    ]
    assert grid.slots[0].overrides == ("--model.lr=10",)
    assert (grid.title, grid.compare, grid.choose) == ("1_0", (("yes", "0x1"),), {"on": ("0x1",)})


def test_seeds_by_data_set_may_be_lists(write: Callable[[str], str]) -> None:
    (slot,) = load_grid(write(f"seeds: {{synthetic: [0, 2], cora: 010}}\n{ONE}}}]")).slots
    assert slot.seeds == (0, 2)


def test_keys_that_entries_share_are_merged(write: Callable[[str], str]) -> None:
    other = "{<<: *first, variant: yes, overrides: {model.lr: 1}}"
    grid = load_grid(write(f"entries: [&first {{cells: synthetic/gcn/fp32, seeds: 07}}, {other}]"))
    assert [(slot.name, slot.seeds) for slot in grid.slots] == [
        ("synthetic/gcn/fp32", (7,)),
        ("synthetic/gcn/fp32+yes", (7,)),
    ]


def test_tables_that_are_parts_of_each_other_are_refused(write: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("tables: [mine.yaml]")
    with pytest.raises(UserError, match=r"other.yaml: tables: mine.yaml is this table itself, or one that"):
        load_grid(write("tables: [other.yaml]"))


def test_a_wrong_file_of_an_entry_is_told_with_the_entry(write: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "shared.yaml").write_text("{cells: synthetic/gcn/fp32, seeds: 1:30}")
    with pytest.raises(UserError, match=r"mine.yaml: entry 2: seeds: '1:30': expected"):
        load_grid(write("entries: [{cells: synthetic/gin/fp32}, shared.yaml]"))
