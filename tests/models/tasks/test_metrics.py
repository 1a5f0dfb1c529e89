"""Metrics by name: what they measure, in which unit, which of them are logged and which chooses the epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from models.tasks import GraphClassification, GraphRegression
from models.tasks.metrics import OF_CLASSES, OF_NUMBERS


def of_rows(choices, name, predictions, targets):
    """The metric over rows that come in two batches."""
    metric = choices[name].make(predictions.shape[1])
    for part in (slice(0, 7), slice(7, None)):
        metric.update(predictions[part], targets[part])
    return float(metric.compute())


@pytest.fixture
def classified():
    """Logits [40, 3], not separated well, and classes; some logits are far beyond where a softmax is 0 or 1."""
    targets = torch.arange(40) % 3
    logits = torch.randn(40, 3) + 0.8 * torch.nn.functional.one_hot(targets, 3)
    logits[::5] *= 30
    return logits, targets


def test_metrics_of_classes_are_those_of_scikit_learn(classified):
    logits, y = classified
    scores = torch.softmax(logits, 1).numpy()
    one_hot = np.eye(3)[y]
    expected = {
        "accuracy": reference.accuracy_score(y, logits.argmax(1)),
        "f1": reference.f1_score(y, logits.argmax(1), average="macro"),
        "auroc": reference.roc_auc_score(one_hot, scores, average="macro"),
        "average_precision": reference.average_precision_score(one_hot, scores, average="macro"),
    }
    assert expected.keys() == OF_CLASSES.keys()
    for name, value in expected.items():
        assert of_rows(OF_CLASSES, name, logits, y) == pytest.approx(value, abs=1e-5), name


@pytest.mark.parametrize("columns", [1, 3])
def test_metrics_of_numbers_are_those_of_scikit_learn(columns):
    targets = torch.randn(40, columns) * torch.arange(1, columns + 1)
    predictions = targets + torch.randn(40, columns)
    expected = {
        "mae": reference.mean_absolute_error(targets, predictions),
        "rmse": reference.mean_squared_error(targets.flatten(), predictions.flatten()) ** 0.5,
        "r2": reference.r2_score(targets, predictions),
    }
    assert expected.keys() == OF_NUMBERS.keys()
    for name, value in expected.items():
        assert of_rows(OF_NUMBERS, name, predictions, targets) == pytest.approx(value, abs=1e-5), name


def test_scores_of_small_logits_are_probabilities_too():
    logits = torch.tensor([[0.9, 0.8], [0.5, 0.1], [0.4, 0.5], [0.2, 0.9]])
    classes = torch.tensor([0, 0, 1, 1])
    expected = reference.roc_auc_score(classes, torch.softmax(logits, 1)[:, 1])
    assert of_rows(OF_CLASSES, "auroc", logits, classes) == pytest.approx(expected)


def test_chosen_metrics_are_logged_and_the_first_chooses_the_epoch(graph_gin, graphs, fit):
    task = GraphClassification(graph_gin, 4, 2, metrics=["f1", "accuracy"])
    assert task.monitor == ("val/f1", "max")
    logged = fit(task, graphs, 1).callback_metrics
    assert {name for name in logged if name.startswith("val/")} == {"val/loss", "val/f1", "val/accuracy"}


def test_what_is_monitored_is_computed(graph_gin):
    task = GraphClassification(graph_gin, 4, 2, monitor="val/auroc")
    assert task.monitor == ("val/auroc", "max")
    assert task.metric_names == ("accuracy", "auroc")
    assert GraphRegression(graph_gin, 4, 1, monitor="val/rmse").monitor == ("val/rmse", "min")
    assert GraphRegression(graph_gin, 4, 1, monitor="val/r2").monitor == ("val/r2", "max")
    assert GraphRegression(graph_gin, 4, 1, monitor="val/loss").metric_names == ("mae",)


@pytest.mark.parametrize(("names", "told"), [(["f2"], "got 'f2'"), ([], "got none"), (["mae"], "got 'mae'")])
def test_a_metric_that_the_task_does_not_have_is_refused(names, told, graph_gin):
    expected = f"metrics: expected some of accuracy, f1, auroc, average_precision, {told}"
    with pytest.raises(ValueError, match=expected):
        GraphClassification(graph_gin, 4, 2, metrics=names)
