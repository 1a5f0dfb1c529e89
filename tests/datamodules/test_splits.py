from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import DataError
from datamodules.raw.split_files import read_split
from datamodules.splits import (
    Splitting,
    check_split,
    draw_folds,
    fold_of_run,
    read_folds,
    split_by_fold,
    split_by_size,
    tell_wrapped,
)

Y = torch.arange(100) % 4 // 2  # two classes, fifty-fifty


def write_folds(folder: Path, count: int = 50, **changes: str) -> Path:
    """Ten fold files over `count` graphs; `changes` replace the content of some, by number (`k3="..."`)."""
    for k in range(1, 11):
        content = "\n".join(map(str, range(k - 1, count, 10)))
        (folder / f"test_idx-{k}.txt").write_text(changes.get(f"k{k}", content + "\n"))
    return folder


def parts(split) -> list[list[int]]:
    return [numbers.tolist() for numbers in vars(split).values()]


@pytest.mark.parametrize("fold", [0, 1, 9])
def test_validation_is_the_fold_before_the_test_fold(fold):
    folds = [np.arange(10) * 10 + k for k in range(10)]
    train, val, test = parts(split_by_fold(folds, fold))
    assert test == folds[fold].tolist()
    assert val == folds[fold - 1].tolist()  # before the first comes the last
    assert sorted(train + val + test) == list(range(100))


def test_stratified_folds_have_the_classes_shares_and_are_always_the_same():
    folds = draw_folds("toy", Y)
    assert sorted(np.concatenate(folds)) == list(range(100))
    assert [Y[fold].bincount().tolist() for fold in folds] == [[5, 5]] * 10
    torch.manual_seed(7)
    np.random.seed(7)
    assert [fold.tolist() for fold in draw_folds("toy", Y)] == [fold.tolist() for fold in folds]
    assert folds[0].tolist() != list(range(10))


def test_folds_of_a_regression_need_no_classes():
    folds = draw_folds("toy", torch.rand(25), stratify=False)
    assert sorted(np.concatenate(folds)) == list(range(25))


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (torch.zeros(9, dtype=torch.int64), "toy: 10 folds need at least 10 graphs, there are 9"),
        (torch.arange(20) % 4, "toy: no class has 10 graphs"),
    ],
)
def test_too_few_graphs_for_folds_are_refused(y, sentence):
    with pytest.raises(DataError, match=sentence):
        draw_folds("toy", y)


def test_given_folds_are_those_of_the_files(tmp_path):
    folds = read_folds("toy", write_folds(tmp_path), 50)
    assert [fold.tolist() for fold in folds] == [list(range(k, 50, 10)) for k in range(10)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k3": "2\n12\n22\n"}, "graph 32 is in 0 of the folds"),
        ({"k3": "2\n12\n22\n32\n42\n7\n"}, "graph 7 is in 2 of the folds"),
        ({"k3": "2\n12\n50\n"}, r"test_idx-3\.txt line 3: expected 0 to 49, got '50'"),
        ({"k3": "2\n-1\n"}, r"test_idx-3\.txt line 2: expected 0 to 49, got '-1'"),
        ({"k3": ""}, "graph 2 is in 0 of the folds"),
    ],
)
def test_damaged_folds_are_named(tmp_path, changes, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        read_folds("toy", write_folds(tmp_path, **changes), 50)
    assert 'use folds="stratified"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folds_are_named(tmp_path):
    with pytest.raises(DataError, match=r"test_idx-1\.txt cannot be read"):
        read_folds("toy", tmp_path, 50)


@pytest.mark.parametrize(("fold", "seed", "expected"), [(3, "7", 3), (None, "0", 0), (None, "9", 9), (None, "12", 2)])
def test_the_fold_is_the_given_one_or_that_of_the_seed(monkeypatch, fold, seed, expected):
    monkeypatch.setenv("PL_GLOBAL_SEED", seed)
    assert fold_of_run(fold) == expected


@pytest.mark.parametrize("fold", [10, 11, -1])
def test_a_fold_that_is_none_is_refused(fold):
    with pytest.raises(ValueError, match=f"fold: expected 0 to 9, got {fold}"):
        fold_of_run(fold)


@pytest.mark.parametrize("stratify", [True, False])
def test_parts_have_the_shares_asked_for(stratify):
    split = split_by_size("toy", Y, val=0.1, test=0.2, stratify=stratify)
    assert [len(part) for part in parts(split)] == [70, 10, 20]
    assert sorted(chain(*parts(split))) == list(range(100))
    if stratify:
        assert [Y[part].bincount().tolist() for part in vars(split).values()] == [[35, 35], [5, 5], [10, 10]]


@pytest.mark.parametrize(("val", "test"), [(0, 0.2), (0.5, 0.5), (0.1, -0.1)])
def test_shares_that_leave_nothing_are_refused(val, test):
    with pytest.raises(ValueError, match="val_share, test_share"):
        split_by_size("toy", Y, val=val, test=test)


def test_too_few_graphs_for_shares_are_refused():
    with pytest.raises(DataError, match="toy: 4 graphs cannot be split so"):
        split_by_size("toy", torch.tensor([0, 0, 1, 1]), val=0.1, test=0.1)


@pytest.mark.parametrize(("classes", "label"), [((), "0"), (("ham", "spam"), "'ham'"), ((7, 9), "7")])
@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 0, *[1] * 9]])
def test_a_class_with_too_few_members_is_called_as_in_the_data(classes, label, labels):
    words = "val_size, test_size", "nodes"
    with pytest.raises(DataError, match=f"^toy: class {label} has too few nodes to be divided by {words[0]}: add some"):
        split_by_size("toy", torch.tensor(labels), val=0.2, test=0.3, words=words, classes=classes)


def test_a_pipe_in_the_place_of_a_fold_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "test_idx-1.txt")
    with pytest.raises(DataError, match=r"toy: .*test_idx-1\.txt cannot be read"):
        read_folds("toy", tmp_path, 10)


def test_folds_may_be_another_number():
    folds = draw_folds("toy", Y, num_folds=3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(Y)))
    assert len(folds) == 3
    assert fold_of_run(2, 3) == 2
    with pytest.raises(ValueError, match="fold: expected 0 to 2, got 3"):
        fold_of_run(3, 3)


def saved(folder, name="split.npz", **parts):
    path = folder / name
    np.savez(path, **parts) if path.suffix == ".npz" else torch.save(parts, path)
    return str(path)


FIVE = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("split.npz", {"train": [0, 3], "val": [2], "test": [4, 1]}),
        ("split.pt", {"train": torch.tensor([3, 0]), "val": torch.tensor([2]), "test": torch.tensor([1, 4])}),
        ("split.npz", {"train": [True, False, False, True, False], "val": [2], "test": ["e", "b"]}),
    ],
)
def test_a_split_is_read_from_numbers_masks_and_ids(tmp_path, name, parts):
    split, remark = read_split("toy", saved(tmp_path, name, **parts), 5, ids=FIVE)
    assert [part.tolist() for part in (split.train, split.val, split.test)] == [[0, 3], [2], [1, 4]]
    assert remark == ""


def test_rows_in_no_part_are_said(tmp_path):
    file = saved(tmp_path, train=[0], val=[2], test=[4])
    assert read_split("toy", file, 5, what="node")[1] == f"2 of 5 nodes are in no part of {file}"


GOOD = {"train": [0], "val": [2], "test": [4]}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"val": None}, r"split.npz has no `val`: expected train, val, test"),
        ({"val": [0]}, r"split.npz names graph 0 twice: leave it in one part"),
        ({"val": [5]}, r"split.npz: `val`: expected numbers from 0 to 4, got 5 to 5"),
        ({"val": [-1]}, r"split.npz: `val`: expected numbers from 0 to 4, got -1 to -1"),
        ({"val": [0.5]}, r"split.npz: `val`: expected a mask, or at least one whole number or id"),
        ({"val": [[1]]}, r"split.npz: `val`: expected a mask, or at least one whole number or id"),
        ({"val": [False] * 5}, r"split.npz: `val`: expected a mask, or at least one whole number or id"),
        ({"val": [True] * 4}, r"split.npz: `val`: a mask of shape \[4\], expected \[5\]"),
        ({"val": ["z"]}, r"split.npz: `val`: 'z' is no id of the data"),
    ],
)
def test_a_split_that_is_none_is_told(tmp_path, changed, told):
    parts = {part: value for part, value in (GOOD | changed).items() if value is not None}
    with pytest.raises(DataError, match=told):
        read_split("toy", saved(tmp_path, **parts), 5, ids=FIVE)


def test_a_file_of_another_kind_is_told(tmp_path):
    with pytest.raises(DataError, match=r"toy: split.json: expected a file .npz or .pt"):
        read_split("toy", "split.json", 5)
    with pytest.raises(DataError, match=r"toy: .*nothing.npz cannot be read \(No such file or directory\)"):
        read_split("toy", str(tmp_path / "nothing.npz"), 5)


def test_a_seed_that_takes_the_fold_of_a_smaller_one_is_told(monkeypatch):
    monkeypatch.setattr("datamodules.splits.run_seed", lambda: 7)
    assert tell_wrapped(None, 5) == "there are 5 folds: seed 7 takes fold 2, as seed 2 does"
    assert tell_wrapped(3, 5) == tell_wrapped(None, 10) == ""


@pytest.mark.parametrize("setting", ["val", "test", "num_folds"])
def test_settings_of_other_splits_are_refused_beside_a_file(setting):
    settings = {"val": 0.1, "test": 0.1, "num_folds": 10, setting: {"num_folds": 5}.get(setting, 0.2)}
    with pytest.raises(ValueError, match="has no effect beside split_file; leave it out"):
        check_split(task="graph_classification", fold=None, file="split.npz", **settings)


@pytest.mark.parametrize(
    ("by_shares", "settings", "sentence"),
    [
        (True, {"fold": 3}, "fold: has no effect on shares"),
        (True, {"num_folds": 5}, "num_folds: has no effect on shares"),
        (False, {"val": 0.3}, "val_share: has no effect on folds"),
        (False, {"test": 0.3}, "test_share: has no effect on folds"),
    ],
)
def test_settings_of_the_other_way_to_split_are_refused(by_shares, settings, sentence):
    given = {"task": "graph_classification", "fold": None, "num_folds": 10, "val": 0.1, "test": 0.1, "file": None}
    with pytest.raises(ValueError, match=sentence):
        Splitting(**given | settings).of("own", torch.arange(40) % 2, range(40), by_shares=by_shares)


def test_an_id_of_several_rows_is_refused(tmp_path):
    np.savez(tmp_path / "s.npz", train=np.array(["a"]), val=np.array(["b"]), test=np.array(["c"]))
    with pytest.raises(DataError, match="the data has the id 'a' more than once; name its rows by their numbers"):
        read_split("own", str(tmp_path / "s.npz"), 4, ids=["a", "b", "c", "a"])
