"""What cannot be converted is one sentence: where it is, why, and what to do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as gnn
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, GINEConv, SAGEConv, TransformerConv
from torch_geometric.utils import dropout_edge

from models import UnsupportedModel, prepare


class Net(nn.Module):
    """A network of one or two convolutions; subclasses say how they are called."""

    def __init__(self, conv=None, other=None):
        super().__init__()
        self.conv = conv or GCNConv(5, 8)
        self.other = other or GCNConv(8, 3)

    def forward(self, x, edge_index):
        return self.other(self.conv(x, edge_index).relu(), edge_index)


class ByShape(Net):
    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        if x.size(1) == h.size(1):
            h = h + x
        return self.other(h, edge_index)


class ByTraining(Net):
    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        if self.training:
            h = h.relu()
        return self.other(h, edge_index)


class ByTrainingNumber(Net):
    def forward(self, x, edge_index):
        return self.other(self.conv(x, edge_index) * (2 if self.training else 1), edge_index)


class DroppedOrScaled(Net):
    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        h = F.dropout(h) if self.training else h * 2
        return self.other(h, edge_index)


class Manhattan(Net):
    def forward(self, x, edge_index):
        return self.other(F.normalize(self.conv(x, edge_index), p=1), edge_index)


class NegativeRows(Net):
    def forward(self, x, edge_index):
        return self.other(torch.cat([self.conv(x, edge_index)] * 2, dim=-2), edge_index)


class AlwaysDropped(Net):
    def forward(self, x, edge_index):
        return self.other(F.dropout(self.conv(x, edge_index), 0.5), edge_index)


class Shared(Net):
    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        return self.other(h, edge_index) + self.other(h.relu(), edge_index)


class Gated(Net):
    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        return self.other(h * h.sigmoid(), edge_index)


class DroppedEdges(Net):
    def forward(self, x, edge_index):
        edge_index, _ = dropout_edge(edge_index, p=0.2, training=self.training)
        return self.other(self.conv(x, edge_index), edge_index)


class EdgeFeatures(Net):
    def forward(self, x, edge_index, edge_attr):
        return self.conv(x, edge_index, edge_attr)


class Foreign(Net):
    def forward(self, x, edge_index, positions):
        return self.conv(x + positions, edge_index)


class TwoResults(Net):
    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        return h, self.other(h, edge_index)


class Rows(Net):
    def forward(self, x, edge_index):
        return self.other(torch.cat([self.conv(x, edge_index)] * 2, dim=0), edge_index)


class OfNothing(Net):
    def forward(self, x, edge_index):
        return x.relu()


class Scaled(Net):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x, edge_index):
        return self.other(self.conv(x, edge_index) * self.scale, edge_index)


GINE = GINEConv(nn.Linear(5, 8), edge_dim=2)

SENTENCES = [
    (ByShape(), r"test_unsupported.py:\d+ \(if x.size\(1\) == h.size\(1\):\): decides by the values or the shape"),
    (
        ByTraining(),
        r"test_unsupported.py:\d+ \(h = h.relu\(\)\): what is called here or next differs between training",
    ),
    (ByTrainingNumber(), r"test_unsupported.py:\d+ .*: what is called here or next differs between training and eval"),
    (DroppedOrScaled(), r"other: what is called here or next differs between training and evaluation"),
    (Manhattan(), r"test_unsupported.py:\d+ .*: normalises otherwise than rows to Euclidean length one"),
    (NegativeRows(), r"test_unsupported.py:\d+ .*: concatenates along dimension -2; only columns"),
    (AlwaysDropped(), r"test_unsupported.py:\d+ .*: drops in evaluation too; pass training=self.training"),
    (Shared(), r"other: is called twice; give each call a layer of its own"),
    (Gated(), r"test_unsupported.py:\d+ .*: multiplies rows with rows"),
    (DroppedEdges(), r"computes with entries|what is called here or next differs between training and evaluation"),
    (EdgeFeatures(GINE), r"conv: GINEConv is unknown; it reads features of edges, which no program does; use GINConv"),
    (Foreign(), r"Foreign.forward: its argument positions is unknown; it may take x, edge_index"),
    (TwoResults(), r"TwoResults: returns something else than one tensor; return its rows alone"),
    (Rows(), r"test_unsupported.py:\d+ .*: concatenates along dimension 0; only columns"),
    (
        OfNothing(),
        r"OfNothing: no layer that reads x says how wide it is; let one with weights, such as nn.Linear, read",
    ),
    (Scaled(), r"scale: is a tensor of the model that its forward reads; put it into a layer"),
    (Net(TransformerConv(5, 8)), r"conv: TransformerConv is unknown; of convolutions there are GATConv, GATv2Conv"),
    (Net(GATConv(5, 8, edge_dim=3)), r"conv: takes edge features; leave edge_dim out"),
    (Net(SAGEConv(5, 8, aggr="lstm")), r"conv: aggregates by lstm; use mean, sum or max"),
    (Net(SAGEConv((5, 4), 8)), r"conv: reads rows of two kinds of nodes; give it one width"),
    (Net(GATConv((5, 5), 8)), r"conv: reads rows of two kinds of nodes; give it one width"),
    (Net(SAGEConv((-1, -1), 8)), r"conv: has no weights yet: give the width that it reads .*, or run the model once"),
    (Net(GCNConv(-1, 8)), r"conv: has no weights yet: give the width that it reads .*, or run the model once"),
    (Net(GCNConv(5, 8, flow="target_to_source")), r"conv: sends messages from target to source"),
    (Net(SAGEConv(5, 8, aggr=gnn.SoftmaxAggregation())), r"conv: aggregates by SoftmaxAggregation.*; use mean, sum or"),
    (gnn.GCN(5, 8, 2, 3, norm="pair_norm"), r"norms.0: PairNorm is unknown; leave it out"),
    (
        gnn.GCN(5, 8, 2, 3, norm="instance_norm", norm_kwargs={"track_running_stats": True}),
        r"norms.0: tracks statistics",
    ),
    (gnn.GCN(5, 8, 2, 3, norm="layer_norm", norm_kwargs={"eps": 0.0}), r"norms.0: has an eps of 0; give it a positive"),
    (Net(GINConv(nn.Sequential(nn.Linear(5, 8), nn.LayerNorm((4, 8))))), r"nn.1: normalises more than the last dim"),
    (gnn.GCN(5, 8, 2, 3, jk="lstm"), r"jk: mode 'lstm' is unknown; use cat or max"),
]


@pytest.mark.parametrize(("network", "sentence"), SENTENCES, ids=[f"{i}" for i in range(len(SENTENCES))])
def test_it_is_one_sentence(network, sentence):
    with pytest.raises(UnsupportedModel, match=sentence) as caught:
        prepare(network, "qat_int8")
    assert "\n" not in str(caught.value)
    assert "Proxy" not in str(caught.value)


@pytest.mark.parametrize("network", [Gated(), Scaled(), Net(TransformerConv(5, 8)), Net(SAGEConv(5, 8, project=True))])
def test_unknown_parts_may_be_left_in_fp32(network):
    """They train with the rest and compute what they did; there is no program."""
    torch.manual_seed(0)
    edges, x = torch.randint(20, (2, 60)), torch.randn(20, 5)
    with pytest.warns(UserWarning, match="left in FP32: "):
        stays = prepare(network.eval(), strict=False)
    torch.testing.assert_close(stays(x, edges), network(x, edges))
    with pytest.warns(UserWarning, match="left in FP32: "):
        quantized = prepare(network, "dq_int8", strict=False).train()
    quantized(x, edges).sum().backward()
    assert all(parameter.grad is not None for parameter in quantized.parameters())
    with pytest.raises(ValueError, match="it was left in FP32, so there is no program"):
        quantized.eval().lower()


class OfTensors(Net):
    """Reads a buffer twice, numbers of columns, and a weight that is not learned."""

    def __init__(self):
        super().__init__()
        self.register_buffer("spread", torch.rand(8) + 0.5)
        self.register_buffer("columns", torch.tensor([7, 0, 1, 2, 3, 4, 5, 6]))
        self.fixed = nn.Parameter(torch.rand(8), requires_grad=False)

    def forward(self, x, edge_index):
        h = self.conv(x, edge_index) / self.spread
        h = (h * self.fixed)[:, self.columns] * self.spread
        return self.other(h, edge_index)


@pytest.mark.filterwarnings("ignore:left in FP32")
@pytest.mark.parametrize("scheme", [None, "dq_int8"])
def test_tensors_that_are_left_stay_what_they_were(scheme):
    network = OfTensors().eval()
    prepared = prepare(network, scheme, strict=False)
    learned = {name for name, parameter in prepared.named_parameters() if parameter.requires_grad}
    assert learned == {"conv.weight", "conv.bias", "other.weight", "other.bias"}
    tensors = [*prepared.buffers(), prepared.get_parameter("fixed.target")]
    for tensor in (network.spread, network.columns, network.fixed):
        assert sum(torch.equal(tensor, other) for other in tensors) == 1
    if scheme is None:
        edges, x = torch.randint(20, (2, 60)), torch.randn(20, 5)
        torch.testing.assert_close(prepared(x, edges), network(x, edges))


class TiedLayer(Net):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x, edge_index):
        h = self.layer(self.conv(x, edge_index)).relu()
        return self.other(h @ self.layer.weight, edge_index)


def test_what_cannot_be_traced_or_is_shared_is_refused_in_any_case():
    for network in (ByShape(), Shared(), TiedLayer()):
        with pytest.raises(UnsupportedModel):
            prepare(network, strict=False)
