"""What all kinds of targets promise: unknown ones count nowhere, and which predictions are the same."""

from __future__ import annotations

import pytest
import torch
from torch import nan
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from models.conversion.prepared import prepare
from models.tasks import TASKS, NodeClassification, NodeMultilabel, NodeRegression
from models.tasks.targets import TARGETS, target_of

SEVERAL = {"multilabel": binary_cross_entropy_with_logits, "regression": l1_loss}


@pytest.fixture
def rows():
    """Outputs [6, 3] that learn, and targets of 0 and 1, of which some are not known; rows and columns differ in it."""
    outputs, targets = torch.randn(6, 3, requires_grad=True), (torch.rand(6, 3) > 0.5).float()
    targets[[0, 0, 2, 5], [0, 1, 2, 0]] = nan
    return outputs, targets


@pytest.mark.parametrize("task", TASKS)
def test_the_name_of_a_task_says_what_it_learns(task):
    assert target_of(task.kind) is task.target


def test_a_task_that_learns_nothing_known_is_refused():
    with pytest.raises(ValueError, match="task: expected node_ or graph_ and one of classification, multilabel, reg"):
        target_of("node_clustering")


@pytest.mark.parametrize("learned", SEVERAL)
def test_what_is_not_known_changes_neither_loss_nor_gradient(rows, learned):
    outputs, targets = rows
    known = ~targets.isnan()
    loss = TARGETS[learned].loss(outputs, targets)
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert torch.equal(loss, SEVERAL[learned](outputs[known], targets[known]))
    assert (gradient[~known] == 0).all()
    assert (gradient[known] != 0).all()


@pytest.mark.parametrize("learned", SEVERAL)
def test_where_all_is_known_the_loss_is_torchs_own(rows, learned):
    outputs, targets = rows[0], rows[1].nan_to_num(1.0)
    assert torch.equal(TARGETS[learned].loss(outputs, targets), SEVERAL[learned](outputs, targets))


@pytest.mark.parametrize("learned", SEVERAL)
def test_errors_of_rows_are_over_what_is_known(rows, learned):
    outputs, targets = rows[0].detach().double(), rows[1].double()
    errors = TARGETS[learned].errors(outputs, targets)
    for row, error in enumerate(errors):
        known = ~targets[row].isnan()
        wrong = ((outputs > 0) != (targets > 0)).double() if learned == "multilabel" else (outputs - targets).abs()
        torch.testing.assert_close(error, wrong[row][known].mean())


@pytest.mark.parametrize(
    ("learned", "expected", "computed", "differs", "beyond"),
    [
        ("classification", [0.3, 0.1], [0.1, 0.2], True, True),
        ("classification", [0.15, 0.1], [0.1, 0.2], True, False),
        ("classification", [0.3, 0.1], [9.0, -9.0], False, True),
        ("multilabel", [0.3, -0.1], [0.2, -9.0], False, False),
        ("multilabel", [0.3, -0.05], [0.2, 0.05], True, False),
        ("multilabel", [0.3, -0.2], [0.2, 0.05], True, True),
        ("multilabel", [0.0, 0.0], [0.1, 0.0], True, False),
        ("regression", [0.3, 0.1], [0.3, 0.1], False, False),
        ("regression", [0.3, 0.1], [0.3, 0.15], True, False),
        ("regression", [0.3, 9.0], [0.5, 9.0], True, True),
    ],
)
def test_predictions_differ_and_a_step_of_a_tenth_explains_it_or_not(learned, expected, computed, differs, beyond):
    found = TARGETS[learned].differing(torch.tensor([expected]), torch.tensor([computed]), 0.1)
    assert [bool(part) for part in found] == [differs, beyond]


def test_agreement_counts_decisions():
    expected, computed = torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([[1.0, 2.0], [-1.0, 1.0]])
    assert TARGETS["classification"].agreement(expected, computed) == 0.5
    assert TARGETS["multilabel"].agreement(expected, computed) == 0.75
    assert TARGETS["regression"].agreement(expected, computed) is None


def test_only_logits_of_classes_mean_the_same_when_all_of_a_row_grow():
    outputs = torch.tensor([[1.0, 3.0]])
    same = {learned: torch.equal(target.comparable(outputs), outputs) for learned, target in TARGETS.items()}
    assert same == {"classification": False, "multilabel": True, "regression": True}


class Ending(torch.nn.Module):
    """A linear layer with a function at its end."""

    def __init__(self, function):
        super().__init__()
        self.linear, self.function = torch.nn.Linear(4, 3), function

    def forward(self, x, edge_index):
        return self.function(self.linear(x))


ENDINGS = [
    *((NodeMultilabel, function) for function in (torch.sigmoid, torch.nn.Sigmoid(), torch.nn.LogSoftmax(dim=-1))),
    *((NodeClassification, function) for function in (torch.sigmoid, torch.nn.Softmax(dim=-1))),
]


@pytest.mark.parametrize(("task", "function"), ENDINGS)
def test_classes_and_labels_are_learned_from_logits(task, function):
    """A loss that applied a second softmax or sigmoid would hardly fall."""

    def make(i, o, scheme):
        return prepare(Ending(function), scheme)

    NodeRegression(make, 4, 3)
    with pytest.raises(
        ValueError, match=r"network Ending: ends in \w+, but this task learns from logits: leave it out"
    ):
        task(make, 4, 3)


def test_a_log_softmax_changes_nothing_of_the_loss():
    logits, classes = torch.randn(5, 3), torch.randint(3, (5,))
    loss = TARGETS["classification"].loss
    torch.testing.assert_close(loss(logits.log_softmax(1), classes), loss(logits, classes))
    NodeClassification(lambda _i, _o, scheme: prepare(Ending(torch.nn.LogSoftmax(dim=-1)), scheme), 4, 3)
