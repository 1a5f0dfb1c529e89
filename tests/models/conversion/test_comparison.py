"""A converted network is compared with its original, which a trace may have misread."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import APPNP, GCN2Conv, GCNConv, SGConv, global_mean_pool

from models import prepare
from models.conversion import UnsupportedModel

WRONG = "computes something else on a graph"


class Net(nn.Module):
    """What its kinds share: two ways from x to the second convolution."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.last = GCNConv(4, 8), nn.Linear(4, 8), GCNConv(8, 3)

    def forward(self, x, edge_index):
        return self.last(self.one(x, edge_index).relu(), edge_index)


class AsksForAType(Net):
    def forward(self, x, edge_index):
        h = self.one(x, edge_index) if isinstance(x, Tensor) else self.other(x)
        return self.last(h.relu(), edge_index)


class Catches(Net):
    def forward(self, x, edge_index):
        try:
            h = self.one(x, edge_index)[: len(x)]
        except Exception:
            h = self.other(x)
        return self.last(h.relu(), edge_index)


class AsksForATypeOfCategories(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.last, self.other = nn.Embedding(4, 8), GCNConv(8, 3), nn.Linear(8, 3)

    def forward(self, x, edge_index, batch):
        h = self.embedding(x.squeeze(-1))
        h = self.last(h, edge_index) if isinstance(x, Tensor) else self.other(h)
        return global_mean_pool(h, batch)


class AsksForATypeOfData(Net):
    def forward(self, data):
        h = self.one(data.x, data.edge_index) if isinstance(data.x, Tensor) else self.other(data.x)
        return self.last(h.relu(), data.edge_index)


@pytest.mark.parametrize("kind", [AsksForAType, Catches, AsksForATypeOfCategories, AsksForATypeOfData])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_branch_that_the_trace_took_by_mistake_is_refused(kind, dtype):
    with pytest.raises(UnsupportedModel, match=f"^{kind.__name__}: {WRONG}"):
        prepare(kind().to(dtype), "dq_int8")


def test_the_networks_stay_as_they_are():
    network = Net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prepared = prepare(network, "dq_int8")
    assert prepared.training
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {site.bits for site in prepared.modules() if hasattr(site, "bits")} == {8}


class Around(nn.Module):
    """One layer that may remember its graph."""

    def __init__(self, layer, *, twice=False):
        super().__init__()
        self.first, self.layer, self.last, self.twice = nn.Linear(4, 8), layer, nn.Linear(8, 3), twice

    def forward(self, x, edge_index):
        h = self.first(x).relu()
        h = self.layer(h, h, edge_index) if self.twice else self.layer(h, edge_index)
        return self.last(h)


CACHED = [
    Around(APPNP(5, 0.1, cached=True)),
    Around(GCN2Conv(8, 0.1, cached=True), twice=True),
    Around(SGConv(8, 8, K=2, cached=True)),
    Around(GCNConv(8, 8, cached=True)),
]


@pytest.mark.filterwarnings("ignore:left in FP32")
@pytest.mark.parametrize("nodes", [10, 40])
@pytest.mark.parametrize("network", CACHED, ids=lambda network: type(network.layer).__name__)
def test_what_a_layer_remembers_is_neither_taken_over_nor_left(network, nodes):
    """Neither the graph on which the original ran, nor those on which both are compared."""
    network.eval()
    with torch.no_grad():
        network(torch.randn(nodes, 4), torch.randint(nodes, (2, 30)))
    prepared, fresh = prepare(network, strict=False), deepcopy(network)
    fresh.layer.reset_parameters()
    fresh.load_state_dict(network.state_dict())
    x, edges = torch.randn(20, 4), torch.randint(20, (2, 60))
    torch.testing.assert_close(prepared(x, edges), fresh(x, edges))
