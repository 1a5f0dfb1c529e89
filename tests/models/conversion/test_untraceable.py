"""What needs data, is no plain network, or has columns repeated is one sentence: where it is, and what to do."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as gnn
from torch import nn
from torch_geometric.nn import GCNConv

from models import UnsupportedModel, prepare
from tests.models.conversion.test_unsupported import Net


class Listed(Net):
    def __init__(self):
        super().__init__()
        self.layers = [GCNConv(8, 8)]

    def forward(self, x, edge_index):
        return self.other(self.layers[0](self.conv(x, edge_index), edge_index), edge_index)


def made_by_size(self, x, edge_index):
    return self.other(self.conv(x, edge_index) * torch.rand(x.size(0), 1), edge_index)


def changed_entries(self, x, edge_index):
    h = self.conv(x, edge_index)
    h[:, 0] = 0
    return self.other(h, edge_index)


def counted(self, x, edge_index):
    return self.other(self.conv(x, edge_index) / len(x), edge_index)


def looked_into(self, x, edge_index):
    return self.other(self.conv(x, edge_index) if 3 in edge_index else x, edge_index)


def as_number(self, x, edge_index):
    return self.other(self.conv(x, edge_index) * int(edge_index[0, 0]), edge_index)


class OneColumn(Net):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(5, 1)

    def forward(self, x, edge_index):
        return self.other(self.conv(x, edge_index), edge_index) + self.one(x)


class LargestOfOneColumn(OneColumn):
    def forward(self, x, edge_index):
        return torch.maximum(self.one(x), self.other(self.conv(x, edge_index), edge_index))


def calling(forward):
    """A network with this forward."""
    return type("Calling", (Net,), {"forward": forward})()


OUTSIDE = "computes with entries or the size of a tensor outside of layers; do it in the data, or leave it out"

SENTENCES = [
    (
        Listed(),
        r"test_untraceable.py:\d+ .*: calls a layer that no module holds; put layers into a torch.nn.ModuleList",
    ),
    *(
        (calling(forward), rf"test_untraceable.py:\d+ .*: {OUTSIDE}")
        for forward in (made_by_size, changed_entries, counted, looked_into, as_number)
    ),
    *(
        (
            network,
            r"test_untraceable.py:\d+ .*: combines rows of 1 and 3 columns; make them equally wide",
        )
        for network in (OneColumn(), LargestOfOneColumn())
    ),
    (gnn.GraphUNet(5, 8, 3, 2), r"^GraphUNet: (decides by the values or the shape of a tensor|computes with entries)"),
    (
        Net().half(),
        r"^conv.bias: is torch.float16; make the network float32 by .float\(\), and train in mixed precision",
    ),
    (torch.compile(Net()), r"^OptimizedModule: wraps a network; give the one inside, its _orig_mod"),
    (nn.DataParallel(Net()), r"^DataParallel: wraps a network; give the one inside, its module"),
]


@pytest.mark.parametrize(("network", "sentence"), SENTENCES, ids=range(len(SENTENCES)))
def test_it_is_one_sentence(network, sentence):
    with pytest.raises(UnsupportedModel, match=sentence) as caught:
        prepare(network, "qat_int8")
    assert "\n" not in str(caught.value)
    assert "Proxy" not in str(caught.value)


@pytest.mark.parametrize("layer", [GCNConv(8, 2), gnn.GraphNorm(8)])
def test_a_layer_alone_is_no_network(layer):
    with pytest.raises(UnsupportedModel, match=f"^{type(layer).__name__}: a layer alone is no network; call it in"):
        prepare(layer, "dq_int8")
