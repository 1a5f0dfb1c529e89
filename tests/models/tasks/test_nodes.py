"""Tasks about nodes: which nodes count in a stage, and what is minimised over them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss
from torch_geometric.data import Data

from datamodules.one_graph.clusters import Clusters
from models.tasks import NodeClassification, NodeMultilabel, NodeRegression

LEARNED = {
    "classes": (NodeClassification, 3, lambda: torch.randint(3, (10,)), cross_entropy, ("val/accuracy", "max")),
    "labels": (NodeMultilabel, 3, lambda: torch.randint(2, (10, 3)).float(), binary_cross_entropy_with_logits,
               ("val/accuracy", "max")),
    "a number": (NodeRegression, 1, lambda: torch.rand(10, 1), l1_loss, ("val/mae", "min")),
    "numbers": (NodeRegression, 4, lambda: torch.rand(10, 4), l1_loss, ("val/mae", "min")),
}  # fmt: skip


@pytest.mark.parametrize(("stage", "rows"), [("train", [0, 1]), ("val", [2, 3, 4]), ("test", [9])])
@pytest.mark.parametrize(("kind", "width", "draw", "criterion", "monitor"), LEARNED.values(), ids=LEARNED)
def test_nodes_of_a_stage_are_those_of_its_mask(stage, rows, graphs, node_gin, kind, width, draw, criterion, monitor):
    batch = graphs[9]
    batch.y = draw()
    batch[f"{stage}_mask"] = torch.zeros(10, dtype=torch.bool).index_fill(0, torch.tensor(rows), True)
    task = kind(node_gin, 4, width).eval()
    loss, predictions, targets = task.loss(batch, stage)
    assert torch.equal(predictions, task(batch)[rows])
    assert torch.equal(targets, batch.y[rows])
    assert loss == criterion(predictions, targets)
    assert task.monitor == monitor


def test_a_single_number_may_come_without_its_column(graphs, node_gin):
    batch, task = graphs[9], NodeRegression(node_gin, 4, 1).eval()
    batch.y, batch.val_mask = torch.rand(10), torch.arange(10) > 4
    assert torch.equal(task.loss(batch, "val")[2], batch.y[5:, None])


def test_the_parts_of_an_epoch_give_loss_and_gradient_of_the_whole_graph(node_gin):
    """Where no edge is cut; two parts have no training node at all."""
    own = torch.arange(12)
    graph = Data(x=torch.randn(12, 4), edge_index=torch.stack([own, own]), y=own % 3, train_mask=own < 5)
    graph.val_mask, graph.test_mask = own == 6, own == 7
    task = NodeClassification(node_gin, 4, 3)
    clusters = Clusters(graph, torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3]), 1)

    def loss_and_gradients(*batches: Data) -> list[torch.Tensor]:
        task.zero_grad()
        loss = torch.stack([task.loss(batch, "train")[0] for batch in batches]).mean()
        loss.backward()
        return [loss, *(parameter.grad.clone() for parameter in task.parameters())]

    in_parts = loss_and_gradients(*(clusters[torch.tensor([part])] for part in range(4)))
    for got, expected in zip(in_parts, loss_and_gradients(graph), strict=True):
        torch.testing.assert_close(got, expected)
