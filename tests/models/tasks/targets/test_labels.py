"""Several labels: one label is a binary problem, and a student is compared label by label."""

from __future__ import annotations

import torch
from torch.distributions import Bernoulli, kl_divergence

from models.tasks.targets import Classes, Labels


def test_one_label_is_learned_as_two_classes_whose_logits_are_0_and_its_own():
    logits, labels = torch.randn(9, 1, dtype=torch.float64, requires_grad=True), (torch.rand(9, 1) > 0.5).double()
    of_labels = Labels().loss(logits, labels)
    of_classes = Classes().loss(torch.cat([torch.zeros_like(logits), logits], 1), labels[:, 0].long())
    torch.testing.assert_close(of_labels, of_classes)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (of_labels, of_classes)]
    torch.testing.assert_close(*gradients)


def test_a_student_is_as_far_off_as_the_probabilities_of_its_labels_diverge():
    student, teacher = torch.randn(2, 6, 3)
    softened = [Bernoulli(logits=logits / 2.0) for logits in (teacher, student)]
    expected = 4.0 * kl_divergence(*softened).mean()
    torch.testing.assert_close(Labels().distance(student, teacher, 2.0), expected)
    assert Labels().distance(teacher, teacher, 2.0) == 0.0


def test_far_logits_of_a_student_and_a_teacher_give_finite_losses():
    far = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = Labels().distance(far, -far.detach(), 1.0)
    loss.backward()
    assert loss.isfinite()
    assert far.grad.isfinite().all()
