from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from datamodules import DataError
from datamodules.storage import GraphStore
from datamodules.transforms import attach_degree_cdf, sort_edges

PARTS = ("x", "edge_index", "edge_attr", "y", "degree_cdf", "batch", "ptr")


@pytest.fixture
def graphs(random_graphs) -> list[Data]:
    return random_graphs(20)


@pytest.mark.parametrize("numbers", [[0], [3, 1, 19, 7], list(range(20)), [5, 5]])
def test_a_batch_is_pygs_batch_of_sorted_graphs(graphs, numbers):
    ours = GraphStore.of("toy", graphs)[torch.tensor(numbers)]
    theirs = Batch.from_data_list([attach_degree_cdf(sort_edges(graphs[k])) for k in numbers])
    assert ours.num_graphs == theirs.num_graphs == len(numbers)
    assert ours.num_nodes == theirs.num_nodes
    for part in PARTS:
        assert ours[part].dtype == theirs[part].dtype, part
        if part != "edge_attr":
            assert torch.equal(ours[part], theirs[part]), part


def test_edge_attributes_stay_with_their_edges(graphs):
    for graph in graphs:
        graph.edge_attr = graph.edge_index.T.float() + graph.x.size(0) / 100
    batch = GraphStore.of("toy", graphs)[torch.arange(20)]
    inside = batch.edge_index - batch.ptr[batch.batch[batch.edge_index[0]]]
    sizes = batch.ptr.diff()[batch.batch[batch.edge_index[0]]]
    assert torch.equal(batch.edge_attr, inside.T.float() + sizes[:, None] / 100)


def test_without_attributes_in_all_graphs_there_are_none(graphs):
    graphs[3].edge_attr = None
    assert "edge_attr" not in GraphStore.of("toy", graphs)[torch.arange(4)]


def test_edges_of_a_batch_are_sorted_by_target_then_source(graphs):
    source, target = GraphStore.of("toy", graphs)[torch.tensor([9, 2, 14])].edge_index
    key = (target * 1000 + source).tolist()
    assert key == sorted(key)
    assert len(key) > 20


def test_a_batch_made_in_inference_mode_is_an_ordinary_one(graphs):
    store = GraphStore.of("toy", graphs)
    with torch.inference_mode():
        batch = store[torch.arange(3)]
    assert not any(batch[part].is_inference() for part in PARTS)


def test_joined_stores_hold_the_graphs_of_all(graphs):
    joined = GraphStore.joined([GraphStore.of("toy", graphs[:7]), GraphStore.of("toy", graphs[7:])])
    whole = GraphStore.of("toy", graphs)
    assert joined.tensors().keys() == whole.tensors().keys()
    for part, tensor in whole.tensors().items():
        assert torch.equal(joined.tensors()[part], tensor), part
    assert torch.equal(joined[torch.tensor([8, 3])].edge_index, whole[torch.tensor([8, 3])].edge_index)


@pytest.mark.parametrize(("nodes", "kind"), [(32767, torch.int16), (40000, torch.int32)])
def test_large_graphs_keep_their_node_numbers(nodes, kind):
    edges = torch.tensor([[nodes - 1, 0], [0, nodes - 1]])
    store = GraphStore.of("toy", [Data(x=torch.zeros(nodes, 1), edge_index=edges, y=torch.tensor([0]))])
    assert store.edge_index.dtype == kind
    assert store[torch.tensor([0])].edge_index.tolist() == [[nodes - 1, 0], [0, nodes - 1]]


def change(part: str, value: object):
    def apply(graphs: list[Data]) -> None:
        graphs[4][part] = value

    return apply


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (change("x", torch.zeros(0, 3)), "toy: graph 4 has no nodes"),
        (change("edge_index", torch.tensor([[1], [5]])),
         r"toy: graph 4 has an edge from node 1 to 5, but its nodes are 0\.\.4"),
        (change("edge_index", torch.tensor([[-1], [0]])), "toy: graph 4 has an edge from node -1 to 0"),
        (change("x", None), "toy: graph 4 has no `x`"),
        (change("y", None), "toy: graph 4 has no `y`"),
        (change("y", torch.zeros(3)), "toy: graph 4 has 3 targets"),
        (change("y", "red"), "toy: graph 4: `y` is a str, expected a tensor"),
        (change("y", torch.tensor([float("nan")])), "toy: graph 4: `y` is nan in float32: correct it"),
        (change("x", torch.tensor([[0.0] * 3] * 2 + [[0.0, -torch.inf, 0.0]] + [[0.0] * 3] * 2)),
         "toy: graph 4 node 2: `x` is -inf in float32: correct it"),
        (change("x", torch.zeros(5, 2)),
         r"toy: graph 4: `x` is float32 of shape \[5, 2\], that of graph 0 float32 of shape \[1, 3\]"),
        (change("x", torch.zeros(5, 0)), "toy: graph 4: `x` has no columns"),
        (change("x", torch.zeros(5, 3).to_sparse_csr()), "toy: graph 4: `x` is sparse float32"),
        (change("x", torch.zeros(5)), r"toy: graph 4: `x` is float32 of shape \[5\], expected shape \[N, F\]"),
        (change("x", torch.full((5, 3), 1e300, dtype=torch.float64)), "toy: graph 4 node 0: `x` is inf in float32"),
        (change("x", [1, 2]), "toy: graph 4: `x` is a list"),
        (change("edge_index", torch.zeros(2, 0)), r"toy: graph 4: `edge_index` is float32 of shape \[2, 0\]"),
        (change("edge_index", torch.zeros(3, 2, dtype=torch.long)), "toy: graph 4: `edge_index` is int64 of shape"),
        (change("edge_attr", torch.tensor([torch.nan])), "toy: graph 4 edge 0: `edge_attr` is nan"),
        (change("edge_attr", torch.zeros(1, 2)), "toy: graph 4: `edge_attr` is float32 of shape"),
        (change("edge_attr", torch.zeros(2)), "toy: graph 4: `edge_attr` is float32 of shape .*expected 1 rows"),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_be_used_is_named(graphs, damage, sentence):
    graphs[4] = Data(
        x=torch.zeros(5, 3), edge_index=torch.tensor([[0], [1]]), edge_attr=torch.zeros(1), y=torch.tensor([1])
    )
    damage(graphs)
    with pytest.raises(DataError, match=sentence) as caught:
        GraphStore.of("toy", graphs)
    assert "\n" not in str(caught.value)


def test_an_adjacency_instead_of_edges_is_named(graphs):
    graphs[2] = Data(x=torch.zeros(2, 3), adj_t=torch.eye(2).to_sparse_csr(), y=torch.tensor([0]))
    with pytest.raises(DataError, match="toy: graph 2 has `adj_t` instead of `edge_index`: leave out"):
        GraphStore.of("toy", graphs)


@pytest.mark.parametrize(("graphs", "sentence"), [([], "toy: there are no graphs"),
                                                  ([{"x": 1}], "toy: graph 0 is a dict, expected a")])  # fmt: skip
def test_what_is_no_list_of_graphs_is_named(graphs, sentence):
    with pytest.raises(DataError, match=sentence):
        GraphStore.of("toy", graphs)


def test_edges_of_any_integer_type_are_read(graphs):
    expected = GraphStore.of("toy", graphs).edge_index
    graphs[5].edge_index = graphs[5].edge_index.to(torch.int16)
    assert torch.equal(GraphStore.of("toy", graphs).edge_index, expected)


def test_loops_and_repeats_are_counted_graph_by_graph():
    def graph(*edges: tuple[int, int]) -> Data:
        return Data(x=torch.zeros(3, 1), edge_index=torch.tensor(edges).T, y=torch.tensor([0]))

    store = GraphStore.of("toy", [graph((0, 1), (2, 2), (0, 1), (2, 2), (0, 1)), graph((0, 1))])
    assert store.loops_and_repeats().startswith("2 self-loops and 3 repeated edges are kept")
    assert GraphStore.of("toy", [graph((0, 1)), graph((0, 1))]).loops_and_repeats() == ""


@pytest.mark.parametrize(
    ("part", "given", "kept"),
    [
        ("x", torch.zeros(2, 3, dtype=torch.float64), torch.float32),
        ("x", torch.zeros(2, 3, dtype=torch.int64), torch.float32),
        ("x", torch.zeros(2, 1, dtype=torch.uint8), torch.int64),
        ("y", torch.zeros(1, dtype=torch.float64), torch.float32),
        ("y", torch.zeros(1, dtype=torch.bool), torch.int64),
        ("y", torch.zeros(1, dtype=torch.int32), torch.int64),
    ],
)
def test_numbers_are_kept_in_the_types_that_networks_read(part, given, kept):
    graph = Data(x=torch.zeros(2, 3), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0]))
    graph[part] = given
    assert getattr(GraphStore.of("toy", [graph, graph]), part).dtype == kept
