"""Tasks about nodes: which nodes count in a stage, and what is minimised over them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss

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
