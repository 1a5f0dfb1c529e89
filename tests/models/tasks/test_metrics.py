"""Metrics by name: what they measure, in which unit, which of them are logged and which chooses the epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC, BinaryAveragePrecision, BinaryF1Score

from models.tasks import GraphClassification, GraphRegression
from models.tasks.metrics import OF_CLASSES, OF_LABELS, OF_NUMBERS
from tests.fake_gpu import GPU, fake_gpu, host_waits


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
        "rmse": reference.root_mean_squared_error(targets, predictions),
        "r2": reference.r2_score(targets, predictions),
    }
    assert expected.keys() == OF_NUMBERS.keys()
    for name, value in expected.items():
        assert of_rows(OF_NUMBERS, name, predictions, targets) == pytest.approx(value, abs=1e-5), name


def test_metrics_of_several_numbers_are_means_over_those_that_are_known():
    targets = torch.randn(40, 3) * torch.arange(1, 4)
    predictions = targets + torch.randn(40, 3)
    targets[torch.rand(40, 3) < 0.3] = torch.nan
    targets[:, 2] = torch.nan  # of nothing there is no mean
    for name, choice in OF_NUMBERS.items():
        known = [(targets[:, k], predictions[:, k], ~targets[:, k].isnan()) for k in range(2)]
        alone = [of_rows({name: choice}, name, p[at][:, None], t[at][:, None]) for t, p, at in known]
        assert of_rows(OF_NUMBERS, name, predictions, targets) == pytest.approx(np.mean(alone), abs=1e-5), name


@pytest.fixture
def labelled():
    """Logits [40, 4] and labels, some not known; no row has the last label."""
    labels = (torch.rand(40, 4) > 0.6).float()
    logits = torch.randn(40, 4) + labels
    labels[:, 3] = 0.0
    labels[torch.rand(40, 4) < 0.2] = torch.nan
    return logits, labels


def over_labels(measure, logits, labels):
    """The mean of a measure of (labels, logits) over labels, each where it is known."""
    known = ~labels.isnan()
    return np.mean([measure(labels[known[:, k], k], logits[known[:, k], k]) for k in range(labels.shape[1])])


def test_metrics_of_labels_are_those_of_scikit_learn(labelled):
    logits, labels = labelled
    known = ~labels.isnan()
    expected = {
        "accuracy": reference.accuracy_score(labels[known], logits[known] > 0),
        "f1": over_labels(lambda y, z: reference.f1_score(y, z > 0), logits, labels),
        "f1_micro": reference.f1_score(labels[known], logits[known] > 0),
        "auroc": over_labels(reference.roc_auc_score, logits[:, :3], labels[:, :3]),
        "average_precision": over_labels(reference.average_precision_score, logits[:, :3], labels[:, :3]),
    }
    assert expected.keys() == OF_LABELS.keys()
    for name, value in expected.items():
        assert of_rows(OF_LABELS, name, logits, labels) == pytest.approx(value, abs=1e-5), name


BINARY = {
    "accuracy": BinaryAccuracy, "f1": BinaryF1Score, "f1_micro": BinaryF1Score,
    "auroc": BinaryAUROC, "average_precision": BinaryAveragePrecision,
}  # fmt: skip


@pytest.mark.parametrize("name", OF_LABELS)
def test_one_label_is_measured_as_a_binary_problem(name):
    labels = (torch.rand(40, 1) > 0.5).float()
    logits = torch.randn(40, 1) + labels
    expected = BINARY[name]()(logits[:, 0].sigmoid(), labels[:, 0].long())
    assert of_rows(OF_LABELS, name, logits, labels) == float(expected)


@pytest.mark.parametrize("name", ["auroc", "average_precision"])
def test_labels_that_all_rows_have_or_none_rank_nothing(name):
    assert np.isnan(of_rows(OF_LABELS, name, torch.randn(9, 2), torch.tensor([[0.0, 1.0]]).expand(9, 2)))


def test_a_class_that_no_row_has_ranks_nothing_and_does_not_count(classified):
    logits, y = classified
    logits, y = logits[y < 2], y[y < 2]
    scores, measures = torch.softmax(logits, 1), (reference.roc_auc_score, reference.average_precision_score)
    for name, measure in zip(("auroc", "average_precision"), measures, strict=True):
        expected = np.mean([measure(y == k, scores[:, k]) for k in (0, 1)])
        assert of_rows(OF_CLASSES, name, logits, y) == pytest.approx(expected, abs=1e-5)
        assert np.isnan(of_rows(OF_CLASSES, name, logits, y * 0))


def test_scores_of_small_logits_are_probabilities_too():
    logits = torch.tensor([[0.9, 0.8], [0.5, 0.1], [0.4, 0.5], [0.2, 0.9]])
    classes = torch.tensor([0, 0, 1, 1])
    expected = reference.roc_auc_score(classes, torch.softmax(logits, 1)[:, 1])
    assert of_rows(OF_CLASSES, "auroc", logits, classes) == pytest.approx(expected)


@pytest.mark.parametrize(("choices", "name"), [*((OF_CLASSES, name) for name in OF_CLASSES),
                                               *((OF_LABELS, name) for name in OF_LABELS)])  # fmt: skip
def test_no_metric_of_classes_or_labels_waits_for_a_gpu(choices, name, classified):
    logits, y = classified
    targets = y if choices is OF_CLASSES else torch.nn.functional.one_hot(y, 3).float()
    with fake_gpu():
        metric = choices[name].make(3).to(GPU)
        with host_waits() as waits:
            metric.update(logits.to(GPU), targets.to(GPU))
        value = metric.compute()
    assert not waits
    assert float(value) == pytest.approx(of_rows(choices, name, logits, targets))


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
