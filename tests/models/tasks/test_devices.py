from __future__ import annotations

import torch
from torch_geometric.data import Batch, Data

from models.tasks import GraphClassification, on_device
from tests.fake_gpu import GPU, fake_gpu


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
