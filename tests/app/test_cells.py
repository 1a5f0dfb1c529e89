from __future__ import annotations

import pytest

from app.cells import KINDS, Cell, all_cells, available, seeds, select
from app.cli import UserError


def test_every_combination_is_a_cell_of_existing_files() -> None:
    cells = all_cells()
    assert (
        len(cells)
        == len(set(cells))
        == len(available("dataset")) * len(available("architecture")) * len(available("scheme"))
    )
    for cell in cells:
        assert all(path.is_file() for path in cell.config_files)
        assert select(str(cell)) == [cell]


def test_configs_go_from_general_to_particular() -> None:
    names = [path.stem for path in Cell("cora", "gat", "dq_int4").config_files]
    assert names == ["base", "cora", "gat", "dq_int4"]


def test_globs_name_every_match_once() -> None:
    chosen = select("cora/*/dq_*")
    assert len(chosen) == len(set(chosen))
    assert {c.architecture for c in chosen} == set(available("architecture"))
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
        ("cora/gcn/zzz", "no scheme 'zzz'; there are dq_int4"),
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
    assert seeds(text) == numbers


@pytest.mark.parametrize("text", ["x", "", "-1", "1-", "-", "3,", "1.5", "5-2", "1-2-3", "²", str(2**32)])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--seed"):
        seeds(text)


def test_kinds_are_the_folders_of_configs() -> None:
    assert all(available(kind) for kind in KINDS)
