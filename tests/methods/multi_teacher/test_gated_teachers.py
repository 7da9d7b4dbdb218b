"""The gate is trained with the student, and nothing else is."""

from __future__ import annotations

import torch

from tests.methods.by_hand import X, built, check_gradients, divergence, logits, loss, teacher_logits


def test_by_hand_with_the_gradient_of_the_gate():
    criterion, actors = built("gated_teachers", teachers=2, temperature=2, alpha=1, feature="student:layer3")
    (weight, bias) = (p for name, p in criterion.named_parameters() if "gate" in name)
    with torch.no_grad():
        weight.copy_(torch.randn(2, 4, generator=torch.Generator().manual_seed(0)))
    a, b = teacher_logits(actors)
    s, feature = logits(actors, "student"), actors["student"].model.layer3(X).detach()
    w = weight.detach().clone().requires_grad_()
    share = torch.softmax(feature @ w.T + bias.detach(), -1)
    expected = divergence(share[:, :1] * a + share[:, 1:] * b, s, 2).mean()
    (gate_gradient,) = torch.autograd.grad(expected, w, retain_graph=True)
    check_gradients(loss(criterion), expected, actors)
    torch.testing.assert_close(weight.grad, gate_gradient)
    assert gate_gradient.abs().sum() > 0
