"""A prepared network is called as the original is: arguments by position, in training and in evaluation."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as gnn
from torch import nn
from torch_geometric.nn import GCNConv

from models import UnsupportedModel, prepare
from models.quantization.control import quantizers
from tests.models.conversion.conftest import draw
from tests.models.conversion.test_faults import EDGES, X, net

WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.25])


class WeightsFirst(nn.Module):
    """Takes weights with a default, and after them a batch."""

    def __init__(self):
        super().__init__()
        self.c = GCNConv(4, 3)

    def forward(self, x, edge_index, edge_weight=None, batch=None, *, loud=False):
        h = self.c(x, edge_index, edge_weight)
        return gnn.global_add_pool(h, batch)


class ByAttribute(nn.Module):
    """Calls its weights attributes."""

    def __init__(self):
        super().__init__()
        self.c = GCNConv(4, 3)

    def forward(self, x, edge_index, edge_attr=None):
        return self.c(x, edge_index, edge_attr)


BATCH = torch.tensor([0, 0, 1])


def test_positions_are_those_of_the_original():
    network = WeightsFirst().eval()
    prepared = prepare(network)
    torch.testing.assert_close(prepared(X, EDGES, None, BATCH), network(X, EDGES, None, BATCH))
    torch.testing.assert_close(prepared(X, EDGES, batch=BATCH, loud=False), network(X, EDGES, None, BATCH))
    with pytest.raises(TypeError, match=r"reads no edge_weight: prepare\(..., edge_weight=True\)"):
        prepared(X, EDGES, WEIGHTS, BATCH)
    with pytest.raises(TypeError, match="reads no loud"):
        prepared(X, EDGES, batch=BATCH, loud=True)
    with pytest.raises(TypeError, match=r"takes 4 arguments \(x, edge_index, edge_weight, batch\), got 5"):
        prepared(X, EDGES, None, BATCH, True)
    weighted = prepare(network, edge_weight=True)
    torch.testing.assert_close(weighted(X, EDGES, WEIGHTS, BATCH), network(X, EDGES, WEIGHTS, BATCH))


class WithDefaults(nn.Module):
    """Has defaults of many types."""

    def __init__(self):
        super().__init__()
        self.c = GCNConv(4, 3)

    def forward(self, x, edge_index, act=torch.tanh, scale=(0.25, 2.0), options={"by": [3.0]}, pool=None, p=0.5):  # noqa: B006
        h = self.c(x, edge_index) * scale[1] + options["by"][0]
        return act(h) if pool is None else pool(h)


def test_defaults_of_any_type_are_kept():
    network = WithDefaults().eval()
    prepared = prepare(network)
    torch.testing.assert_close(prepared(X, EDGES), network(X, EDGES))
    same = {"scale": (float("0.25"), 2.0), "p": float("0.5"), "pool": None}
    torch.testing.assert_close(prepared(X, EDGES, torch.tanh, **same), network(X, EDGES))
    for name, value in {"scale": (1.0, 2.0), "p": None, "pool": torch.relu, "act": None}.items():
        with pytest.raises(
            TypeError, match=f"WithDefaults: reads no {name}: it stays .*, as when it was prepared; leave"
        ):
            prepared(X, EDGES, **{name: value})


def test_attributes_that_are_weights_are_read_where_it_is_said():
    network = ByAttribute().eval()
    with pytest.raises(TypeError, match=r"reads no edge_attr: prepare\(..., edge_weight=True\)"):
        prepare(network)(X, EDGES, WEIGHTS)
    weighted = prepare(network, edge_weight=True)
    torch.testing.assert_close(weighted(X, EDGES, WEIGHTS), network(X, EDGES, WEIGHTS))
    torch.testing.assert_close(weighted(X, EDGES, edge_attr=WEIGHTS[:, None]), network(X, EDGES, WEIGHTS))


def test_a_layer_held_in_evaluation_stays_there():
    network = net(lambda s, x, e: s.m(s.c(x, e)), m=nn.BatchNorm1d(4)).train()
    network.m.eval()
    prepared = prepare(network)
    assert prepared.training
    assert not prepared.m.training
    torch.testing.assert_close(prepared(X, EDGES), network(X, EDGES))


def test_a_train_of_its_own_is_refused():
    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.n = GCNConv(4, 4), nn.BatchNorm1d(4)

        def forward(self, x, edge_index):
            return self.n(self.c(x, edge_index))

        def train(self, mode=True):
            super().train(mode)
            self.n.eval()
            return self

    with pytest.raises(UnsupportedModel, match="Held: has a train of its own, which nobody would call"):
        prepare(Held())


def test_rows_of_one_dropout_that_a_call_reads_twice_are_equal():
    prepared = prepare(net(doubled, d=nn.Dropout(0.5)).train())
    left, right = prepared(torch.ones(50, 4), EDGES).split(4, 1)
    assert torch.equal(left, right)
    assert 0 < int((left == 0).sum()) < left.numel()


def doubled(s, x, e):
    h = s.d(s.c(x, e))
    return torch.cat([h, h], dim=-1)


def rows_then_dropout(s, x, e):
    h = s.c(x, e).relu()
    return s.a(h) + s.b(torch.nn.functional.dropout(h, 0.5, s.training))


def dropout_then_rows(s, x, e):
    h = s.c(x, e).relu()
    return s.b(torch.nn.functional.dropout(h, 0.5, s.training)) + s.a(h)


@pytest.mark.parametrize("call", [rows_then_dropout, dropout_then_rows])
def test_rows_and_their_dropout_have_a_site_each(call):
    network = prepare(net(call, a=nn.LayerNorm(4), b=nn.LayerNorm(4)), "dq_int8")
    names = [site.name for site in quantizers(network)]
    assert {"relu.activated", "relu_.activated"} < set(names)
    assert len(set(names)) == len(names)
    network.train()(X, EDGES)
    assert network.eval().lower().out_features == 4


def test_the_row_of_a_padding_gets_no_gradient():
    class Embedded(nn.Module):
        def __init__(self, **settings):
            super().__init__()
            self.e, self.c = nn.Embedding(9, 4, **settings), GCNConv(4, 3)

        def forward(self, x, edge_index):
            return self.c(self.e(x.squeeze(-1)), edge_index)

    network, data = Embedded(padding_idx=2), draw(categories=True)
    assert (data.x == 2).any()
    prepared = prepare(network, "dq_int8").train()
    prepared(data.x, data.edge_index).sum().backward()
    rows = prepared.e.weight.grad.abs().sum(1) > 0
    assert not rows[2]
    assert rows.sum() == 8
    with pytest.raises(UnsupportedModel, match="e: has scale_grad_by_freq; leave it out"):
        prepare(Embedded(scale_grad_by_freq=True))


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
def test_a_norm_over_all_rows_is_that_in_a_network_with_a_batch_too(scale):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.n, self.m = GCNConv(4, 8), gnn.LayerNorm(8, eps=1e-2), nn.Linear(8, 3)

        def forward(self, x, edge_index, batch):
            return self.m(gnn.global_add_pool(self.n(self.c(x, edge_index)), batch))

    network = Normed().eval()
    with torch.no_grad():
        network.c.lin.weight.mul_(scale)
    torch.testing.assert_close(prepare(network)(X, EDGES, BATCH), network(X, EDGES, BATCH), rtol=1e-5, atol=1e-6)


class PooledFromAList(nn.Module):
    """Pools by functions of a list."""

    def __init__(self):
        super().__init__()
        self.c, self.m = GCNConv(4, 8), nn.Linear(24, 3)
        self.pools = [gnn.global_mean_pool, gnn.global_add_pool, gnn.global_max_pool]

    def forward(self, x, edge_index, batch):
        h = self.c(x, edge_index)
        return self.m(torch.cat([pool(h, batch) for pool in self.pools], dim=1))


def test_pools_are_known_wherever_they_are_kept():
    network = PooledFromAList().eval()
    prepared = prepare(network)
    torch.testing.assert_close(prepared(X, EDGES, BATCH), network(X, EDGES, BATCH))
    assert gnn.global_add_pool(X, BATCH).shape == (2, 4)  # PyG's own is as it was


class OfBatch(nn.Module):
    """Calls what it is given a batch."""

    def __init__(self):
        super().__init__()
        self.c = GCNConv(4, 3)

    def forward(self, batch):
        return self.c(batch.x, batch.edge_index)


HELPED = [
    (OfBatch(), r"reads \.x of batch; call what holds a graph `data`"),
    (OfBatch, "OfBatch: is a class; make a network of it"),
    (net(lambda s, x, e: torch.stack([x, s.c(x, e)])), "no program computes stack; add the rows"),
]


@pytest.mark.parametrize(("network", "sentence"), HELPED, ids=range(len(HELPED)))
def test_a_refusal_says_what_to_do(network, sentence):
    with pytest.raises(UnsupportedModel, match=sentence):
        prepare(network)


def test_a_virtual_node_is_told():
    class Virtual(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = GCNConv(4, 4)

        def forward(self, x, edge_index, batch):
            h = self.c(x, edge_index)
            return h + gnn.global_add_pool(h, batch)[batch]

    with pytest.raises(UnsupportedModel, match="it gives nodes the rows of their graphs; leave it out"):
        prepare(Virtual())


@pytest.mark.parametrize("name", ["steps", "weights", "scheme", "kind", "make_original", "num_masks"])
def test_a_layer_called_as_something_of_ours_is_told(name):
    network = net(lambda s, x, e: s.c(getattr(s, name)(x), e), **{name: nn.Linear(4, 4)})
    with pytest.raises(UnsupportedModel, match=f"^Net.{name}: a prepared network has something else by that name"):
        prepare(network)
