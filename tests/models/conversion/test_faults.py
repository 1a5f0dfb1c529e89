"""What once gave wrong numbers without a word, or a traceback: it is right now, or one sentence."""

from __future__ import annotations

import operator

import pytest
import torch
import torch_geometric.nn as gnn
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GraphConv, SAGEConv, SumAggregation

from models import UnsupportedModel, prepare
from models.conversion.prepared import degrees_of
from models.layers import Dropout
from models.layers.graph import Graph
from models.quantization.protection import degree_cdf
from tests.models.conversion.asserts import asserted, either

EDGES = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])
X = torch.randn(3, 4)


def net(call, **modules):
    """A network with a GCNConv `c`, these modules, and this forward."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = GCNConv(4, 4)
            for name, module in modules.items():
                setattr(self, name, module)

        def forward(self, x, edge_index):
            return call(self, x, edge_index)

    return Net().eval()


class Doubled(GCNConv):
    def forward(self, x, edge_index):
        return 2 * super().forward(x, edge_index)


class OtherMessages(SAGEConv):
    def message(self, x_j):
        return 2 * x_j


class OwnStart(nn.Linear):
    def reset_parameters(self):
        nn.init.ones_(self.weight)


def hooked():
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda *_: torch.zeros(3, 4))
    return layer


def alias(s, x, e):
    h = s.c(x, e)
    i = h
    return s.relu(h) + i


def unassigned(s, x, e):
    h = s.c(x, e)
    h.relu_()
    return h


def grown(s, x, e):
    h = s.c(x, e)
    before = h
    h += 1
    return h + before


def under_no_grad(s, x, e):
    with torch.no_grad():
        h = s.c(x, e)
    return s.m(h)


def of_rows(s, x, e):
    return s.m(s.c(x, e))


REFUSED = [
    (net(lambda s, x, e: s.m(x, e), m=Doubled(4, 4)), "m: has a forward of its own, so it is no plain GCNConv"),
    (net(lambda s, x, e: s.m(x, e), m=OtherMessages(4, 4)), "m: has a message of its own, so it is no plain SAGEConv"),
    (net(of_rows, m=hooked()), "m: has hooks or reparametrised weights; remove them before"),
    (net(of_rows, m=weight_norm(nn.Linear(4, 4))), "m: has hooks or reparametrised weights"),
    (net(alias, relu=nn.ReLU(inplace=True)), "relu: changes rows in place that are read elsewhere too"),
    (net(unassigned), "changes rows in place .* without their result"),
    (net(grown), "changes rows in place that are read elsewhere too"),
    (net(lambda s, x, e: torch.sub(s.c(x, e), 1, alpha=2)), "takes an alpha beside a number"),
    (net(lambda s, x, e: torch.rsub(s.c(x, e), x, alpha=2)), "takes an alpha; multiply the rows by it"),
    (net(lambda s, x, e: torch.div(s.c(x, e), 3, rounding_mode="floor")), "computes div with other settings"),
    (net(lambda s, x, e: s.c(x, e) ** 2), "no program computes pow"),
    (net(lambda s, x, e: s.m(x, e), m=SAGEConv(4, 4, aggr=["mean", "max"])), "m: aggregates by "),
    (net(either), r"asserts.py:\d+ \(assert .*\): decides by the values or the shape of a tensor"),
    ("net", "str: expected a torch.nn.Module"),
    (net(lambda s, x, e: s.m(x, e), m=GATConv(4, 4, aggr="mean")), "m: aggregates by mean; use add"),
    (net(under_no_grad, m=nn.Linear(4, 4)), r"test_faults.py:\d+ .*: computes under torch.no_grad; leave that out"),
    (net(lambda s, x, e: s.c(x[:, [3, 2, 1, 0]], e)), "takes rows apart, which no program can; do it in the data"),
    (net(lambda s, x, e: s.c(x.int(), e)), "c: reads x as categories or reshaped, which only an embedding does"),
    (net(lambda s, x, e: s.c(x, e).clamp(min=x)), "gives clamp rows for a setting; give it a number"),
    (net(lambda s, x, e: s.c(x, e) + torch.ones(4)), "computes with a tensor that the forward makes; write a number"),
    (net(of_rows, m=nn.PReLU(4)), "m: has a slope a column, which no program has; leave num_parameters out"),
]


@pytest.mark.parametrize(("network", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_it_is_refused_in_one_sentence(network, sentence):
    with pytest.raises(UnsupportedModel, match=sentence) as caught:
        prepare(network)
    assert "\n" not in str(caught.value)


def dropped_in_training(s, x, e):
    h = s.c(x, e)
    if s.training:
        h = nn.functional.dropout(h, 0.5)
        h = s.drop(h)
    return s.m(nn.functional.dropout(h, 0.2, training=s.training))


torch.manual_seed(0)  # else their weights depend on what was imported before
RIGHT = [
    net(asserted),
    net(dropped_in_training, drop=nn.Dropout(0.1), m=nn.Linear(4, 4)),
    net(lambda s, x, e: s.m(torch.hstack([s.c(x, e), x])), m=nn.Linear(8, 4)),
    net(lambda s, x, e: s.m(torch.column_stack((x, s.c(x, e).relu()))), m=nn.Linear(8, 4)),
    net(lambda s, x, e: s.m(nn.functional.normalize(s.c(x, e), p=2, dim=-1)), m=nn.Linear(4, 4)),
    net(lambda s, x, e: torch.rsub(s.c(x, e), x)),
    net(lambda s, x, e: torch.add(input=s.c(x, e), other=2)),
    net(lambda s, x, e: torch.sub(s.c(x, e), x, alpha=2)),
    net(lambda s, x, e: 1 - s.c(x, e)),
    net(of_rows, m=OwnStart(4, 4)),
    net(lambda s, x, e: s.m(input=s.c(edge_index=e, x=x)), m=nn.Linear(4, 4)),
    net(lambda s, x, e: torch.relu(input=s.n(x=s.c(x, edge_index=e))), n=gnn.GraphNorm(4)),
    net(lambda s, x, e: s.m(s.c(x, e).relu()).sigmoid() + s.c2(x, e), m=nn.Linear(4, 4), c2=GCNConv(4, 4)),
    net(of_rows, m=nn.BatchNorm1d(4, affine=False)),
    net(lambda s, x, e: s.m(s.c(x, e)), m=nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.LogSoftmax(dim=1))),
]


@pytest.mark.parametrize("network", RIGHT, ids=range(len(RIGHT)))
def test_it_computes_what_the_original_does(network):
    torch.testing.assert_close(prepare(network)(X, EDGES), network(X, EDGES))
    quantized = prepare(network, "dq_int8").train()
    quantized(X, EDGES).sum().backward()
    assert quantized.eval().lower().out_features == 4


def test_dropout_of_training_alone_is_active_in_training_alone():
    """Three of them: those before the last are steps, the last belongs to the layer that reads it."""
    network = prepare(net(dropped_in_training, drop=nn.Dropout(0.1), m=nn.Linear(4, 4)))
    steps = [network.get_submodule(step.module) for step in network.steps]
    assert [step.p for step in steps if isinstance(step, Dropout)] == [0.5, 0.1]
    assert network.get_submodule("m").dropout == 0.2


def test_arguments_without_effect_are_refused():
    network, weights = gnn.GCN(4, 8, 2, 3).eval(), torch.rand(4)
    with pytest.raises(TypeError, match=r"GCN: reads no edge_weight: prepare\(..., edge_weight=True\)"):
        prepare(network)(X, EDGES, edge_weight=weights)
    with pytest.raises(TypeError, match="GCN: reads no foo"):
        prepare(network)(X, EDGES, foo=1)
    got = prepare(network, edge_weight=True)(X, EDGES, edge_weight=weights)
    torch.testing.assert_close(got, network(X, EDGES, edge_weight=weights))


def test_degrees_are_those_of_the_batch_that_is_given():
    for batch in (torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), None):
        assert torch.equal(degrees_of(EDGES, 3, batch), degree_cdf(EDGES, 3, batch))


def test_frozen_weights_stay_frozen():
    network = net(of_rows, m=nn.Linear(4, 4))
    network.m.requires_grad_(False)
    network.c.bias.requires_grad_(False)
    prepared = prepare(network, "dq_int8")
    frozen = {name for name, parameter in prepared.named_parameters() if not parameter.requires_grad}
    assert frozen == {"m.weight", "m.bias", "c.bias"}


def test_shared_weights_are_refused():
    network = net(lambda s, x, e: s.b(s.a(s.c(x, e))), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    network.b.weight = network.a.weight
    with pytest.raises(UnsupportedModel, match=r"b\.weight: is the same parameter as a\.weight"):
        prepare(network)


@pytest.mark.parametrize("edges", [EDGES.T, EDGES[0], torch.eye(3).to_sparse_csr()], ids=["transposed", "1-d", "csr"])
def test_edges_of_another_shape_are_refused(edges):
    with pytest.raises(ValueError, match=r"edge_index: expected a dense tensor \[2, E\], got "):
        Graph.of(edges, 3)


@pytest.mark.parametrize(
    "layer", [GCNConv(4, 4, normalize=False), GATConv(4, 2, heads=2, add_self_loops=False), GraphConv(4, 4)]
)
def test_a_graph_without_edges_is_computed(layer):
    network = net(lambda s, x, e: s.m(x, e), m=layer)
    nothing = torch.empty(2, 0, dtype=torch.int64)
    torch.testing.assert_close(prepare(network)(X, nothing), network(X, nothing))


def test_aggregations_pool():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.pool = GCNConv(4, 3), SumAggregation()

        def forward(self, data):
            return self.pool(self.c(data.x, data.edge_index), data.batch)

    network, data = Net().eval(), Data(x=X, edge_index=EDGES, batch=torch.tensor([0, 0, 1]))
    torch.testing.assert_close(prepare(network)(data), network(data))


def test_operators_that_are_no_arithmetic_are_told():
    with pytest.raises(UnsupportedModel, match="no program computes"):
        prepare(net(lambda s, x, e: operator.floordiv(s.c(x, e), 2)))


def test_a_learned_slope_at_two_places_is_one():
    network = net(lambda s, x, e: s.act(s.m(s.act(s.c(x, e)))), m=nn.Linear(4, 4), act=nn.PReLU())
    prepared = prepare(network)
    for each in (network, prepared):
        each(X, EDGES).square().sum().backward()
    (slope,) = [parameter for parameter in prepared.parameters() if parameter.numel() == 1]
    torch.testing.assert_close(slope.grad, network.act.weight.grad)


class Pooled(nn.Module):
    """Pools where it is given a batch."""

    def __init__(self, *, by_batch=True):
        super().__init__()
        self.c, self.by_batch = GCNConv(4, 3), by_batch

    def forward(self, x, edge_index, batch=None):
        h = self.c(x, edge_index)
        if batch is not None:
            h = gnn.global_add_pool(batch=batch if self.by_batch else None, x=h)
        return h


def test_a_network_that_decides_by_the_batch_is_given_one():
    network, batch = Pooled(), torch.tensor([0, 0, 1])
    prepared = prepare(network)
    torch.testing.assert_close(prepared(X, EDGES, batch), network(X, EDGES, batch))
    with pytest.raises(ValueError, match="network Pooled: its forward calls other layers where no batch is given"):
        prepared(X, EDGES)


def test_a_pool_over_all_graphs_of_a_batch_is_refused():
    with pytest.raises(UnsupportedModel, match="pools all graphs of a batch into one row; give it the batch"):
        prepare(Pooled(by_batch=False))


def test_data_may_be_read_by_key():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = GCNConv(4, 3)

        def forward(self, data):
            return self.c(data["x"], data["edge_index"])

    network, data = Net(), Data(x=X, edge_index=EDGES)
    torch.testing.assert_close(prepare(network)(data), network(data))


def test_a_network_without_a_graph_needs_none():
    network = gnn.MLP([4, 8, 3], dropout=0.0).eval()
    prepare(network, "dq_int8").train()(X).sum().backward()
    torch.testing.assert_close(prepare(network)(X), network(X))


LAZY = [GCNConv(-1, 4), SAGEConv(-1, 4), SAGEConv((-1, -1), 4), GraphConv(-1, 4), GATConv(-1, 2, 2), GATv2Conv(-1, 4)]


@pytest.mark.parametrize("layer", [*LAZY, SAGEConv((4, 4), 4)], ids=str)
def test_layers_that_took_their_width_from_the_first_rows(layer):
    network = net(lambda s, x, e: s.m(s.l(x, e)), l=layer, m=gnn.Linear(-1, 3))
    network(X, EDGES)
    prepared = prepare(network)
    assert prepared.in_features == 4
    torch.testing.assert_close(prepared(X, EDGES), network(X, EDGES))
