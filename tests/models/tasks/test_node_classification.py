"""Classification of nodes: which nodes count in a stage."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from models.tasks import NodeClassification


@pytest.mark.parametrize(("stage", "rows"), [("train", [0, 1]), ("val", [2, 3, 4]), ("test", [9])])
def test_nodes_of_a_stage_are_those_of_its_mask(stage, rows, graphs, node_gin):
    batch = graphs[9]
    batch.y = torch.randint(3, (10,))
    batch[f"{stage}_mask"] = torch.zeros(10, dtype=torch.bool).index_fill(0, torch.tensor(rows), True)
    task = NodeClassification(node_gin, 4, 3).eval()
    loss, predictions, targets = task.loss(batch, stage)
    assert torch.equal(predictions, task(batch)[rows])
    assert torch.equal(targets, batch.y[rows])
    assert loss == cross_entropy(predictions, targets)


def test_the_largest_accuracy_chooses_the_epoch(node_gin):
    assert NodeClassification(node_gin, 4, 3).monitor == ("val/accuracy", "max")
