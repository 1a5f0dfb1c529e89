from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.main import main
from app.config import cells
from app.config.cells import KINDS, Cell, all_cells, available, families, parse_seeds, select
from app.errors import UserError


def test_every_combination_of_a_family_is_a_cell_of_existing_files() -> None:
    every = all_cells()
    pairs = sum(len(available("dataset", family)) * len(available("architecture", family)) for family in families())
    assert len(every) == len(set(every)) == pairs * len(available("scheme"))
    for cell in every:
        _, dataset, architecture, scheme = cell.config_files
        assert all(path.is_file() for path in cell.config_files)
        assert dataset.parent.name == architecture.parent.name
        assert (dataset.stem, architecture.stem, scheme.stem) == (cell.dataset, cell.architecture, cell.scheme)
        assert select(str(cell)) == [cell]


def test_a_dataset_belongs_to_one_family() -> None:
    assert len(available("dataset")) == sum(len(available("dataset", family)) for family in families())


@pytest.fixture
def two_families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs of two families: one with gcn and gin, one with another gin."""
    for name in ("dataset/a/one", "dataset/b/two", "architecture/a/gcn", "architecture/a/gin", "architecture/b/gin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.yaml").touch()
    (tmp_path / "scheme").mkdir()
    (tmp_path / "scheme" / "fp32.yaml").touch()
    monkeypatch.setattr(cells, "CONFIGS", tmp_path)


@pytest.mark.usefixtures("two_families")
def test_an_architecture_is_that_of_the_dataset_s_family() -> None:
    assert [str(c) for c in all_cells()] == ["one/gcn/fp32", "one/gin/fp32", "two/gin/fp32"]
    assert [c.config_files[2].parent.name for c in select("*/gin/fp32")] == ["a", "b"]
    assert select("*/gcn/*") == [Cell("one", "gcn", "fp32")]
    with pytest.raises(UserError, match=r"two/gcn/fp32.*: no network 'gcn' for this dataset; there are gin"):
        select("two/gcn/fp32")


@pytest.mark.usefixtures("two_families")
def test_the_list_shows_what_goes_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert cells.list_cells(argparse.Namespace(), []) == 0
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert words[:3] == [["a:"], ["dataset:", "one"], ["architecture:", "gcn", "gin"]]
    assert words[3:6] == [["b:"], ["dataset:", "two"], ["architecture:", "gin"]]
    assert words[6] == ["scheme:", "fp32"]
    assert words[-1][:2] == ["3", "cells:"]


def test_configs_go_from_general_to_particular() -> None:
    names = [path.stem for path in Cell("cora", "gat", "dq_int4").config_files]
    assert names == ["base", "cora", "gat", "dq_int4"]


def test_globs_name_every_match_once() -> None:
    chosen = select("cora/*/dq_*")
    assert len(chosen) == len(set(chosen))
    assert {c.architecture for c in chosen} == set(available("architecture", "citation"))
    assert {c.scheme for c in chosen} == {s for s in available("scheme") if s.startswith("dq_")}
    assert {c.dataset for c in chosen} == {"cora"}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("cora", "DATASET/ARCHITECTURE/SCHEME"),
        ("cora/gcn/dq_int8/3", "DATASET/ARCHITECTURE/SCHEME"),
        ("cora//dq_int8", "DATASET/ARCHITECTURE/SCHEME"),
        ("coraa/gcn/dq_int8", "no dataset 'coraa'; did you mean 'cora'?"),
        ("cora/gcnn/dq_int8", "no architecture 'gcnn'; did you mean 'gcn'?"),
        ("cora/gcn/dq_int", "no scheme 'dq_int'; did you mean 'dq_int"),
        ("cora/gcn/zzz", "no scheme 'zzz'; there are best_int4"),
        ("cora/../dq_int8", "no architecture '..'"),
    ],
)
def test_a_cell_that_is_none_is_refused_with_what_there_is(word: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        select(word)
    assert told in str(caught.value)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "numbers"), [("3", [3]), ("0,4,7", [0, 4, 7]), ("2-5", [2, 3, 4, 5]), ("1,0-2,1", [1, 0, 2])]
)
def test_seeds(text: str, numbers: list[int]) -> None:
    assert parse_seeds(text) == numbers


@pytest.mark.parametrize("text", ["x", "", "-1", "1-", "-", "3,", "1.5", "5-2", "1-2-3", "²", str(2**32)])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--seed"):
        parse_seeds(text)


def test_kinds_are_the_folders_of_configs() -> None:
    assert all(available(kind) for kind in KINDS)


def test_list_names_every_scheme(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("synthetic", "gcn_factored", "nqat_int4"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own configs: the data set `toy`, the network `wide` and the scheme `mine`."""
    monkeypatch.setenv(cells.FOLDERS, "")
    for name in ("dataset/citation/toy", "architecture/citation/wide", "scheme/mine", "tables/own_table"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text("{}")
    return tmp_path


def add(*folders: Path) -> int:
    return cells.add_config_dirs(argparse.Namespace(config_dir=[str(folder) for folder in folders]), [])


def test_configs_of_ones_own_stand_beside_ours(folder: Path) -> None:
    assert add(folder) == 0
    own, mixed = select("toy/wide/mine") + select("cora/wide/fp32")
    assert own.config_files[1:] == [
        folder / "dataset/citation/toy.yaml", folder / "architecture/citation/wide.yaml", folder / "scheme/mine.yaml",
    ]  # fmt: skip
    assert mixed.config_files[1] == cells.CONFIGS / "dataset/citation/cora.yaml"
    assert "own_table" in available("tables")


@pytest.mark.parametrize("name", ["dataset/social/cora", "architecture/citation/gat", "scheme/fp32", "tables/table2"])
def test_a_name_of_ours_is_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text("{}")
    with pytest.raises(UserError, match=rf"{name}.yaml: the name is that of .*{Path(name).name}.yaml; give it another"):
        add(folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("scheme/mine.yml", "would not be read; its place is scheme/NAME.yaml"),
        ("dataset/toy.yaml", "would not be read; its place is dataset/FAMILY/NAME.yaml"),
        ("architecture/citation/deep/wide.yaml", "would not be read; its place is architecture/FAMILY/NAME.yaml"),
        ("architecture/nothing/wide.yaml", "would not be read, as no dataset is of the family nothing"),
        ("schemes/mine.yaml", "would not be read; call it scheme"),
        ("scheme/q[1].yaml", r"a name has none of \+ \* \? \[ \]; give it another"),
        ("scheme/dq+big.yaml", "a name has none of"),
    ],
)
def test_a_file_that_would_not_be_read_is_refused(folder: Path, name: str, sentence: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text("{}")
    with pytest.raises(UserError, match=sentence):
        add(folder)


def test_a_folder_whose_name_cannot_be_passed_on_is_refused(folder: Path) -> None:
    odd = folder.rename(folder.parent / f"a{os.pathsep}b")
    with pytest.raises(UserError, match="give it a name without"):
        add(odd)


def test_pieces_of_tables_may_lie_anywhere_below_them(folder: Path) -> None:
    (folder / "tables" / "pieces").mkdir(parents=True)
    (folder / "tables" / "pieces" / "one.yaml").write_text("{}")
    add(folder)


def test_a_folder_without_configs_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--config-dir .*nowhere: no such folder, or none of dataset, architecture, "):
        add(folder / "nowhere")


def test_the_processes_of_a_command_know_the_folder(folder: Path) -> None:
    add(folder)
    code = "from app.config.cells import select; print(*select('toy/wide/mine'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "toy/wide/mine\n"
