"""Kinds of labels and numbers that a graph of one's own may come with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datamodules.datasets.own_graph import OwnGraphDataModule
from datamodules.errors import DataError, DataWarning
from tests.datamodules.datasets.test_own_graph import NODES, graph, parts_of


def listed(*pattern: object) -> list[object]:
    """Labels of the 40 nodes as a list: the pattern, again and again."""
    return [pattern[node % len(pattern)] for node in range(40)]


@pytest.mark.parametrize(
    ("labels", "classes", "left"),
    [
        (listed(7, 2), (2, 7), 0),
        (listed(10, 9, None, 10, 9), (9, 10), 8),
        (listed(1.0, 3.0, torch.nan, 1.0, 3.0), (1, 3), 8),
        (listed("b", "a", None, "b", "a"), ("a", "b"), 8),
        (np.array(listed("b", "ä")).astype(object).tolist(), ("b", "ä"), 0),
        (np.char.encode(np.array(listed("b", "ä")), "utf-8"), ("b", "ä"), 0),
        (np.array(listed("b", "a", None, "b", "a"), object), ("a", "b"), 8),
    ],
)
def test_labels_in_a_list_are_what_they_are_in_a_tensor_and_none_is_no_label(labels, classes, left):
    own = OwnGraphDataModule("own", graph(y=labels))
    assert own.class_names == classes
    assert [remark for remark in own.remarks if "no target" in remark] == (
        [f"{left} of 40 nodes have no target and are in no part"] if left else []
    )


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (listed("a", 1), "node 1: `y` is 1: labels are words and numbers: choose one of them"),
        (listed([1], [1, 2]), r"node 0: `y` is \[1\]: expected a number or a word"),
        (np.array(listed(b"a", b"\xff")), "`y` holds bytes that are no text in UTF-8"),
        (np.array(listed("a", "b", torch.nan)), "node 2: `y` is the word 'nan': leave a missing label empty"),
    ],
)
def test_labels_in_a_list_that_are_none_are_refused(labels, problem):
    with pytest.raises(DataError, match=f"own: {problem}"):
        OwnGraphDataModule("own", graph(y=labels))


@pytest.mark.parametrize("ids", [NODES * 1.0, NODES > 50])
def test_ids_that_are_no_names_are_refused_even_if_the_first_is_zero(ids):
    with pytest.raises(DataError, match=r"own: `id`: (0\.0|False) is neither a whole number nor a word"):
        parts_of(OwnGraphDataModule("own", graph(id=ids)))


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
@pytest.mark.parametrize("x", [NODES[:, None] % 5, torch.stack([NODES, NODES % 3], dim=1)])
def test_unsigned_whole_numbers_are_read_as_signed_ones(x, dtype):
    plain, edges = OwnGraphDataModule("own", graph(x=x)), graph().edge_index
    own = OwnGraphDataModule("own", graph(x=x.to(dtype), edge_index=edges.to(dtype)))
    plain.setup()
    own.setup()
    assert own.graph_data.x.equal(plain.graph_data.x)
    assert own.graph_data.edge_index.equal(plain.graph_data.edge_index)


def test_a_column_of_yes_and_no_is_a_measurement():
    own = OwnGraphDataModule("own", graph(x=NODES[:, None] % 2 == 0))
    own.setup()
    assert own.graph_data.x.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"edge_index": torch.full((2, 1), 2**64 - 1, dtype=torch.uint64)},
            r"`edge_index` holds .* of 2\*\*63 or more",
        ),
        ({"num_nodes": 41}, "`num_nodes` is 41, but `x` has 40 rows"),
        ({"num_nodes": torch.tensor(41)}, "`num_nodes` is 41, but `x` has 40 rows"),
    ],
)
def test_what_does_not_fit_is_refused(changes, problem):
    with pytest.raises(DataError, match=f"own: the graph: {problem}"):
        OwnGraphDataModule("own", graph(**changes))


def test_categories_are_not_scaled_by_rows():
    own = OwnGraphDataModule("own", graph(x=NODES[:, None] % 5), features="row_normalized")
    with pytest.raises(DataError, match="own: each node has one category, which is not scaled"):
        own.setup()


def test_a_graph_without_edges_and_a_class_minus_one_are_said():
    own = OwnGraphDataModule("own", graph(y=NODES % 3 - 1, edge_index=torch.zeros(2, 0, dtype=torch.int64)))
    with pytest.warns(DataWarning, match="own: label -1 is a class as the others are"):
        own.setup()
    assert "the graph has no edges" in own.remarks
    alone = OwnGraphDataModule("own", graph(y=NODES % 2 * 2 - 1))
    alone.setup()
    assert not alone.remarks
