"""Networks of others: in FP32 they compute what they did, quantized their programs compute what was trained."""

from __future__ import annotations

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from app.engine.program.io import save_program
from app.runs.exactness import compare, trained_codes
from models import prepare
from models.architectures import GCN
from models.conversion import PreparedNetwork
from models.quantization.control import calibrate, quantizers
from models.quantization.qconfig import QuantScheme, SiteOverride
from models.schemes import scheme_of
from models.tasks import GraphClassification, GraphRegression, NodeClassification
from tests.models.conversion.conftest import draw
from tests.models.conversion.networks import (
    CLASSES,
    FEATURES,
    GRAPH_MAKERS,
    GRAPH_NETWORKS,
    NODE_NETWORKS,
    WEIGHTED_NETWORKS,
    TwoLayerGCN,
    WeightedByAttribute,
)
from tests.models.given_batches import GivenBatches

ALL = [*NODE_NETWORKS, *GRAPH_NETWORKS, *WEIGHTED_NETWORKS]


def make(name):
    torch.manual_seed(2)
    network = (NODE_NETWORKS | GRAPH_MAKERS | WEIGHTED_NETWORKS)[name]()
    with torch.no_grad():
        for module in network.modules():  # statistics as after some training
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return network


def prepared_from(name, network, scheme=None):
    return prepare(network, scheme, edge_weight=name in WEIGHTED_NETWORKS or None)


def data_of(name):
    if name in GRAPH_NETWORKS:
        return draw(categories=GRAPH_NETWORKS[name][1])
    data = draw()
    del data.batch
    return data


def arguments(name, data):
    if name == "gcn of data":
        return (data,)
    if name in WEIGHTED_NETWORKS:
        return data.x, data.edge_index, data.edge_weight
    return (data.x, data.edge_index, data.batch) if name in GRAPH_NETWORKS else (data.x, data.edge_index)


def double(data):
    data.x = data.x.double() if data.x.is_floating_point() else data.x
    data.edge_weight = data.edge_weight.double()
    return data


def weight_gradients(network):
    """The entries of all gradients, sorted: the two networks name and shape some weights differently."""
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).sort().values


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_fp32_computes_what_the_original_does(name, training, monkeypatch):
    """In float64, without dropout: outputs and the gradients of all weights."""
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, *_, **__: x)
    original = make(name).double().train(training)
    for module in original.modules():
        for probability in ("p", "dropout"):
            if isinstance(getattr(module, probability, None), float):
                setattr(module, probability, 0.0)
    data = double(data_of(name))
    prepared = prepared_from(name, original)
    assert prepared.training is training
    expected, got = original(*arguments(name, data)), prepared(*arguments(name, data))
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    upstream = torch.randn_like(expected)
    expected.backward(upstream)
    got.backward(upstream)
    mine, theirs = weight_gradients(prepared), weight_gradients(original)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_original_is_left_alone(name):
    original = make(name).train()
    before = deepcopy(original.state_dict())
    train(prepared_from(name, original, "dq_int8"), arguments(name, data_of(name)))
    after = original.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(module.training for module in original.modules())


def train(network, inputs, steps=3):
    """Some steps of the user's own loop."""
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        network(*inputs).square().mean().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize(
    ("name", "scheme"),
    [(name, scheme) for scheme in ("dq_int8", "lsq_int4") for name in ALL]
    + [(name, scheme) for scheme in ("qat_int8", "dq_int4") for name in ("gcn", "gin")],
)
def test_the_program_computes_what_was_trained(name, scheme, tmp_path):
    data = data_of(name)
    kind = GraphClassification if name in GRAPH_NETWORKS else NodeClassification
    kind, width = (GraphRegression, 1) if name == "pools" else (kind, CLASSES)
    weighted = name in WEIGHTED_NETWORKS or None
    task = kind(
        lambda _i, _o, s: PreparedNetwork(make(name), s, edge_weight=weighted), FEATURES, width, scheme_of(scheme)
    )
    train(task.network, arguments(name, data))
    codes, _ = trained_codes(task, data)
    assert set(codes) == {site.name for site in quantizers(task) if site.domain != "parameter"}
    report = compare(task, GivenBatches(data), save_program(task.network.lower(), tmp_path))
    assert report["codes"] == sum(code.size for code in codes.values())
    assert report["ties"] <= report["codes"] / 5_000, report
    assert report["ties"] or not report["codes_differing"], report  # what differs begins with the last bit of a sum
    assert report["margin_violations"] == 0, report


def test_sites_have_the_paths_of_the_original():
    names = {site.name for site in quantizers(prepare(make("gin"), "dq_int8"))}
    assert {"emb.weights", "convs.0.inputs", "convs.1.nn.0.weights", "convs.1.nn.3.features", "lin2.weights"} <= names
    rule = SiteOverride("convs.1.nn.*", bits=4)
    mixed = prepare(make("gin"), QuantScheme("qat", 8, overrides=[rule]))
    assert {site.name for site in quantizers(mixed) if site.bits == 4} == {
        n for n in names if n.startswith("convs.1.nn")
    }


def test_a_rule_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match=r"conv3.*matches no site"):
        prepare(make("gcn"), QuantScheme("qat", 8, overrides=[SiteOverride("conv3.*", bits=4)]))


def test_it_trains_as_our_own_network_of_the_same_layers(nodes):
    """One layer class for both: same masks, same ranges, same numbers, bit for bit."""
    scheme = prepare(make("gcn"), "dq_int8").scheme
    ours = GCN(FEATURES, CLASSES, scheme, hidden=16, dropout=0.5).train()
    theirs = TwoLayerGCN()
    for layer, conv in zip((theirs.conv1, theirs.conv2), ours.convs, strict=True):
        layer.load_state_dict({"lin.weight": conv.weight.detach().T, "bias": conv.bias.detach()})
    prepared = prepare(theirs, scheme).train()
    for seed in range(3):
        results = []
        for network in (ours, prepared):
            torch.manual_seed(seed)
            y = network(x=nodes.x, edge_index=nodes.edge_index, degree_cdf=nodes.degree_cdf)
            results.append(y if network is prepared else y.log_softmax(1))
        assert torch.equal(*results)


def test_masks_come_from_the_graph_if_nobody_gives_them(nodes):
    network = prepare(make("gcn"), "dq_int8").train()
    results = []
    for given in ({}, {"degree_cdf": nodes.degree_cdf}):
        torch.manual_seed(0)
        results.append(network(nodes.x, nodes.edge_index, **given))
    assert torch.equal(*results)


@pytest.mark.parametrize("again", [deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
@pytest.mark.parametrize("name", ["gcn", "gin", "gat", "pyg gcn", "branches"])
def test_a_copy_computes_the_same(name, again):
    data = data_of(name)
    network = train(prepare(make(name), "dq_int8"), arguments(name, data)).eval()
    assert torch.equal(again(network)(*arguments(name, data)), network(*arguments(name, data)))


def test_ranges_may_come_from_calibration_alone(nodes):
    network = prepare(make("pyg sage"), "ptq_int8")
    calibrate(network, lambda: network(nodes.x, nodes.edge_index))
    assert network.lower().out_features == CLASSES


def test_sparse_features_are_taken(nodes):
    for name in ("gcn", "maxima", "branches"):
        network = prepare(make(name).eval())
        dense = network(nodes.x, nodes.edge_index)
        torch.testing.assert_close(network(nodes.x.to_sparse_csr(), nodes.edge_index), dense)


def test_dropout_belongs_to_the_layer_that_reads_it():
    """As in our own networks: behind the site of its inputs, so that it does not widen the range."""
    network = prepare(make("gcn"))
    assert network.get_submodule("conv1").dropout == network.get_submodule("conv2").dropout == 0.5
    assert not any("dropout" in step.module for step in network.steps)


def test_missing_and_unknown_arguments_are_told(nodes):
    network = prepare(make("gcn"))
    with pytest.raises(TypeError, match="TwoLayerGCN: edge_index missing"):
        network(nodes.x)
    with pytest.raises(TypeError, match=r"TwoLayerGCN: takes 2 arguments \(x, edge_index\), got 3"):
        network(nodes.x, nodes.edge_index, None)


def test_a_network_of_data_takes_data_alone(nodes):
    network = prepare(make("gcn of data").eval())
    assert torch.equal(network(nodes), network(Data(x=nodes.x, edge_index=nodes.edge_index)))


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match=r"scheme: 'dq8' is unknown; there are .*dq_int8"):
        prepare(GCNConv(3, 2), "dq8")


def test_weights_may_be_the_only_attribute_of_edges(nodes):
    data = Data(x=nodes.x, edge_index=nodes.edge_index, edge_attr=nodes.edge_weight)
    original = WeightedByAttribute().eval()
    torch.testing.assert_close(prepare(original)(data), original(data))


def test_weights_that_are_missing_are_told(nodes):
    network = prepare(make("weighted"))
    with pytest.raises(ValueError, match="edge_weight: the network reads weights of edges, and the data has none"):
        network(nodes.x, nodes.edge_index)


def test_another_number_of_classes_is_told():
    sentence = r"^network TwoLayerGCN: writes 3 logits, the data has 7 classes or targets; give it that number"
    with pytest.raises(ValueError, match=sentence):
        NodeClassification(lambda _i, _o, s: prepare(make("gcn"), s), FEATURES, 7)


@pytest.mark.parametrize("scheme", ["dq_int8", "qat_int8", "lsq_dq_int8", "nqat_int8"])
@pytest.mark.parametrize("name", ["pyg sage", "pyg gat"])
def test_a_network_in_float64_trains(nodes, name, scheme):
    x = nodes.x.double()
    network = train(prepare(make(name).double(), scheme), (x, nodes.edge_index)).eval()
    assert network(x, nodes.edge_index).dtype == torch.float64


@pytest.mark.parametrize("scheme", [None, "lsq_dq_int8"])
def test_what_torch_compiles_trains_and_evaluates_as_it_did(scheme):
    inputs = torch.randn(20, FEATURES), torch.randint(20, (2, 60))
    network, (x, edge_index) = prepare(make("gcn"), scheme), inputs
    compiled = torch.compile(network)
    compiled(x, edge_index).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert torch.equal(compiled.eval()(x, edge_index), network.eval()(x, edge_index))
