from __future__ import annotations

import numpy as np
import pytest

from datamodules import DataError
from datamodules.raw.tu_files import TextFiles
from datamodules.raw.tu_graphs import read_graphs, read_nodes, read_topology


def test_graphs_come_in_order_with_edges_that_count_from_their_first_node(write_tu):
    files = TextFiles("TOY", write_tu(A="4, 5\n1, 2\n5, 4\n2, 2\n", graph_indicator="1\n1\n2\n3\n3\n"))
    num_nodes, num_edges, edge_index = read_topology(files)
    assert num_nodes.tolist() == [2, 1, 2]
    assert num_edges.tolist() == [2, 0, 2]
    assert edge_index.T.tolist() == [[0, 1], [1, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("A", lambda text: text + "1, 1000\n", "TOY_A.txt line 151: edge (1, 1000), but the nodes are 1 to 120"),
        ("A", lambda text: "0, 1\n" + text, "TOY_A.txt line 1: edge (0, 1)"),
        ("A", lambda text: text + "1, 3\n", "TOY_A.txt line 151: edge (1, 3) joins two different graphs"),
        ("graph_indicator", lambda text: text.replace("4\n", "", 5).replace("14\n", ""), "has no nodes"),
        ("graph_indicator", lambda text: text.replace("2\n", "3\n", 1),
         "TOY_graph_indicator.txt line 4: graph 2, expected them in order"),
        ("graph_indicator", lambda text: text.replace("1\n", "", 2),
         "TOY_graph_indicator.txt line 1: graph 2, expected them in order from 1"),
    ],
)  # fmt: skip
def test_the_first_wrong_line_is_named(write_tu, tu_files, part, change, words):
    files = TextFiles("TOY", write_tu("A", "graph_indicator", **{part: change(tu_files[part])}))
    with pytest.raises(DataError) as caught:
        read_topology(files)
    assert str(caught.value).startswith("TOY: ")
    assert words in str(caught.value)
    assert "correct it" in str(caught.value)


def test_a_graph_number_beyond_all_memory_is_named(write_tu):
    files = TextFiles("TOY", write_tu("A", graph_indicator=f"1\n1\n{10**15}\n"))
    with pytest.raises(DataError, match=rf"TOY_graph_indicator\.txt line 3: graph {10**15}, but graph 2 has no nodes"):
        read_topology(files)


def test_graphs_may_have_no_edges_at_all(write_tu):
    num_nodes, num_edges, edge_index = read_topology(TextFiles("TOY", write_tu(A="", graph_indicator="1\n1\n2\n")))
    assert (num_nodes.tolist(), num_edges.tolist(), edge_index.shape) == ([2, 1], [0, 0], (2, 0))


@pytest.mark.parametrize("lines", [2, 4])
def test_a_file_needs_a_line_per_node(write_tu, lines):
    files = TextFiles("TOY", write_tu("A", node_labels="1\n" * lines))
    with pytest.raises(
        DataError, match=rf"TOY_node_labels\.txt has {lines} lines for 3 nodes: .*get it again .*TOY\.zip"
    ):
        read_nodes(files, "node_labels", 3)


def test_lines_of_nodes_are_read_where_there_are_some(write_tu):
    files = TextFiles("TOY", write_tu("A", node_attributes="1.5\n2\n"))
    assert read_nodes(files, "node_attributes", 2, kind=np.float32).tolist() == [[1.5], [2.0]]
    assert read_nodes(files, "node_labels", 2) is None


@pytest.mark.parametrize("lines", [2, 4])
def test_a_file_needs_a_line_per_graph(write_tu, lines):
    files = TextFiles("TOY", write_tu("A", graph_labels="1\n" * lines))
    with pytest.raises(DataError, match=rf"TOY_graph_labels\.txt has {lines} lines for 3 graphs"):
        read_graphs(files, 3)


def test_a_missing_file_of_graphs_is_named(write_tu):
    with pytest.raises(DataError, match=r"TOY: TOY_graph_labels\.txt is missing: add it"):
        read_graphs(TextFiles("TOY", write_tu("A")), 3)
