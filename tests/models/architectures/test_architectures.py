"""Every architecture under every scheme: gradients, evaluation, arguments, and exact integer programs."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from app.engine.program.io import save_program
from app.runs import exactness
from app.runs.exactness import compare, trained_codes
from models.architectures import ARCHITECTURES, GAT, GCN, GIN, GraphSAGE
from models.layers import ReadoutConfig
from models.quantization.control import quantizers
from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.protection import Protection, degree_cdf
from models.quantization.qconfig import ProtectionConfig, SiteOverride
from models.tasks import NodeClassification
from tests.models.given_batches import GivenBatches

NODES, FEATURES, CLASSES = 400, 60, 5
SCHEMES = [("fp32", 32), *((name, bits) for name in ("qat", "nqat", "lsq", "columns", "dq") for bits in (8, 4))]
VARIANTS = {
    "gcn edge": (GCN, {"norm": "edge"}),
    "gcn factored": (GCN, {"norm": "factored"}),
    "gcn three layers elu": (GCN, {"layers": 3, "activation": "elu"}),
    "gcn fewer roundings elu": (GCN, {"activation": "elu", "roundings": "needed"}),
    "gat elu": (GAT, {"activation": "elu", "attention_dropout": 0.2}),
    "gat relu": (GAT, {"activation": "relu", "attention_dropout": 0.2}),
    "gat averaged": (GAT, {"concat": False, "attention_dropout": 0.2}),
    "gin": (GIN, {}),
    "gin mlp eps": (GIN, {"mlp_layers": 2, "learn_eps": True}),
    "sage": (GraphSAGE, {}),
    "sage sum": (GraphSAGE, {"aggregation": "sum"}),
    "sage max": (GraphSAGE, {"aggregation": "max"}),
}

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")


@pytest.fixture
def batch(bag_of_words, random_edges):
    """A random graph with labels that its sparse features explain."""
    x = bag_of_words(NODES, FEATURES).abs()
    y = (x @ torch.randn(FEATURES, CLASSES)).argmax(1)
    edges = random_edges(NODES, 1600)
    return Data(x=x.to_sparse_csr(), edge_index=edges, y=y, degree_cdf=degree_cdf(edges, NODES))


@pytest.fixture
def train():
    """train(network, batch, steps) -> the network after steps of Adam."""

    def run(network, batch, steps=10):
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(network(batch.x, batch.edge_index, batch.degree_cdf), batch.y).backward()
            optimizer.step()
        return network

    return run


@pytest.mark.parametrize(("scheme", "bits"), SCHEMES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_gradients_and_deterministic_evaluation(architecture, scheme, bits, make_scheme, batch, monkeypatch):
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme(scheme, bits))
    logits = network(batch.x, batch.edge_index, batch.degree_cdf)
    assert logits.shape == (NODES, CLASSES)
    cross_entropy(logits, batch.y).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    monkeypatch.setattr(Protection, "draw", lambda *_: pytest.fail("evaluation drew a mask"))
    network.eval()
    state = torch.get_rng_state()
    first, second = (network(batch.x, batch.edge_index) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    if scheme != "fp32":
        assert len(first.unique()) <= 2**bits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dense_and_sparse_features_and_graphs_without_edges(architecture, batch):
    network = ARCHITECTURES[architecture](FEATURES, CLASSES).eval()
    dense = batch.x.to_dense()
    for edges in (batch.edge_index, batch.edge_index[:, :0]):
        torch.testing.assert_close(network(batch.x, edges), network(dense, edges), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_with_masks_needs_the_degrees(architecture, make_scheme, batch):
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("dq"))
    with pytest.raises(ValueError, match="scheme dq draws masks: training needs degree_cdf"):
        network(batch.x, batch.edge_index)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_layer_gets_its_own_mask_or_all_the_same(architecture, shared, make_scheme, batch):
    scheme = make_scheme("dq", protection=ProtectionConfig(0.2, 0.8, shared))
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, scheme)
    masks = []
    for conv in network.convs:
        conv.register_forward_pre_hook(lambda _, __, named: masks.append(named["protect"]), with_kwargs=True)
    network(batch.x, batch.edge_index, batch.degree_cdf)
    assert torch.equal(masks[0], masks[1]) is shared
    assert 0.2 < masks[0].float().mean() < 0.8


@pytest.mark.parametrize(
    ("dataset", "network", "parameters"),
    [
        ("cora", lambda: GCN(1433, 7), 23_063),
        ("cora", lambda: GAT(1433, 7), 92_373),
        ("citeseer", lambda: GCN(3703, 6), 59_366),
        ("citeseer", lambda: GAT(3703, 6), 237_586),
        ("cora", lambda: GIN(1433, 7), 1433 * 16 + 16 + 16 * 7 + 7),
        ("cora", lambda: GraphSAGE(1433, 7), 2 * (1433 + 7) * 16 + 16 + 7),
        ("cora", lambda: GIN(1433, 7, mlp_layers=2, learn_eps=True), 1434 * 16 + 3 * 17 * 16 - 17 * 9 + 2),
    ],
)
def test_parameter_counts(dataset, network, parameters):
    assert sum(p.numel() for p in network().parameters()) == parameters


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        *((lambda k=k: k(5, 3, layers=0), "layers and hidden must be at least 1, got 0, ") for k in (GCN, GAT, GIN)),
        *((lambda k=k: k(5, 3, hidden=0), "layers and hidden must be at least 1, got 2, 0") for k in (GCN, GAT, GIN)),
        *((lambda p=p: GCN(5, 3, dropout=p), rf"GCN: dropout must lie in \[0, 1\), got {p}") for p in (-0.1, 1.0)),
        *(
            (lambda p=p: GAT(5, 3, attention_dropout=p), rf"GAT: attention_dropout must lie in \[0, 1\), got {p}")
            for p in (-0.1, 1.0)
        ),
        (lambda: GAT(5, 3, attention_start="stock"), "GAT: attention_start must be joint or separate, got stock"),
        (lambda: GAT(5, 3, heads=0), "GAT: heads must be at least 1, got 0"),
        (lambda: GIN(5, 3, mlp_layers=0), "GIN: mlp_layers must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize("activation", ["relu", "elu"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hidden_inputs_are_unsigned_behind_a_relu_only(architecture, activation, make_scheme):
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("qat"), layers=3, activation=activation)
    assert [conv.inputs.config.signed for conv in network.convs] == [True] + [activation == "elu"] * 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_site_names_are_unique_and_dotted_by_layer(architecture, make_scheme):
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("qat"), layers=3)
    names = [site.name for site in quantizers(network)]
    assert len(names) == len(set(names))
    assert {".".join(name.split(".")[:2]) for name in names} == {"convs.0", "convs.1", "convs.2"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_matrix_has_a_site_of_its_own(architecture, make_scheme):
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("qat"), embedding="linear")
    for layer in network.modules():
        matrices = {name for name, parameter in layer.named_parameters(recurse=False) if parameter.dim() > 1}
        sites = [site.parameter for site in layer.children() if isinstance(site, Site) and site.parameter]
        assert sorted(sites) == sorted(matrices), layer


@pytest.mark.parametrize("readout", [None, ReadoutConfig(), ReadoutConfig("sum", [7], every_layer=True)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_output_site_is_the_one_that_writes_the_logits(architecture, readout, make_scheme, batch):
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("qat"), readout=readout).train()
    written = []
    network.output_site.register_forward_hook(lambda site, inputs, output: written.append(output))
    assert network(batch.x, batch.edge_index) is written[-1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_trained_network_continues_elsewhere(architecture, make_scheme, batch, train):
    scheme = make_scheme("dq", 4)
    network = train(ARCHITECTURES[architecture](FEATURES, CLASSES, scheme), batch, 3).eval()
    fresh = ARCHITECTURES[architecture](FEATURES, CLASSES, scheme).eval()
    fresh.load_state_dict(network.state_dict())
    expected = network(batch.x, batch.edge_index)
    for other in (fresh, pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert torch.equal(other(batch.x, batch.edge_index), expected)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("scheme", ["qat", "lsq", "columns", "dq"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_integer_program_computes_what_was_trained(variant, scheme, bits, make_scheme, batch, train, tmp_path):
    kind, arguments = VARIANTS[variant]
    task = NodeClassification(lambda i, o, s: kind(i, o, s, **arguments), FEATURES, CLASSES, make_scheme(scheme, bits))
    train(task.network, batch)
    codes, _ = trained_codes(task, batch)
    assert all(len(code.flatten()) and code.std() > 0 for code in codes.values())
    report = compare(task, GivenBatches(batch), save_program(task.network.lower(), tmp_path))
    assert report["codes"] == sum(code.size for code in codes.values())
    assert set(codes) == {site.name for site in quantizers(task) if site.domain != "parameter"}
    assert report["codes_differing"] <= report["codes"] / 10_000, report
    assert report["largest_difference"] <= 1, report
    assert report["ties"] <= report["codes_differing"], report
    assert report["predictions"] == NODES
    assert report["margin_violations"] == 0, report


@pytest.mark.parametrize("at_once", [500, 7001])
@pytest.mark.parametrize("variant", ["gcn edge", "gat relu", "sage"])
def test_codes_are_made_and_compared_in_blocks_as_at_once(
    variant, at_once, make_scheme, batch, train, tmp_path, monkeypatch
):
    kind, arguments = VARIANTS[variant]
    task = NodeClassification(lambda i, o, s: kind(i, o, s, **arguments), FEATURES, CLASSES, make_scheme("dq", 4))
    train(task.network, batch)
    program = save_program(task.network.lower(), tmp_path)
    other = copy.deepcopy(task)
    other.network.load_state_dict({name: 1.1 * value if "weight" in name else value
                                   for name, value in task.network.state_dict().items()})  # fmt: skip
    whole, report = trained_codes(other, batch)[0], compare(other, GivenBatches(batch), program)
    assert report["codes_differing"] > 0
    assert report["ties"] > 0
    monkeypatch.setattr(exactness, "AT_ONCE", at_once)
    codes, _ = trained_codes(other, batch)
    assert list(codes) == list(whole)
    assert all(np.array_equal(codes[name], whole[name]) for name in codes)
    assert compare(other, GivenBatches(batch), program) == report


def test_a_site_that_the_program_lacks_is_not_passed_over():
    codes, trace = {"update": np.zeros(1, np.int8)}, [("logits", np.zeros(1, np.float32))]
    with pytest.raises(KeyError, match="update"):
        exactness.compare_in_turn({}, codes, trace, number="codes_differing", largest="largest_difference")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_mixed_bits_are_computed_as_trained(architecture, make_scheme, batch, train, tmp_path):
    overrides = [SiteOverride("*.weights", bits=4), SiteOverride("convs.1.*", bits=6)]
    scheme = make_scheme("qat", 8, overrides=overrides)
    task = NodeClassification(ARCHITECTURES[architecture], FEATURES, CLASSES, scheme)
    train(task.network, batch)
    report = compare(task, GivenBatches(batch), save_program(task.network.lower(), tmp_path))
    assert report["codes_differing"] <= report["codes"] / 10_000, report
    assert report["margin_violations"] == 0, report


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lowering_needs_every_site_quantized_and_seen(architecture, make_scheme, batch, train):
    with pytest.raises(ValueError, match=r"site convs\.0\.inputs is in FP32"):
        ARCHITECTURES[architecture](FEATURES, CLASSES).lower()
    with pytest.raises(ValueError, match=r"site convs\.0\.inputs: its range tracker has not seen any data"):
        ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("qat")).lower()
    scheme = make_scheme("qat", 8, overrides=[SiteOverride("convs.1.update", bits=32)])
    network = train(ARCHITECTURES[architecture](FEATURES, CLASSES, scheme), batch, 1)
    with pytest.raises(ValueError, match=r"site convs\.1\.update is in FP32"):
        network.lower()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lowering_changes_nothing_and_keeps_the_manifest(architecture, make_scheme, batch, train):
    network = train(ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("dq")), batch, 2).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    program = network.lower({"made": "here"})
    assert program.manifest == {"made": "here"}
    assert (program.in_features, program.out_features) == (FEATURES, CLASSES)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert any(isinstance(module, FakeQuantize) for module in network.modules())
