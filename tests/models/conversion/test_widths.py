"""How many features a network reads, where no layer of ours reads them as they are given."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as gnn
from torch import nn
from torch_geometric.nn import EdgeConv, GCNConv, global_add_pool

from models import UnsupportedModel, prepare

X, EDGES, BATCH = torch.randn(20, 6), torch.randint(20, (2, 60)), torch.arange(20) // 5


class Net(nn.Module):
    """One layer behind a function of x."""

    def __init__(self, width, function):
        super().__init__()
        self.layer, self.function = GCNConv(width, 3), function
        self.register_buffer("mean", torch.rand(6))

    def forward(self, x, edge_index):
        return self.layer(self.function(self, x), edge_index)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x, edge_index, batch):
        return self.layer(global_add_pool(x, batch))


class OfEdges(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.last = EdgeConv(nn.Linear(12, 8)), nn.Linear(8, 3)

    def forward(self, x, edge_index):
        return self.last(self.layer(x, edge_index).relu())


@pytest.mark.parametrize(
    "network",
    [
        Net(6, lambda s, x: x + x.abs()),
        Net(12, lambda s, x: torch.cat([x, x.square()], -1)),
        Net(6, lambda s, x: torch.maximum(x, x.square())),
        Net(6, lambda s, x: x - s.mean),
        Net(6, lambda s, x: torch.maximum(x, s.mean)),
        Net(6, lambda s, x: torch.maximum(s.mean, x)),
        Pooled(),
        OfEdges(),
        gnn.EdgeCNN(6, 8, 2, 3),
    ],
    ids=range(9),
)
@pytest.mark.filterwarnings("ignore:left in FP32")
def test_it_is_the_width_that_the_original_takes(network):
    prepared = prepare(network.eval(), strict=False)
    inputs = (X, EDGES, BATCH) if isinstance(network, Pooled) else (X, EDGES)
    assert prepared.in_features == 6
    torch.testing.assert_close(prepared(*inputs), network(*inputs))


@pytest.mark.filterwarnings("ignore:left in FP32")
@pytest.mark.parametrize("function", [lambda s, x: x[:, :6], lambda s, x: x.sum(-1, keepdim=True) + s.mean])
def test_a_network_that_takes_several_is_refused(function):
    with pytest.raises(UnsupportedModel, match=r"^Net: no layer that reads x says how wide it is; let one"):
        prepare(Net(6, function), strict=False)


class OfAnyWidth(nn.Module):
    """Has no layer, or one that takes rows of any width."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, edge_index):
        return x if self.layer is None else self.layer(x)


@pytest.mark.parametrize("layer", [None, nn.ReLU(), nn.PReLU()])
def test_a_network_that_takes_any_is_refused(layer):
    with pytest.raises(UnsupportedModel, match=r"^OfAnyWidth: no layer that reads x says how wide it is; let one"):
        prepare(OfAnyWidth(layer), "dq_int8")


class BesideOneColumn(nn.Module):
    """Combines its input, one column, with the four columns of a layer."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last, self.function = GCNConv(1, 4), GCNConv(4, 3), function

    def forward(self, x, edge_index):
        return self.last(self.function(x, self.first(x, edge_index)), edge_index)


@pytest.mark.parametrize("function", [torch.add, torch.sub, torch.maximum, lambda x, h: h + x.relu()], ids=range(4))
def test_rows_of_one_column_beside_others_are_refused_or_left(function):
    """torch repeats the column, and no program does."""
    network, x = BesideOneColumn(function).eval(), X[:, :1]
    with pytest.raises(UnsupportedModel, match="combines rows of 1 and 4 columns; make them equally wide"):
        prepare(network, "qat_int8")
    with pytest.warns(UserWarning, match="combines rows of 1 and 4 columns"):
        prepared = prepare(network, strict=False)
    torch.testing.assert_close(prepared(x, EDGES), network(x, EDGES))
