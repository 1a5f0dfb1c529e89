from __future__ import annotations

from copy import deepcopy
from functools import partial
from itertools import product

import pytest
import torch
from torch_geometric.data import Batch, Data

from models.architectures import GAT, GCN, GIN, GraphSAGE
from models.layers import ReadoutConfig
from models.layers.graph import Graph
from models.quantization.fused import gpu
from models.tasks import GraphClassification, GraphRegression, NodeClassification, NodeMultilabel, on_device
from tests.fake_gpu import GPU, fake_gpu, host_waits, unordered_sums


def test_a_graph_stays_where_it_is_and_its_copy_is_on_the_device(graphs):
    graph = graphs[5]
    with fake_gpu():
        there = on_device(graph, GPU)
        assert all(part.device == GPU for part in there.to_dict().values())
        assert all(torch.equal(there[name].cpu(), part) for name, part in graph.to_dict().items())
    assert all(part.device.type == "cpu" for part in graph.to_dict().values())


def test_a_graph_is_moved_once_until_it_is_written_to(graphs):
    graph = graphs[5]
    with fake_gpu():
        first = on_device(graph, GPU)
        again = on_device(graph, GPU)
        assert all(again[name] is part for name, part in first.to_dict().items())
        graph.x[0] = 7.0
        written = on_device(graph, GPU)
        assert torch.equal(written.x.cpu(), graph.x)
        assert written.edge_index is first.edge_index


def test_what_is_there_already_stays_the_object_it_is(graphs):
    there = on_device(graphs[5], torch.device("cpu"))
    assert all(there[name] is part for name, part in graphs[5].to_dict().items())


def test_a_batch_of_graphs_is_moved_with_all_that_says_whose_nodes_are_whose(graphs):
    batch = Batch.from_data_list(graphs)
    with fake_gpu():
        there = on_device(batch, GPU)
        assert there.batch.device == there.ptr.device == GPU
    assert (there.num_graphs, there.num_nodes) == (batch.num_graphs, batch.num_nodes)
    assert batch.batch.device.type == "cpu"


def test_what_evaluation_has_moved_serves_training(graphs):
    with fake_gpu():
        with torch.inference_mode():
            there = on_device(graphs[5], GPU)
        assert not there.x.is_inference()


def test_a_batch_of_another_kind_is_moved_as_lightning_does(graph_gin):
    task = GraphClassification(graph_gin, 4, 2)
    with fake_gpu():
        (moved,) = task.transfer_batch_to_device([torch.ones(3)], GPU, 0)
        assert moved.device == GPU


def test_a_checkpoint_says_what_it_was_trained_on(graph_gin, graphs, fit, tmp_path):
    task = GraphClassification(graph_gin, 4, 2)
    fit(task, graphs, 1).save_checkpoint(tmp_path / "half.ckpt", weights_only=False)
    checkpoint = torch.load(tmp_path / "half.ckpt", weights_only=True)
    assert checkpoint["trained_on"] == ["cpu"]
    task.on_load_checkpoint({"trained_on": ["cuda"]})
    task.on_save_checkpoint(checkpoint)
    assert checkpoint["trained_on"] == ["cuda", "cpu"]


def test_a_batch_that_the_datamodule_keeps_is_trained_on_as_its_copy(graph_gin, graphs):
    task = GraphClassification(graph_gin, 4, 2)
    graph = Data(**graphs[5].to_dict())
    with fake_gpu():
        task.to(GPU)
        task(task.transfer_batch_to_device(graph, GPU, 0)).sum().backward()
        assert all(parameter.device == GPU for parameter in task.parameters())
    assert graph.x.device.type == "cpu"


def graphs_network(kind):
    return lambda i, o, scheme: kind(i, o, scheme, hidden=8, layers=2, dropout=0.5, readout=ReadoutConfig("mean"))


def nodes_network(kind):
    return lambda i, o, scheme: kind(i, o, scheme, hidden=8, dropout=0.5)


def waits_of_a_step(task, *batches):
    """What the host waits for in a training step on the last of the batches, after steps on the others."""
    return seen_in_a_step(host_waits(), task, *batches)


def seen_in_a_step(seen, task, *batches):
    """What `seen` counts in a training step on the last of the batches, after steps on the others."""
    task.train()
    optimizer = torch.optim.Adam(task.to(GPU).parameters(), lr=1e-3)

    def step(batch):
        optimizer.zero_grad()
        loss, *_ = task.loss(task.transfer_batch_to_device(batch, GPU, 0), "train")
        loss.backward()
        optimizer.step()

    for batch in batches[:-1]:
        step(batch)
    with seen as counts:
        step(batches[-1])
    return counts


OTHERS = product((GAT, GIN, GraphSAGE), ("dq", "lsq"))
CASES = [*((GCN, scheme) for scheme in ("fp32", "nqat", "columns", "dq", "lsq")), *OTHERS]


@pytest.mark.parametrize(("network", "scheme"), CASES)
def test_no_step_on_batches_waits_for_the_gpu(network, scheme, graphs, make_scheme):
    """Every batch is another object, as it is from a loader."""
    task = GraphClassification(graphs_network(network), 4, 2, scheme=make_scheme(scheme))
    with fake_gpu():
        batches = [Batch.from_data_list(graphs[first : first + 5]) for first in (0, 5)]
        assert not waits_of_a_step(task, *batches, batches[0].clone())


@pytest.mark.parametrize(("network", "scheme"), CASES)
def test_no_batch_but_the_first_of_an_evaluation_waits_for_the_gpu(network, scheme, graphs, make_scheme):
    task = GraphClassification(graphs_network(network), 4, 2, scheme=make_scheme(scheme))
    with fake_gpu():
        batches = [Batch.from_data_list(graphs[first : first + 5]) for first in (0, 5)]
        waits_of_a_step(task, *batches)
        task.eval()
        with torch.inference_mode():
            task.loss(task.transfer_batch_to_device(batches[0].clone(), GPU, 0), "val")
            with host_waits() as waits:
                task.loss(task.transfer_batch_to_device(batches[1].clone(), GPU, 0), "val")
    assert not waits


@pytest.mark.parametrize(("network", "scheme"), CASES)
def test_no_step_on_batches_adds_in_an_order_that_changes(network, scheme, graphs, make_scheme):
    """Or a run that is resumed would not be the one that was not interrupted."""
    task = GraphClassification(graphs_network(network), 4, 2, scheme=make_scheme(scheme))
    with fake_gpu():
        batches = [Batch.from_data_list(graphs[first : first + 5]) for first in (0, 5)]
        assert not seen_in_a_step(unordered_sums(), task, *batches)


def gradients_of(task, batch):
    """Gradients of a training step by name, on the host."""
    task.train()
    loss, *_ = task.loss(task.transfer_batch_to_device(batch, next(task.parameters()).device, 0), "train")
    loss.backward()
    return {name: parameter.grad.cpu() for name, parameter in task.named_parameters() if parameter.grad is not None}


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, for no fake tensors")
@pytest.mark.parametrize(("network", "scheme"), [(GCN, "fp32"), (GAT, "fp32"), (GIN, "qat"), (GraphSAGE, "dq")])
def test_sums_along_edges_are_those_of_the_host_to_the_last_bit(network, scheme, graphs, make_scheme, monkeypatch):
    """With the kernels of a GPU, by Triton's interpreter; products are the host's in either case."""
    pytest.importorskip("triton", reason="triton is not installed: no wheel for this machine")
    batch = Batch.from_data_list(graphs[:4])
    here = GraphClassification(graphs_network(network), 4, 2, scheme=make_scheme(scheme))
    there = deepcopy(here)
    torch.manual_seed(1)
    expected = gradients_of(here, batch)
    monkeypatch.setattr(gpu, "compiles", lambda: True)
    torch.manual_seed(1)
    with fake_gpu():
        got = gradients_of(there.to(GPU), batch)
    assert got.keys() == expected.keys()
    assert {name for name in expected if not torch.equal(got[name], expected[name])} == set()


@pytest.mark.parametrize(("network", "scheme"), [(GCN, "fp32"), (GCN, "lsq"), (GCN, "dq"), (GAT, "dq"), (GIN, "dq")])
def test_no_step_on_one_graph_waits_for_the_gpu(network, scheme, graphs, make_scheme, bag_of_words):
    graph = graphs[9].clone()
    nodes = graph.num_nodes
    graph.x, graph.y = bag_of_words(nodes, 4, 0.5).to_sparse_csr(), torch.randint(3, (nodes,))
    graph.train_mask = torch.arange(nodes) % 2 == 0
    task = NodeClassification(nodes_network(network), 4, 3, scheme=make_scheme(scheme))
    with fake_gpu():
        assert not waits_of_a_step(task, graph, graph)


def test_the_loss_of_known_targets_is_that_of_the_host_and_does_not_wait(graphs, make_scheme):
    graph = graphs[9].clone()
    graph.y = torch.randint(2, (graph.num_nodes, 3)).float()
    graph.y[0, 1] = torch.nan
    graph.train_mask = torch.arange(graph.num_nodes) < 6
    task = NodeMultilabel(nodes_network(GCN), 4, 3, scheme=make_scheme("fp32"))
    expected, *_ = task.eval().loss(graph, "train")
    with fake_gpu():
        loss, *_ = task.to(GPU).loss(task.transfer_batch_to_device(graph, GPU, 0), "train")
        torch.testing.assert_close(loss.cpu(), expected)
        assert not waits_of_a_step(task, graph, graph)


def test_a_number_of_a_graph_does_not_make_the_host_wait(graphs, make_scheme):
    batch = Batch.from_data_list(graphs)
    batch.y = torch.rand(len(graphs), 1)
    task = GraphRegression(graphs_network(GIN), 4, 1, scheme=make_scheme("dq"))
    with fake_gpu():
        assert not waits_of_a_step(task, batch, batch.clone())


@pytest.mark.parametrize("scheme", ["fp32", "dq"])
def test_categories_of_nodes_do_not_make_the_host_wait(scheme, graphs, make_scheme):
    batches = [Batch.from_data_list(graphs[first : first + 5]) for first in (0, 5)]
    for batch in batches:
        batch.x, batch.y = torch.randint(4, (batch.num_nodes, 1)), torch.rand(5)
    network = partial(GIN, hidden=8, layers=2, dropout=0.0, embedding="categorical", readout=ReadoutConfig("sum"))
    task = GraphRegression(network, 4, 1, scheme=make_scheme(scheme))
    with fake_gpu():
        assert not waits_of_a_step(task, *batches)


DERIVED = ("source", "target", "symmetric_norm", "inverse_degree")


@pytest.mark.parametrize("weighted", [False, True])
def test_a_graph_on_the_gpu_is_that_of_the_host(graphs, weighted):
    """What layers derive of it, with self-loops or without."""
    graph = graphs[9].clone()
    if weighted:
        graph.edge_weight = torch.rand(graph.num_edges)
    here = Graph.of(graph.edge_index, graph.num_nodes, graph.get("edge_weight"))
    with fake_gpu():
        moved = on_device(graph, GPU)
        with host_waits() as waits:
            there = Graph.of(moved.edge_index, graph.num_nodes, moved.get("edge_weight"))
            pairs = [(here, there), (here.with_self_loops, there.with_self_loops)]
            found = [[getattr(of_device, name) for name in DERIVED] for _, of_device in pairs]
        assert not waits
        for (of_host, _), of_device in zip(pairs, found, strict=True):
            for name, value in zip(DERIVED, of_device, strict=True):
                assert value.device == GPU
                assert torch.equal(value.cpu(), getattr(of_host, name))


def test_a_graph_that_is_wrong_is_refused_before_it_is_on_the_gpu(graphs):
    graph = graphs[9].clone()
    graph.edge_index = graph.edge_index + graph.num_nodes
    with fake_gpu(), pytest.raises(ValueError, match="nodes must lie in"):
        on_device(graph, GPU)
