"""A forward that makes floats of its features takes them of any dtype, before as after."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from models import prepare
from tests.models.conversion.networks import CLASSES, FEATURES
from tests.models.conversion.test_prepare import train


class Casts(nn.Module):
    """Makes floats of its features, in one of several ways."""

    def __init__(self, cast):
        super().__init__()
        self.conv, self.last, self.cast = GCNConv(FEATURES, 8), nn.Linear(8, CLASSES), cast

    def forward(self, x, edge_index):
        return self.last(self.conv(self.cast(x), edge_index).relu())


CASTS = [
    lambda x: x.float(),
    lambda x: x.to(torch.float32),
    lambda x: x.to(dtype=torch.float),
    lambda x: x.type(torch.float32),
]


@pytest.mark.parametrize("scheme", ["fp32", "dq_int8", "lsq_int8"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float64, torch.float32])
@pytest.mark.parametrize("cast", CASTS, ids=range(len(CASTS)))
def test_features_of_any_dtype_are_taken_where_the_forward_makes_them_floats(nodes, cast, dtype, scheme):
    network, x = Casts(cast).eval(), (nodes.x * 2).to(dtype)
    torch.testing.assert_close(prepare(network)(x, nodes.edge_index), network(x, nodes.edge_index))
    quantized = train(prepare(network, scheme), (x, nodes.edge_index)).eval()
    got = quantized(x, nodes.edge_index)
    assert torch.equal(got, quantized(x.float(), nodes.edge_index))


@pytest.mark.filterwarnings("ignore:left in FP32")
def test_a_cast_of_what_is_left_is_left_too(nodes):
    network, x = Casts(lambda x: (x % 3).float()).eval(), (10 * nodes.x).long()
    network(x, nodes.edge_index)
    torch.testing.assert_close(prepare(network, strict=False)(x, nodes.edge_index), network(x, nodes.edge_index))
