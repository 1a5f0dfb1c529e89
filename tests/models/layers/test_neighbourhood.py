"""The neighbourhood of sparse rows, made in blocks, has the integers of one that is made at once."""

from __future__ import annotations

import pytest
import torch

from models.layers import neighbourhood
from models.layers.evaluation.graph_block import GraphBlock
from models.layers.graph import Graph
from models.layers.neighbourhood import Neighbourhood, blocks_of_rows
from models.quantization.sparse import SparseRows

NODES = 40
BLOCKS = [1, 7, 64, 10**6]
"""Entries at once: a block for every row, for a few, for many, for all."""


def at_once(edge_index, x):
    """positions, and (row, column) of all entries of pattern and contributions, from every cell listed edge by edge."""
    source, target = edge_index[:, edge_index[1].argsort(stable=True)]
    own, width = x.nonzero(), x.shape[1]
    number = torch.full(x.shape, -1).index_put(tuple(own.T), torch.arange(len(own)))
    sent = [(int(t) * width + col, int(number[s, col])) for s, t in zip(source, target, strict=True)
            for col in x[s].nonzero()[:, 0].tolist()]  # fmt: skip
    cell, entry = torch.tensor(sent, dtype=torch.int64).view(-1, 2).T
    cells, position = torch.cat([own[:, 0] * width + own[:, 1], cell]).unique(return_inverse=True)
    at, order = position[len(own) :].sort(stable=True)
    return position[: len(own)], (cells // width, cells % width), (at, entry[order])


@pytest.mark.parametrize("entries", [*BLOCKS, "kernels"])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_blocks_and_kernels_have_the_integers_of_the_whole(entries, density, edges, bag_of_words, monkeypatch):
    if entries != "kernels":
        monkeypatch.setattr(neighbourhood, "ENTRIES_AT_ONCE", entries)
        monkeypatch.setattr(neighbourhood, "_by_kernels", neighbourhood._in_blocks)
    x = bag_of_words(NODES, 30, density)
    features = SparseRows.from_tensor(x.to_sparse_csr()).pattern
    graph = Graph.of(edges, NODES)
    made = Neighbourhood(graph, features)
    positions, *matrices = at_once(edges, x)
    assert torch.equal(made.positions, positions)
    for pattern, (rows, cols) in zip((made.pattern, made.contributions), matrices, strict=True):
        assert torch.equal(pattern.rows, rows)
        assert torch.equal(pattern.cols, cols.int())
        assert pattern.rowptr.dtype == torch.int32
    assert made.pattern.shape == x.shape
    assert made.contributions.shape == (made.pattern.cols.numel(), features.cols.numel())


def test_rows_of_a_block_are_those_of_the_whole(edges, bag_of_words):
    """Of its nodes, in the same order, though its sources are nodes of the whole graph."""
    features = SparseRows.from_tensor(bag_of_words(NODES, 30, 0.2).to_sparse_csr())
    graph, nodes = Graph.of(edges, NODES), slice(7, 23)
    whole, block = (Neighbourhood(g, features.pattern) for g in (graph, GraphBlock(graph, nodes)))
    cells = slice(*whole.pattern.rowptr[[nodes.start, nodes.stop]].tolist())
    assert torch.equal(block.pattern.cols, whole.pattern.cols[cells])
    assert torch.equal(block.pattern.rowptr, whole.pattern.rowptr[nodes.start : nodes.stop + 1] - cells.start)
    own = slice(*features.pattern.rowptr[[nodes.start, nodes.stop]].tolist())
    assert torch.equal(block.positions, whole.positions[own] - cells.start)
    entries = slice(*whole.contributions.rowptr[[cells.start, cells.stop]].tolist())
    assert torch.equal(block.contributions.cols, whole.contributions.cols[entries])


@pytest.mark.parametrize("entries", BLOCKS)
def test_blocks_are_all_rows_in_turn_and_bounded(entries, edges, bag_of_words, monkeypatch):
    monkeypatch.setattr(neighbourhood, "ENTRIES_AT_ONCE", entries)
    x = bag_of_words(NODES, 30, 0.1)
    blocks = blocks_of_rows(Graph.of(edges, NODES), SparseRows.from_tensor(x.to_sparse_csr()).pattern)
    assert [row for first, last in blocks for row in range(first, last)] == list(range(NODES))
    stored = (x != 0).sum(1)
    load = stored.index_add(0, edges[1], stored[edges[0]])
    for first, last in blocks:
        assert load[first:last].sum() - load[first:last].max() < entries
    assert len(blocks) > 1 or load.sum() <= entries


def test_a_graph_without_nodes_has_an_empty_neighbourhood():
    nothing = Graph.of(torch.empty(2, 0, dtype=torch.int64), 0)
    made = Neighbourhood(nothing, SparseRows.from_tensor(torch.empty(0, 30).to_sparse_csr()).pattern)
    assert made.pattern.shape == (0, 30)
    assert made.contributions.shape == (0, 0)
