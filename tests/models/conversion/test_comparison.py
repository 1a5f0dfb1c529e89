"""A converted network is compared with its original, which a trace may have misread."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, global_mean_pool

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
