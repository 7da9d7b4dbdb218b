"""Objectives on logits: tokens, items without a label, mixed labels, sparse and factored teachers, extreme values."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from limbeck import objectives
from limbeck.core.labels import UNLABELLED
from limbeck.core.signals import LinearLogits, TopK
from limbeck.objectives import Decoupled, Dist, HardTargets, SoftTargets, WeightedSoftLabels

labelled = pytest.mark.parametrize("name", ["hard_targets", "decoupled", "weighted_soft_labels"])
on_tokens = pytest.mark.parametrize("name", ["hard_targets", "soft_targets", "logit_mse", "teacher_argmax"])


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@on_tokens
def test_tokens_are_items_and_padding_does_not_reach_its_neighbours(name):
    s, t, y = logits(2, 3, 5), logits(2, 3, 5, seed=1), torch.tensor([[0, 1, 2], [3, 4, UNLABELLED]])
    objective = objectives.get(name)
    loss = objective(s, t, target=y)
    flat = objective(s.flatten(0, 1), t.flatten(0, 1), target=y.flatten())
    torch.testing.assert_close(loss, flat.view(2, 3))
    padded = s.clone()
    padded[1, 2] = 100
    others = torch.ones(2, 3, dtype=torch.bool)
    others[1, 2] = False
    assert torch.equal(objective(padded, t, target=y)[others], loss[others])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_hard_targets_agree_with_torch(smoothing):
    s, y = logits(4, 5), torch.tensor([0, 3, UNLABELLED, 4])
    mixed = torch.softmax(logits(4, 5, seed=2), dim=-1)
    objective = HardTargets(label_smoothing=smoothing)
    for target in (y, mixed):
        expected = F.cross_entropy(s, target, label_smoothing=smoothing, reduction="none")
        torch.testing.assert_close(objective(s, target=target), expected)
    one_hot = F.one_hot(y.clamp_min(0), 5).double()
    torch.testing.assert_close(objective(s, target=one_hot)[:2], objective(s, target=y)[:2])


@labelled
@pytest.mark.parametrize("probabilities", [False, True])
def test_an_item_without_a_label_gives_exactly_zero(name, probabilities):
    s, t = logits(3, 4).requires_grad_(), logits(3, 4, seed=1)
    target = torch.tensor([1, UNLABELLED, 2])
    if probabilities:
        target = F.one_hot(target.clamp_min(0), 4).double() * (target >= 0).unsqueeze(1)
    hyperparameters = {"label_smoothing": 0.2} if name == "hard_targets" else {}
    loss = objectives.get(name, **hyperparameters)(s, t, target=target)
    (gradient,) = torch.autograd.grad(loss.sum(), s)
    assert loss[1] == 0
    assert not gradient[1].any()
    assert loss[0] > 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["decoupled", "weighted_soft_labels"])
def test_mixed_labels_count_as_their_largest(name):
    s, t = logits(2, 3), logits(2, 3, seed=1)
    mixed = torch.tensor([[0.2, 0.7, 0.1], [0.6, 0.0, 0.4]])
    objective = objectives.get(name)
    assert torch.equal(objective(s, t, target=mixed), objective(s, t, target=torch.tensor([1, 0])))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
@labelled
def test_labels_of_any_integer_type(name, dtype):
    s, t, y = logits(3, 4), logits(3, 4, seed=1), torch.tensor([1, 0, 3])
    objective = objectives.get(name)
    assert torch.equal(objective(s, t, target=y.to(dtype)), objective(s, t, target=y))


@labelled
def test_wrong_labels_are_refused(name):
    s, t = logits(2, 3), logits(2, 3, seed=1)
    objective = objectives.get(name)
    with pytest.raises(ValueError, match=f"{name}: needs labels"):
        objective(s, t)
    for label in (3, -1):
        with pytest.raises(ValueError, match=f"{name}: label {label} is out of range for 3 classes"):
            objective(s, t, target=torch.tensor([0, label]))
    with pytest.raises(ValueError, match=rf"{name}: target \(3,\) does not fit student \(2, 3\)"):
        objective(s, t, target=torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=rf"{name}: target \(2, 4\) does not fit student \(2, 3\)"):
        objective(s, t, target=torch.rand(2, 4))


def test_top_k_with_all_classes_equals_the_dense_teacher():
    s, t = logits(3, 6).requires_grad_(), logits(3, 6, seed=1)
    p = torch.softmax(t, dim=-1)
    values, indices = p.topk(6)
    sparse = SoftTargets(temperature=1)(s, TopK(values, indices, torch.zeros(3, dtype=p.dtype)))
    dense = SoftTargets(temperature=1)(s, t)
    torch.testing.assert_close(sparse, dense)
    theirs = torch.autograd.grad(dense.sum(), s, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(sparse.sum(), s), theirs)


@pytest.mark.parametrize("lead", [(3,), (2, 4)])
def test_top_k_has_its_tail_as_one_more_outcome(lead):
    s, t = logits(*lead, 7).requires_grad_(), logits(*lead, 7, seed=1)
    p = torch.softmax(t, dim=-1)
    values, indices = p.topk(2)
    tail = 1 - values.sum(-1)
    loss = SoftTargets(temperature=1)(s, TopK(values, indices, tail))
    q = torch.softmax(s, dim=-1).gather(-1, indices)
    q_tail = 1 - q.sum(-1)
    expected = (values * (values / q).log()).sum(-1) + tail * (tail / q_tail).log()
    torch.testing.assert_close(loss, expected)
    ours, slow = (torch.autograd.grad(x.sum(), s, retain_graph=True) for x in (loss, expected))
    torch.testing.assert_close(ours, slow)


def test_top_k_is_stable_where_the_support_holds_almost_everything():
    s = torch.tensor([[80.0, 0.0, 0.0]], requires_grad=True)
    teacher = TopK(torch.tensor([[0.9]]), torch.tensor([[0]]), torch.tensor([0.1]))
    loss = SoftTargets(temperature=1)(s, teacher)
    (gradient,) = torch.autograd.grad(loss.sum(), s)
    torch.testing.assert_close(gradient, torch.tensor([[0.1, -0.05, -0.05]]), rtol=1e-5, atol=1e-6)


def test_top_k_elsewhere_is_refused():
    s = logits(2, 4)
    teacher = TopK(torch.full((2, 1), 0.8), torch.zeros(2, 1, dtype=torch.int16), torch.full((2,), 0.2))
    for hyperparameters in ({"temperature": 2.0}, {"temperature": 1.0, "standardize": True}):
        with pytest.raises(ValueError, match=r"soft_targets: temperature is .* probabilities at temperature 1"):
            SoftTargets(**hyperparameters)(s, teacher)
    assert SoftTargets(temperature=1)(s, teacher).shape == (2,)
    with pytest.raises(ValueError, match="logit_mse: needs the teacher's dense signal"):
        objectives.get("logit_mse")(s, teacher)
    with pytest.raises(ValueError, match="student signal is TopK"):
        SoftTargets(temperature=1)(teacher, s)
    with pytest.raises(ValueError, match="do not fit student"):
        SoftTargets(temperature=1)(logits(3, 4), teacher)
    outside = TopK(teacher.values, torch.full((2, 1), 4), teacher.tail)
    with pytest.raises(ValueError, match="indices exceed the 4 classes"):
        SoftTargets(temperature=1)(s, outside)


@on_tokens
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_factored_logits_are_multiplied_out_in_working_precision(name, dtype):
    hidden, weight, bias = (logits(*shape).to(dtype) for shape in ((2, 3, 4), (5, 4), (5,)))
    dense = F.linear(hidden.float(), weight.float(), bias.float())
    objective, y = objectives.get(name), torch.zeros(2, 3, dtype=torch.long)
    student, teacher = LinearLogits(hidden, weight, bias), LinearLogits(hidden, 2 * weight)
    loss = objective(student, teacher, target=y)
    torch.testing.assert_close(loss, objective(dense, teacher.to("cpu"), target=y))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("name", ["hard_targets", "soft_targets", "decoupled", "dist", "weighted_soft_labels"])
def test_finite_where_models_are_very_sure(name):
    s = (100 * logits(4, 5).float()).requires_grad_()
    loss = objectives.get(name)(s, 100 * logits(4, 5, seed=1).float(), target=torch.tensor([0, 1, 2, 3]))
    (gradient,) = torch.autograd.grad(loss.sum(), s)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


def test_decoupled_parts_add_up_to_soft_targets():
    """The paper's identity: KL = KL(b_t‖b_s) + (1 − p_y) KL(n_t‖n_s)."""
    s, t, y = logits(4, 6), logits(4, 6, seed=1), torch.tensor([0, 5, 2, 2])
    binary = Decoupled(alpha=1, beta=0)(s, t, target=y)
    others = Decoupled(alpha=0, beta=1)(s, t, target=y)
    doubt = 1 - torch.softmax(t / 4, dim=-1).gather(-1, y[:, None]).squeeze(-1)
    torch.testing.assert_close(binary + doubt * others, SoftTargets(temperature=4)(s, t))
    with pytest.raises(ValueError, match="decoupled: needs two classes"):
        Decoupled()(s[:, :1], t[:, :1], target=torch.zeros(4, dtype=torch.long))


def test_dist_keeps_improbable_classes():
    """Squares of probabilities near 1e-25 are zero in float32; the correlation must not be."""
    s, t = logits(6, 4), logits(6, 4, seed=1)
    s[:, 0], t[:, 0] = s[:, 0] - 57, t[:, 0] - 57
    torch.testing.assert_close(Dist()(s.float(), t.float()).double(), Dist()(s, t), rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_has_rows_only():
    s = logits(1, 5).requires_grad_()
    loss = Dist(gamma=1)(s, logits(1, 5, seed=1))
    assert torch.autograd.grad(loss.sum(), s)[0].isfinite().all()


def test_the_weight_falls_as_the_student_gets_ahead():
    y, t = torch.tensor([0]), torch.tensor([[1.0, 0.0, 0.0]])
    students = [torch.tensor([[x, 0.0, 0.0]]) for x in (-2.0, 1.0, 4.0)]
    soft = [-(F.softmax(t, -1) * F.log_softmax(s, -1)).sum() for s in students]
    found = [WeightedSoftLabels(temperature=1)(s, t, target=y)[0] for s in students]
    weight = [one / plain for one, plain in zip(found, soft, strict=True)]
    assert weight[0] > weight[1] > weight[2]
    torch.testing.assert_close(weight[1], torch.tensor(1 - math.exp(-1)))  # the student equals the teacher


def test_a_schedule_may_set_the_temperature():
    s, t = logits(2, 3), logits(2, 3, seed=1)
    objective = SoftTargets(temperature=4)
    objective.temperature = 2.0
    assert torch.equal(objective(s, t), SoftTargets(temperature=2)(s, t))
