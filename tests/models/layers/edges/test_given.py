"""What a network cannot be given is one sentence, before anything is computed with it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv, global_mean_pool

from models import prepare

X, EDGES, BATCH = torch.randn(20, 6), torch.randint(20, (2, 60)), torch.arange(20) // 5


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GCNConv(6, 3)

    def forward(self, x, edge_index, batch):
        return global_mean_pool(self.conv(x, edge_index), batch)


WRONG = [
    ((X[:, :3], EDGES, BATCH), r"x: expected shape \[N, 6\], got \[20, 3\]"),
    ((X[:, None], EDGES, BATCH), r"x: expected shape \[N, 6\], got \[20, 1, 6\]"),
    ((X.double(), EDGES, BATCH), "x: expected torch.float32, as the weights are, got torch.float64"),
    ((X.long(), EDGES, BATCH), "x: expected torch.float32, as the weights are, got torch.int64"),
    ((X, EDGES.float(), BATCH), "edge_index: expected whole numbers, got torch.float32"),
    ((X, torch.empty(2, 0), BATCH), "edge_index: expected whole numbers, got torch.float32"),
    ((X, EDGES > 3, BATCH), "edge_index: expected whole numbers, got torch.bool"),
    ((X, EDGES, BATCH.float()), "batch: expected whole numbers, got torch.float32"),
    ((X, EDGES, BATCH[:3]), r"batch: expected shape \[20\], one graph for each row of x, got \[3\]"),
    ((X, EDGES + 3, BATCH), r"edge_index: nodes must lie in 0\.\.19 for 20 rows of features"),
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("scheme", [None, "qat_int8", "dq_int8"])
@pytest.mark.parametrize(("given", "sentence"), WRONG, ids=range(len(WRONG)))
def test_it_is_refused_in_one_sentence(given, sentence, scheme, training):
    network = prepare(Net(), scheme)
    network(X, EDGES, BATCH)
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        network.train(training)(*given)


def test_a_graph_that_is_none_is_told():
    with pytest.raises(ValueError, match=r"^batch: graph -1 is none of the 3 graphs, which are numbered from 0$"):
        prepare(Net())(X, EDGES, BATCH - 1)
    with pytest.raises(ValueError, match=r"^batch: graph 3 is none of the 2 graphs, which are numbered from 0$"):
        prepare(Net())(X, EDGES, BATCH, num_graphs=2)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_whole_numbers_of_any_size_are_taken(dtype):
    network = prepare(Net())
    assert torch.equal(network(X, EDGES.to(dtype), BATCH.to(dtype)), network(X, EDGES, BATCH))


def test_an_autocast_takes_any_dtype():
    network = prepare(Net(), "dq_int8")
    with torch.autocast("cpu", torch.bfloat16):
        assert network(X.bfloat16(), EDGES, BATCH).isfinite().all()
