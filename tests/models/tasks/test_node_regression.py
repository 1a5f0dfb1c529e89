"""Regression of nodes: which nodes count in a stage, and how far off they are."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import l1_loss

from models.tasks import NodeRegression


@pytest.mark.parametrize(("stage", "rows"), [("train", [0, 1]), ("val", [2, 3, 4]), ("test", [9])])
def test_nodes_of_a_stage_are_those_of_its_mask(stage, rows, graphs, node_gin):
    batch = graphs[9]
    batch.y = torch.rand(10)
    batch[f"{stage}_mask"] = torch.zeros(10, dtype=torch.bool).index_fill(0, torch.tensor(rows), True)
    task = NodeRegression(node_gin, 4, 1).eval()
    loss, predictions, targets = task.loss(batch, stage)
    assert torch.equal(predictions, task(batch)[rows])
    assert torch.equal(targets, batch.y[rows, None])
    assert loss == l1_loss(predictions, targets)


def test_the_smallest_error_chooses_the_epoch(node_gin):
    assert NodeRegression(node_gin, 4, 1).monitor == ("val/mae", "min")
