"""Networks that read out graphs, under every scheme: gradients, batches, exact integer programs, parameter counts."""

from __future__ import annotations

import copy
import pickle
from fnmatch import fnmatchcase
from functools import partial

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from app.engine import Executable
from app.engine.program.io import save_program
from app.runs.exactness import compare, compare_with_float64, trained_codes
from models.architectures import ARCHITECTURES, GAT, GCN, GIN, GraphSAGE
from models.layers import ReadoutConfig
from models.quantization.control import quantizers
from models.tasks import GraphClassification, GraphRegression, NodeClassification
from tests.models.given_batches import GivenBatches

FEATURES, CLASSES = 5, 3
SCHEMES = [("fp32", 32), *((name, bits) for name in ("qat", "nqat", "lsq", "dq") for bits in (8, 4))]

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")


def trained(task, graphs, steps=5, features=FEATURES):
    """The task after steps of Adam on fresh batches."""
    optimizer = torch.optim.Adam(task.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(graphs(24, features), "train")[0].backward()
        optimizer.step()
    return task.eval()


@pytest.mark.parametrize(("scheme", "bits"), SCHEMES)
def test_every_parameter_gets_a_gradient_and_evaluation_is_deterministic(
    graph_network, scheme, bits, make_scheme, graphs
):
    task = GraphClassification(graph_network, FEATURES, CLASSES, make_scheme(scheme, bits))
    batch = graphs(40)
    task.loss(batch, "train")[0].backward()
    for name, parameter in task.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    task.eval()
    first, second = (task(batch) for _ in range(2))
    assert first.shape == (40, CLASSES)
    assert torch.equal(first, second)


def test_a_graph_does_not_know_what_it_is_batched_with(graph_network, make_scheme, graphs):
    for scheme, tolerance in (("fp32", 1e-5), ("dq", 1e-5)):
        task = trained(GraphClassification(graph_network, FEATURES, CLASSES, make_scheme(scheme)), graphs, 2)
        batch = graphs(12)
        alone = torch.cat([task(Batch.from_data_list([graph])) for graph in batch.to_data_list()])
        torch.testing.assert_close(task(batch), alone, rtol=1e-5, atol=tolerance)
        network = task.network
        torch.testing.assert_close(network(batch.x, batch.edge_index, batch=batch.batch), alone, rtol=1e-5, atol=1e-5)
        place = torch.randperm(len(batch.x))
        x, numbers = torch.empty_like(batch.x), torch.empty_like(batch.batch)
        x[place], numbers[place] = batch.x, batch.batch
        moved = network(x, place[batch.edge_index], batch=numbers, num_graphs=14)
        torch.testing.assert_close(moved[:12], alone, rtol=1e-5, atol=1e-5)
        assert torch.equal(moved[12], moved[13])


def check_exactness(task, batches, folder):
    """Both backends equal; every op computes from the trained codes what was trained; predictions of the whole agree.

    A tie that is decided differently, which happens in about one code in a million, is seen by all layers behind
    it and stretched by BatchNorm: over the whole program the bounds on codes are ten times those of an op.
    """
    program = task.network.lower()
    save_program(program, folder)
    for batch in batches:
        arguments = batch.edge_index, batch.batch, batch.num_graphs
        backends = [Executable(program, backend) for backend in ("compiled", "reference")]
        got, expected = (executable.trace(batch.x, *arguments) for executable in backends)
        for name, value in expected.items():
            if value.dtype != np.float32:
                np.testing.assert_array_equal(got[name], value, err_msg=name)
        np.testing.assert_array_equal(got["logits"], expected["logits"])
    report = compare(task, GivenBatches(*batches), folder)
    assert report["predictions"] == sum(batch.num_graphs for batch in batches)
    assert report["ties"] <= report["codes"] / 10_000, report
    assert report["largest_tie"] <= 1, report
    assert report["codes_differing"] <= report["codes"] / 1_000, report
    assert report["margin_violations"] == 0, report


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("scheme", ["qat", "lsq", "dq", "ends8", "symmetric", "power_of_two"])
def test_the_integer_program_computes_what_was_trained(graph_network, scheme, bits, make_scheme, graphs, tmp_path):
    task = GraphClassification(graph_network, FEATURES, CLASSES, make_scheme(scheme, bits))
    trained(task, graphs)
    batches = [graphs(20), graphs(5)]
    codes, _ = trained_codes(task, batches[0])
    assert all(code.std() > 0 for code in codes.values())
    assert set(codes) == {site.name for site in quantizers(task) if site.domain != "parameter"}
    check_exactness(task, batches, tmp_path)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
@pytest.mark.parametrize(("every_layer", "hidden"), [(True, []), (False, [6, 4]), (True, [6])])
def test_with_the_roundings_that_are_needed_the_program_is_as_exact(
    every_layer, hidden, pool, bits, make_scheme, graphs, tmp_path
):
    def made(roundings):
        config = ReadoutConfig(pool=pool, every_layer=every_layer, hidden=hidden, roundings=roundings)
        sizes = {"hidden": 8, "layers": 2, "dropout": 0.0, "batch_norm": "before", "residual": True}
        torch.manual_seed(1)
        return GraphClassification(
            partial(GIN, **sizes, embedding="linear", readout=config), FEATURES, CLASSES, make_scheme("dq", bits)
        )

    task, usual = made("needed"), made("all")
    names, others = ({site.name for site in quantizers(part)} for part in (task, usual))
    heads = 3 if every_layer else 1
    left_out = {f"readout.heads.{i}.0.inputs" for i in range(heads)} | ({"readout.scores"} if every_layer else set())
    features = {f"readout.heads.{i}.{k}.features" for i in range(heads) for k in range(len(hidden) + 1)}
    assert others - names == left_out | features
    assert names < others
    trained(task, graphs)
    program = task.network.lower()
    assert program.ops[-1].kind == "linear"
    assert not any(op.kind == "dequantize" for op in program.ops)
    assert sum("pooled" in op.attributes for op in program.ops) == (0 if pool == "max" else heads)
    check_exactness(task, [graphs(20), graphs(5)], tmp_path)


SUMMED = {"convs.?.inputs", "convs.?.aggregate", "convs.?.update"}
LEFT_OUT = {
    "gcn": (GCN, {}, SUMMED),
    "gcn factored": (GCN, {"norm": "factored"}, SUMMED),
    "gat": (GAT, {}, SUMMED),
    "gat averaged": (GAT, {"concat": False}, {"convs.?.inputs", "convs.?.update"}),
    "gin": (
        GIN,
        {"mlp_layers": 2, "mlp_batch_norm": True, "learn_eps": True},
        {"convs.?.inputs", "convs.?.message", "convs.?.mlp.*.features", "convs.?.update"},
    ),
    "sage": (GraphSAGE, {}, {"convs.?.inputs", "convs.?.message"}),
}
"""By name an architecture, settings of it, and the sites that it can do without if it has residuals."""


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_network_with_the_roundings_that_are_needed_has_an_exact_program(name, bits, make_scheme, graphs, tmp_path):
    architecture, extra, left_out = LEFT_OUT[name]
    sizes = {"hidden": 8, "layers": 2, "dropout": 0.0, "batch_norm": "before", "residual": True, "activation": "relu"}

    def made(roundings, scheme):
        torch.manual_seed(1)
        config = {"embedding": "linear", "readout": ReadoutConfig(), "roundings": roundings}
        return GraphClassification(partial(architecture, **sizes, **extra, **config), FEATURES, CLASSES, scheme)

    task, usual = (made(roundings, make_scheme("dq", bits)) for roundings in ("needed", "all"))
    names, others = ({site.name for site in quantizers(part)} for part in (task, usual))
    assert names < others
    of_convs = {site for site in others - names if site.startswith("convs.")}
    assert of_convs == {site for site in others if any(fnmatchcase(site, glob) for glob in left_out)}
    for part in (task, usual):
        trained(part, graphs)
    programs = [part.network.lower() for part in (task, usual)]
    assert len(programs[0].ops) < len(programs[1].ops)
    if "convs.?.aggregate" in left_out:
        assert not any(op.kind == "requantize" for op in programs[0].ops), "the sums end with bias and BatchNorm"
    check_exactness(task, [graphs(20), graphs(5)], tmp_path)
    in_float = [made(roundings, make_scheme("fp32", 32)).eval() for roundings in ("needed", "all")]
    batch = graphs(7)
    assert torch.equal(in_float[0](batch), in_float[1](batch))


@pytest.mark.parametrize("make", [lambda word: GCN(3, 2, roundings=word), lambda word: ReadoutConfig(roundings=word)])
def test_another_word_for_roundings_is_refused(make):
    with pytest.raises(ValueError, match="roundings: expected all or needed, got 'few'"):
        make("few")


def test_program_and_float32_are_compared_with_float64(graph_network, make_scheme, graphs, tmp_path):
    """Three evaluations of one model, two by two: the trained one, the same in float64, the program."""
    task = trained(GraphClassification(graph_network, FEATURES, CLASSES, make_scheme("dq", 8)), graphs)
    batches = GivenBatches(*(graphs(200) for _ in range(3)))
    program = save_program(task.network.lower(), tmp_path)
    pairs = compare_with_float64(task, batches, program)
    names = ("codes_differing", "largest_difference", "predictions_differing", "margin_violations")
    alone = compare(task, batches, program)
    assert pairs["program / trained in float32"] == {name: alone[name] for name in names}
    one, two, three = (pair["codes_differing"] for pair in pairs.values())
    assert 2 * max(one, two, three) <= one + two + three  # where two differ, a third differs from one of them
    assert pairs["program / in float64"]["codes_differing"] <= alone["codes"] / 1_000
    assert all(parameter.dtype == torch.float32 for parameter in task.parameters())


@pytest.mark.parametrize("bits", [8, 4])
def test_categories_and_regression(graph_network, bits, make_scheme, graphs, tmp_path):
    def build(i, o, scheme):
        return graph_network(i, o, scheme, embedding="categorical")

    task = GraphRegression(build, 9, 1, make_scheme("dq", bits))
    trained(task, graphs, features=None)
    check_exactness(task, [graphs(20, None)], tmp_path)
    with pytest.raises(ValueError, match=r"^x: expected whole numbers from 0 to 8, got 9"):
        Executable(task.network.lower()).run(torch.tensor([[9]]), torch.empty(2, 0, dtype=torch.int64))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nodes_are_classified_by_the_same_blocks(architecture, make_scheme, graphs, tmp_path):
    """BatchNorm, residual sums and an embedding do not ask for a readout."""
    settings = {"batch_norm": "before", "residual": True, "embedding": "linear", "layers": 3, "activation": "relu"}
    network = ARCHITECTURES[architecture](FEATURES, CLASSES, make_scheme("qat"), **settings)
    batch = graphs(20)
    for _ in range(3):
        logits = network(batch.x, batch.edge_index, batch.degree_cdf)
    network.eval()
    assert logits.shape == (batch.num_nodes, CLASSES)
    logits = network(batch.x, batch.edge_index).detach().numpy()
    got = Executable(network.lower()).run(batch.x, batch.edge_index)
    np.testing.assert_allclose(got, logits, atol=list(quantizers(network))[-1].grid().scale * 1.01)
    assert (got != logits).mean() < 0.01


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("embedding", [None, "linear"])
@pytest.mark.parametrize("readout", [None, ReadoutConfig(), ReadoutConfig("sum", every_layer=True)])
@pytest.mark.parametrize("batch_norm", [None, "before", "after"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_combination_of_blocks_has_an_exact_program(
    architecture, batch_norm, readout, embedding, residual, make_scheme, graphs, tmp_path
):
    settings = {"batch_norm": batch_norm, "readout": readout, "embedding": embedding, "residual": residual}
    settings |= {"layers": 3, "activation": "relu", "dropout": 0.0}
    kind = ARCHITECTURES[architecture]
    learns = GraphClassification if readout else NodeClassification
    task = learns(lambda i, o, s: kind(i, o, s, **settings), FEATURES, CLASSES, make_scheme("qat"))
    batch = graphs(12)
    for _ in range(2):
        task(batch)
    report = compare(task.eval(), GivenBatches(batch), save_program(task.network.lower(), tmp_path))
    assert report["ties"] <= report["codes"] / 10_000, report
    assert report["largest_tie"] <= 1, report
    assert report["margin_violations"] == 0, report


def test_an_empty_graph_and_one_without_edges(graph_network, make_scheme, graphs):
    task = trained(GraphClassification(graph_network, FEATURES, CLASSES, make_scheme("qat")), graphs, 3)
    x, edges, numbers = torch.randn(3, FEATURES), torch.empty(2, 0, dtype=torch.int64), torch.tensor([0, 0, 2])
    logits = task.network(x, edges, None, numbers, 4)
    assert torch.equal(logits[1], logits[3])
    got = Executable(task.network.lower()).run(x, edges, numbers, 4)
    np.testing.assert_allclose(got, logits.detach().numpy(), atol=1e-6)


def test_a_trained_network_continues_elsewhere(graph_network, make_scheme, graphs):
    scheme = make_scheme("dq", 4)
    task = trained(GraphClassification(graph_network, FEATURES, CLASSES, scheme), graphs, 3)
    fresh = GraphClassification(graph_network, FEATURES, CLASSES, scheme).eval()
    fresh.load_state_dict(task.state_dict())
    batch = graphs(6)
    for other in (fresh.network, pickle.loads(pickle.dumps(task.network)), copy.deepcopy(task.network)):
        assert torch.equal(other(batch.x, batch.edge_index, None, batch.batch, 6), task(batch))


BLOCKS = {"layers": 4, "batch_norm": "before", "residual": True}
EVERY = {**BLOCKS, "hidden": 110, "mlp_layers": 2, "mlp_batch_norm": True, "learn_eps": True,
         "readout": ReadoutConfig("sum", every_layer=True)}  # fmt: skip


def gcn_of(hidden, widths):
    return {**BLOCKS, "hidden": hidden, "readout": ReadoutConfig("mean", widths)}


def gat_of(hidden, widths):
    return {**gcn_of(hidden, widths), "activation": "relu"}


@pytest.mark.parametrize(
    ("kind", "ends", "settings", "parameters"),
    [
        (GCN, (3, 10), {**gcn_of(146, [73, 36]), "embedding": "linear"}, 101_365),
        (GAT, (3, 10), {**gat_of(19, [76, 38]), "embedding": "linear"}, 110_400),
        (GIN, (3, 10), {**EVERY, "embedding": "linear"}, 105_434),
        (GCN, (5, 10), {**gcn_of(146, [73, 36]), "embedding": "linear"}, 101_657),
        (GAT, (5, 10), {**gat_of(19, [76, 38]), "embedding": "linear"}, 110_704),
        (GIN, (5, 10), {**EVERY, "embedding": "linear"}, 105_654),
        (GCN, (28, 1), {**gcn_of(145, [72, 36]), "embedding": "categorical"}, 103_077),
        (GAT, (28, 1), {**gat_of(18, [72, 36]), "embedding": "categorical"}, 102_385),
        (GIN, (28, 1), {**EVERY, "embedding": "categorical"}, 103_079),
    ],
)
def test_parameter_counts_of_the_benchmark(kind, ends, settings, parameters):
    """MNIST, CIFAR-10 and ZINC as Dwivedi et al. (2020) count them."""
    assert sum(p.numel() for p in kind(*ends, **settings).parameters()) == parameters


def test_parameter_count_of_reddit_binary():
    settings = {"hidden": 64, "layers": 5, "mlp_layers": 2, "learn_eps": True, "batch_norm": "after"}
    network = GIN(1, 2, **settings, readout=ReadoutConfig("mean", [64], 0.5))
    assert sum(p.numel() for p in network.parameters()) == 42_503
