from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from app.config.cells import TABLES, available
from app.config.grids import Grid, Slot, chosen_slots, load_grid, parse_shard, plan_runs
from app.config.lightning_cli import CellCLI
from app.errors import UserError

NO_FILTER = {"datasets": None, "architectures": None, "schemes": None, "seeds": None, "shard": "1/1"}
GRID = """
title: A table
seeds: 0-2
entries:
  - {cells: "synthetic/g[ci]n/fp32"}
  - {cells: [synthetic/gcn/dq_int8, synthetic/gcn/qat_int8], seeds: 1}
  - {cells: synthetic/gcn/dq_int4, column: masked, variant: p3, overrides: {model.scheme.protection.p_max: 0.3}}
compare: [[dq_int8, qat_int8]]
"""


def options(**changes: str) -> argparse.Namespace:
    return argparse.Namespace(**{**NO_FILTER, **changes})


def runs(grid: Grid, **changes: str) -> list[tuple[str, int]]:
    return [(slot.name, seed) for slot, seed in plan_runs(grid, options(**changes))]


def test_a_grid_expands_into_cells_and_seeds(write: Callable[[str], str]) -> None:
    grid = load_grid(write(GRID))
    assert (grid.name, grid.title, grid.compare) == ("mine", "A table", (("dq_int8", "qat_int8"),))
    assert [(slot.row, slot.column, slot.name, slot.seeds) for slot in grid.slots] == [
        ("synthetic/gcn", "fp32", "synthetic/gcn/fp32", (0, 1, 2)),
        ("synthetic/gin", "fp32", "synthetic/gin/fp32", (0, 1, 2)),
        ("synthetic/gcn", "dq_int8", "synthetic/gcn/dq_int8", (1,)),
        ("synthetic/gcn", "qat_int8", "synthetic/gcn/qat_int8", (1,)),
        ("synthetic/gcn", "masked", "synthetic/gcn/dq_int4+p3", (0, 1, 2)),
    ]
    assert grid.slots[-1].overrides == ("--model.scheme.protection.p_max=0.3",)
    assert len(runs(grid)) == len(set(runs(grid))) == 11


def test_an_entry_with_a_variant_has_a_column_of_its_own(write: Callable[[str], str], tmp_path: Path) -> None:
    tuned = {"cells": "synthetic/gcn/dq_int8", "variant": "tuned", "overrides": {"model.lr": 0.02}, "study": {"n": 1}}
    (tmp_path / "tuned.yaml").write_text(yaml.safe_dump(tuned))
    grid = load_grid(write("entries: [{cells: ['synthetic/gcn/dq_int8', 'synthetic/gcn/*qat_int8']}, tuned.yaml]"))
    assert [(slot.column, slot.name.rpartition("/")[2]) for slot in grid.slots] == [
        (name, name) for name in ("dq_int8", "nqat_int8", "qat_int8", "dq_int8+tuned")
    ]


FAST = "variant: fast, overrides: {model.lr: 0.1}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "entries: [{cells: synthetic/gin/fp32}, {cells: synthetic/gcn/dq_int8, column: DQ},"
            " {cells: synthetic/gcn/dq_int8, column: DQ, " + FAST + "}]",
            "entry 2 and entry 3 fill row synthetic/gcn, column DQ with different runs (dq_int8 and dq_int8+fast)",
        ),
        (
            "entries: [{cells: synthetic/gcn/*_int8}, {cells: synthetic/gcn/dq_int8, column: '{scheme}', "
            + FAST
            + "}]",
            "entry 1 and entry 2 fill row synthetic/gcn, column dq_int8 with different runs (dq_int8 and dq_int8+fast)",
        ),
        (
            "entries: [{cells: 'synthetic/gcn/[dl]*q_int8', column: INT8}]",
            "two cells of entry 1 fill row synthetic/gcn, column INT8 with different runs (dq_int8 and lsq_dq_int8)",
        ),
        (
            "entries: [{cells: synthetic/gcn/dq_int8, " + FAST + "},"
            " {cells: synthetic/gcn/dq_int8, column: other, variant: fast, overrides: {model.lr: 0.2}}]",
            "entry 1 and entry 2 have different settings for the runs of synthetic/gcn/dq_int8+fast",
        ),
        (
            "tables: [headline]\nentries: [{cells: cora/gcn/dq_int8, column: '{scheme}', " + FAST + "}]",
            "table headline and entry 1 fill row cora/gcn, column dq_int8 with different runs",
        ),
    ],
)
def test_entries_that_would_replace_each_other_are_refused(write: Callable[[str], str], text: str, told: str) -> None:
    with pytest.raises(UserError) as refused:
        load_grid(write(text))
    assert told in str(refused.value)


def test_entries_that_differ_by_variant_all_run(write: Callable[[str], str]) -> None:
    entries = [f"{{cells: synthetic/gcn/dq_int8, variant: v{n}, overrides: {{model.lr: 0.{n}}}}}" for n in (1, 2, 3)]
    grid = load_grid(write(f"seeds: 0-3\nentries: [{{cells: synthetic/gcn/dq_int8}}, {', '.join(entries)}]"))
    assert len(runs(grid)) == 16


def test_the_same_runs_twice_in_one_place_have_the_seeds_of_both(write: Callable[[str], str]) -> None:
    cell = "cells: synthetic/gcn/dq_int8"
    (slot,) = load_grid(write(f"entries: [{{{cell}, seeds: 0-2}}, {{{cell}, seeds: 2-4}}]")).slots
    assert slot.seeds == (0, 1, 2, 3, 4)


def test_a_grid_of_tables_has_their_slots_and_choices(write: Callable[[str], str], tmp_path: Path) -> None:
    for name in ("dq", "qat"):
        cells = f"entries: [{{cells: synthetic/gcn/{name}_int8}}]\nchoose: {{best: [{name}_int8]}}"
        (tmp_path / f"{name}.yaml").write_text(cells)
    grid = load_grid(write("figure: headline\ntables: [dq.yaml, qat.yaml]"))
    assert [slot.column for slot in grid.slots] == ["dq_int8", "qat_int8"]
    assert grid.choose == {"best": ("dq_int8", "qat_int8")}
    with pytest.raises(UserError, match="no table 'table22'"):
        load_grid(write("tables: [table22]"))


def test_an_entry_of_a_file_takes_the_keys_beside_its_name(write: Callable[[str], str], tmp_path: Path) -> None:
    shared = {"cells": "synthetic/gcn/dq_int8", "variant": "fast", "overrides": {"model.lr": 0.1}, "seeds": "0-3"}
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(shared))
    (slot,) = load_grid(write("entries: [{from: shared.yaml, column: quick, seeds: 1}]")).slots
    assert (slot.column, slot.name, slot.seeds) == ("quick", "synthetic/gcn/dq_int8+fast", (1,))
    assert slot.overrides == ("--model.lr=0.1",)
    (tmp_path / "shared.yaml").write_text("from: other.yaml\ncells: synthetic/gcn/fp32")
    with pytest.raises(UserError, match="no key 'from' here"):
        load_grid(write("entries: [shared.yaml]"))


def test_seeds_may_be_given_by_data_set(write: Callable[[str], str]) -> None:
    grid = load_grid(write("seeds: {cora: 0-4, synthetic: 7}\nentries: [{cells: co*/gcn/fp32}]"))
    assert {slot.row: slot.seeds for slot in grid.slots} == {"cora/gcn": (0, 1, 2, 3, 4)}
    assert [s.seeds for s in load_grid(write("seeds: {synthetic: 7}\nentries: [{cells: s*/gcn/fp32}]")).slots] == [(7,)]
    with pytest.raises(UserError, match="seeds: none for cora"):
        load_grid(write("seeds: {synthetic: 7}\nentries: [{cells: cora/gcn/fp32}]"))


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"schemes": "fp32"}, {"gcn/fp32", "gin/fp32"}),
        ({"schemes": "dq_*,qat_int8"}, {"gcn/dq_int8", "gcn/qat_int8", "gcn/dq_int4+p3"}),
        ({"schemes": "dq_int4+p3"}, {"gcn/dq_int4+p3"}),
        ({"architectures": "gin"}, {"gin/fp32"}),
        ({"architectures": "gin", "seeds": "5"}, {"gin/fp32"}),
    ],
)
def test_filters(write: Callable[[str], str], changes: dict[str, str], left: set[str]) -> None:
    grid = load_grid(write(GRID))
    assert {slot.name.partition("/")[2] for slot in chosen_slots(grid, options(**changes))} == left
    if "seeds" in changes:
        assert {seed for _, seed in runs(grid, **changes)} == {5}


def test_a_filter_that_leaves_nothing_is_refused(write: Callable[[str], str]) -> None:
    with pytest.raises(UserError, match="--datasets cora: nothing of mine is left"):
        chosen_slots(load_grid(write(GRID)), options(datasets="cora"))


def test_a_word_of_a_filter_that_is_of_nothing_is_refused(write: Callable[[str], str]) -> None:
    with pytest.raises(
        UserError, match="--schemes fp32,dq_int9: dq_int9: nothing of mine is called so; it has dq_int4"
    ):
        chosen_slots(load_grid(write(GRID)), options(schemes="fp32,dq_int9"))


def test_shards_are_a_partition(write: Callable[[str], str]) -> None:
    grid = load_grid(write(GRID))
    parts = [runs(grid, shard=f"{i}/3") for i in (1, 2, 3)]
    assert sorted(run for part in parts for run in part) == sorted(runs(grid))
    assert {len(part) for part in parts} == {3, 4}
    for wrong in ("0/3", "4/3", "x", "1", "1/"):
        with pytest.raises(UserError, match="expected I/N"):
            parse_shard(wrong)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("entries: [{cells: synthetic/gcn/fp32, variant: x}]", "overrides need a `variant`"),
        ("entries: [{cells: synthetic/gcn/fp32, overrides: {model.lr: 1}}]", "overrides need a `variant`"),
        ("entries: [{cells: synthetic/gcn/fp32, variant: a/b, overrides: {model.lr: 1}}]", "variant 'a/b': expected"),
        ("entries: [{cell: synthetic/gcn/fp32}]", "an entry needs `cells"),
        ("entries: [{cells: synthetic/gcn/fp32, sedes: 1}]", "no key 'sedes' here; there are cells"),
        ("entreis: []", "no key 'entreis' here"),
        ("entries: [{cells: synthetic/gcn/dq_int88}]", "did you mean 'dq_int8'?"),
        ("entries: [nowhere.yaml]", "nowhere.yaml: No such file"),
        ("entries: [{cells: synthetic/gcn/fp32}]\nchoose: [fp32]", "choose: expected lists of columns by name"),
        ("entries: [{cells: synthetic/gcn/fp32}]\nchoose: {best: fp32}", "choose: expected lists of columns by name"),
        ("entries: [{cells: synthetic/gcn/fp32}]\ncompare: [fp32]", "compare: expected a list of pairs of columns"),
        ("entries: [{from: nowhere.yaml, column: x}]", "nowhere.yaml: No such file"),
        ("entries: [{cells: synthetic/gcn/fp32}]\ncompare: [[fp32, dq]]", "no column 'dq' here to compare"),
        (
            "entries: [{cells: synthetic/gcn/fp32}]\nchoose: {best: [ptq]}",
            "no column 'ptq' here to compare or to choose",
        ),
        ("figure: seven", "figure: expected one of headline"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line(write: Callable[[str], str], text: str, told: str) -> None:
    with pytest.raises(UserError) as refused:
        load_grid(write(text))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_table_is_told_with_the_closest(refused: Callable[..., str]) -> None:
    for command in ("report", "reproduce"):
        told = refused(command, "nothing")
        assert told.startswith("no table 'nothing'; there are attention, digits, figure1, ")
        assert told.endswith("table9, or name a YAML file")
    assert "no table 'table11'; did you mean 'table1'?" in refused("reproduce", "table11")
    assert "--shard '3/2': expected I/N" in refused("reproduce", "table1", "--shard", "3/2")


@pytest.mark.parametrize("name", available(TABLES))
def test_the_tables_that_come_with_the_program(name: str) -> None:
    grid = load_grid(name)
    assert grid.slots


def test_a_folder_of_runs_means_the_same_settings_in_every_table() -> None:
    words = defaultdict(set)
    for name in available(TABLES):
        for slot in load_grid(name).slots:
            words[slot.name].add(slot.overrides)
    assert {name: found for name, found in words.items() if len(found) > 1} == {}


def words_in_need(slot: Slot) -> set[tuple[bool, str]]:
    """The overrides of a slot, each of which has to be a setting of a quantized network or of one that is not.

    One number stands for all of a setting.
    """
    return {(slot.cell.scheme == "fp32", re.sub(r"([=:] ?)\d[\d.e-]*", r"\1NUMBER", word)) for word in slot.overrides}


def slots_with_all_overrides() -> list[Slot]:
    """Slots in which all overrides of all tables occur: the fewest that are found by taking the fullest first."""
    slots = [slot for name in available(TABLES) for slot in load_grid(name).slots]
    left, chosen = set().union(*map(words_in_need, slots)), []
    while left:
        chosen.append(max(slots, key=lambda slot: len(words_in_need(slot) & left)))
        left -= words_in_need(chosen[-1])
    return chosen


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("slot", slots_with_all_overrides(), ids=lambda slot: slot.name)
def test_every_override_of_a_table_is_a_setting(slot: Slot, tmp_path: Path) -> None:
    files = [word for path in slot.cell.config_files for word in ("--config", str(path))]
    try:
        CellCLI([*files, *slot.overrides], tmp_path)
    except UserError as problem:
        if "missing" not in str(problem):  # of raw data, not of a setting
            raise


def test_rows_of_a_network_of_ones_own_have_its_name(write: Callable[[str], str]) -> None:
    own = """
title: Mine
entries:
  - cells: ["synthetic/gcn/fp32", "synthetic/gin/fp32"]
    variant: own
    overrides: {model: {network: "examples.networks:GraphSAGE"}}
  - {cells: synthetic/gcn/fp32}
"""
    refused = own.replace("variant: own", "variant: own\n    column: fp32").replace("synthetic/gin", "synthetic/gat")
    rows = {(slot.row, slot.name) for slot in load_grid(write(own.replace('"synthetic/gin/fp32"', ""))).slots}
    assert rows == {("synthetic/GraphSAGE", "synthetic/gcn/fp32+own"), ("synthetic/gcn", "synthetic/gcn/fp32")}
    with pytest.raises(UserError, match="fill row synthetic/GraphSAGE, column fp32 with different runs"):
        load_grid(write(refused))


def test_a_shard_beyond_the_grid_says_that_it_has_no_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("entries:\n  - cells: synthetic/gcn/fp32\n    seeds: 0-1\n")
    grid = load_grid(str(path))
    count = len(plan_runs(grid, argparse.Namespace(**NO_FILTER)))
    assert capsys.readouterr().err == ""
    shard = f"{count + 1}/{count + 1}"
    assert plan_runs(grid, argparse.Namespace(**{**NO_FILTER, "shard": shard})) == []
    assert capsys.readouterr().err == f"--shard {shard}: has no runs, the grid has only {count}\n"
