"""Distillation: what is minimised, what the teacher is, and that it neither learns nor gets lost."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn.functional import cross_entropy, softmax
from torch_geometric.data import Data

from models.architectures import GIN
from models.layers import ReadoutConfig
from models.quantization.protection import degree_cdf
from models.tasks import GraphRegression, NodeClassification
from models.tasks.distillation import Distillation


def gin(i, o, scheme):
    return GIN(i, o, scheme, hidden=6, dropout=0.5)


def gin_with_norms(i, o, scheme):
    return GIN(i, o, scheme, hidden=6, batch_norm="before", readout=ReadoutConfig("mean"))


@pytest.fixture
def graph():
    edges = torch.randint(10, (2, 30))
    mask = torch.arange(10) < 2
    return Data(
        x=torch.randn(10, 4), edge_index=edges, degree_cdf=degree_cdf(edges, 10), y=torch.randint(3, (10,)),
        train_mask=mask, val_mask=~mask,
    )  # fmt: skip


def taught(task):
    """The task with a teacher that has weights."""
    task.teacher.known.fill_(True)
    return task


def answers(task, batch, stage="train"):
    """What the task says in a step, its teacher's answer, and the loss of the step."""
    torch.manual_seed(7)
    logits = task(batch)
    torch.manual_seed(7)
    return logits, task.teacher(batch.x, batch.edge_index, batch.degree_cdf), task.loss(batch, stage)[0]


def test_the_loss_is_the_divergence_over_all_rows_and_the_labels_part_over_theirs(graph, make_scheme):
    distillation = Distillation(weight=0.75, temperature=2.0)
    task = taught(NodeClassification(gin, 4, 3, make_scheme("dq", 4), distillation=distillation))
    logits, wanted, loss = answers(task, graph)
    p, q = softmax(wanted / 2.0, 1), softmax(logits / 2.0, 1)
    divergence = (p * (p / q).log()).sum(1).mean()
    labels = cross_entropy(logits[:2], graph.y[:2])
    torch.testing.assert_close(loss, 0.25 * labels + 0.75 * 4.0 * divergence)

    logits, _, loss = answers(task.eval(), graph, "val")
    assert torch.equal(loss, cross_entropy(logits[2:], graph.y[2:]))


def test_at_weight_one_no_label_is_seen(graph, make_scheme):
    task = taught(NodeClassification(gin, 4, 3, make_scheme("dq", 4), distillation=Distillation()))
    loss = answers(task, graph)[2]
    graph.y = (graph.y + 1) % 3
    assert torch.equal(answers(task, graph)[2], loss)


def test_the_teachers_own_network_has_nothing_to_learn(graph):
    task = taught(NodeClassification(gin, 4, 3, distillation=Distillation())).eval()
    task.network.load_state_dict(task.teacher.network.state_dict())
    loss = answers(task, graph)[2]
    loss.backward()
    assert loss == 0.0
    assert all(p.grad.abs().max() < 1e-7 for p in task.network.parameters())


def test_a_teacher_answers_without_dropout_and_has_no_parameters(graph, make_scheme):
    task = NodeClassification(gin, 4, 3, make_scheme("qat", 4), distillation=Distillation()).train()
    inputs = graph.x, graph.edge_index, graph.degree_cdf
    assert torch.equal(task.teacher(*inputs), task.teacher(*inputs))
    assert not torch.equal(task(graph), task(graph))
    assert list(task.teacher.parameters()) == []
    plain = NodeClassification(gin, 4, 3, make_scheme("qat", 4))
    assert [name for name, _ in task.named_parameters()] == [name for name, _ in plain.named_parameters()]


def test_a_regressions_student_is_as_far_off_as_its_answers_are_apart(graph, make_scheme):
    task = taught(GraphRegression(gin_with_norms, 4, 1, make_scheme("dq", 4), distillation=Distillation()))
    graph.y, graph.batch, graph.num_graphs = torch.ones(1), torch.zeros(10, dtype=torch.long), 1
    torch.manual_seed(7)
    student, teacher = task(graph), task.teacher(graph.x, graph.edge_index, graph.degree_cdf, graph.batch, 1)
    torch.manual_seed(7)
    assert torch.equal(task.loss(graph, "train")[0], (student - teacher).abs().mean())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"weight": 0.0}, "distillation.weight: expected a number in (0, 1], got 0.0"),
        ({"weight": 1.5}, "distillation.weight"),
        ({"temperature": 0.0}, "distillation.temperature: expected a number above 0"),
    ],
)
def test_wrong_settings_are_refused(settings, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        Distillation(**settings)


def test_a_teacher_without_weights_is_refused(graph, fit):
    with pytest.raises(ValueError, match="distillation: the teacher has no weights"):
        fit(NodeClassification(gin, 4, 3, distillation=Distillation()), [graph], 1)


def test_a_resumed_run_has_the_same_teacher_and_ends_as_an_undisturbed_one(graph, make_scheme, fit, tmp_path):
    def build(seed):
        torch.manual_seed(seed)
        return NodeClassification(gin, 4, 3, make_scheme("dq", 4), distillation=Distillation())

    whole, half, resumed = taught(build(1)), taught(build(1)), build(2)
    fit(whole, [graph], 6)
    fit(half, [graph], 3).save_checkpoint(tmp_path / "half.ckpt", weights_only=False)
    fit(resumed, [graph], 6, ckpt_path=tmp_path / "half.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    for name, value in build(1).teacher.network.state_dict().items():
        assert torch.equal(whole.teacher.network.state_dict()[name], value), name
