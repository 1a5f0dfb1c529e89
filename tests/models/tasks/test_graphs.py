"""Tasks about graphs: a number, for which loss and metric are the mean absolute error; several numbers, and labels."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from models.tasks import GraphMultilabel, GraphRegression


@pytest.fixture
def sized_graphs(graphs):
    """Graphs whose target is their number of nodes."""
    for graph in graphs:
        graph.y = graph.number
    return graphs


def absolute_error(task, graphs):
    batch = Batch.from_data_list(graphs)
    with torch.no_grad():
        return (task.eval()(batch)[:, 0] - batch.y).abs().mean()


@pytest.mark.parametrize("name", ["val/mae", "val/loss"])
def test_loss_and_metric_are_the_absolute_error(name, graph_gin, sized_graphs, fit):
    task = GraphRegression(graph_gin, 4, 1, lr=0.0)
    metrics = fit(task, sized_graphs, 1).callback_metrics
    torch.testing.assert_close(metrics[name], absolute_error(task, sized_graphs), rtol=1e-5, atol=1e-6)


def test_training_lowers_the_error(graph_gin, sized_graphs, fit):
    task = GraphRegression(graph_gin, 4, 1, lr=0.05)
    before = absolute_error(task, sized_graphs)
    assert fit(task, sized_graphs, 60).callback_metrics["train/mae"] < 0.6 * before


def test_the_smallest_error_chooses_the_epoch(graph_gin):
    assert GraphRegression(graph_gin, 4, 1).monitor == ("val/mae", "min")


def test_targets_may_have_a_column_dimension_or_none(graph_gin, sized_graphs):
    task, batch = GraphRegression(graph_gin, 4, 1).eval(), Batch.from_data_list(sized_graphs)
    flat = task.loss(batch, "val")[0]
    batch.y = batch.y[:, None].double()
    assert torch.equal(task.loss(batch, "val")[0], flat)


@pytest.mark.parametrize("kind", [GraphMultilabel, GraphRegression])
def test_several_targets_are_learned_and_what_is_not_known_is_left_out(kind, graph_gin, sized_graphs, fit):
    for number, graph in enumerate(sized_graphs):
        graph.y = torch.stack([graph.number > 0.3, graph.number > 0.7, graph.number > 2], 1).float()
        graph.y[:, number % 3] = torch.nan
    task = kind(graph_gin, 4, 3, lr=0.05, metrics=list(kind.target.choices))
    before = fit(task, sized_graphs, 1).callback_metrics["train/loss"]
    after = fit(task, sized_graphs, 40).callback_metrics
    assert after["train/loss"] < 0.6 * before
    assert {name.removeprefix("val/") for name in after if name.startswith("val/")} == {"loss", *kind.target.choices}
    assert all(value.isfinite() for value in after.values())
