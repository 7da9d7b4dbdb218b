"""What must hold for every objective, on random inputs."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck import objectives
from limbeck.core.objective import PROPERTIES
from limbeck.core.signals import Match
from tests.objectives import cases
from tests.objectives.cases import CASES, Case, gradients, loss_of, parts
from tests.objectives.references_of_inputs import REFERENCES

every = pytest.mark.parametrize("case", CASES, ids=str)
seeds = st.integers(0, 10_000)
batches = st.integers(2, 5)
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
fewer = settings(few, max_examples=5)

FREE_LABELS = {"squared_error", "masked_kl", "span_targets"}  # any number, any that is not -100, none where negative


def twins(case: Case, seed: int, batch: int) -> cases.Inputs:
    """Inputs whose student equals the teacher."""
    inputs = case.inputs(seed, batch)
    inputs.student = inputs.teacher
    return inputs.learning()


def test_every_objective_has_a_case_and_those_drawn_by_hand_a_reference():
    assert {case.name for case in CASES} == set(objectives.names())
    assert {case.name for case in cases.BY_HAND} <= set(REFERENCES)


@pytest.mark.parametrize("name", sorted(set(objectives.names()) - cases.UNDECLARED))
def test_declarations_suffice_to_draw_inputs(name):
    for case in cases.declared(name):
        inputs = case.inputs(0)
        loss = loss_of(case.objective(inputs), inputs)
        assert loss.shape == (4,)
        assert loss.isfinite().all()


@every
@given(seed=seeds, batch=batches)
@fewer
def test_equals_the_loops(case, seed, batch):
    if case.name not in REFERENCES:
        pytest.skip("nobody has written it as loops yet, in references.py")
    inputs = case.inputs(seed, batch).learning()
    objective = case.objective(inputs)
    loss = loss_of(objective, inputs)
    slow = REFERENCES[case.name](objective, inputs.student, inputs.teacher, inputs.target, inputs.index)
    assert loss.shape == slow.shape
    assert len(loss) == batch
    torch.testing.assert_close(loss, slow, rtol=1e-9, atol=1e-12)
    expected = gradients(slow, inputs.student)
    torch.testing.assert_close(gradients(loss, inputs.student), expected, rtol=1e-8, atol=1e-11)


@every
@given(seed=seeds, batch=batches)
@few
def test_minimum_and_stationary_at_equality(case, seed, batch):
    equal, other = twins(case, seed, batch), case.inputs(seed, batch)
    objective = case.objective(equal)
    loss = loss_of(objective, equal)
    if "minimum" not in objective.exempt:
        # 1e-7 inside a logarithm moves the least value a little
        slack = 1e-6 if case.name == "probabilistic_transfer" else 1e-12
        assert loss.mean() <= loss_of(case.objective(other), other).mean() + slack
    if "stationary" not in objective.exempt:
        slack = 1e-5 if case.name == "probabilistic_transfer" else 1e-10
        for gradient in gradients(loss, equal.student):
            torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=slack)


@every
@given(seed=seeds)
@fewer
def test_gradcheck(case, seed):
    case.require("gradient")  # where it is exempt, the comparison with the loops covers the gradient
    inputs = case.inputs(seed, 3).learning()
    objective = case.objective(inputs)
    loss_of(objective.train(), inputs)  # contrastive estimates its normaliser here, without gradient
    objective.eval()

    def loss(*student):
        inputs.student = student if isinstance(inputs.student, tuple) else student[0]
        return loss_of(objective, inputs)

    torch.autograd.gradcheck(loss, parts(inputs.student))
    loss_of(objective, inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())


@every
@given(seed=seeds, batch=batches)
@few
def test_equal_under_batch_permutation(case, seed, batch):
    case.require("permutation")
    inputs = case.inputs(seed, batch)
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    objective = case.objective(inputs)
    torch.testing.assert_close(loss_of(objective, inputs.items(order)), loss_of(objective, inputs)[order])


@every
@given(seed=seeds)
@few
def test_float32_is_close_to_float64(case, seed):
    single = case.inputs(seed).each(lambda x: x.float())
    objective = case.objective(single, dtype=torch.float32)
    loss = loss_of(objective, single)
    precise = loss_of(copy.deepcopy(objective).double(), single.each(lambda x: x.double()))
    assert loss.dtype == torch.float32
    assert precise.dtype == torch.float64
    torch.testing.assert_close(loss.mean().double(), precise.mean(), rtol=1e-5, atol=1e-8)


@every
@given(seed=seeds, bad=st.sampled_from([float("nan"), float("inf"), -float("inf")]))
@few
def test_a_teacher_that_is_not_finite_after_the_first_call_is_found(case, seed, bad):
    """The values are looked at once; from then on the loss has to show what is wrong, or the objective says that it may not."""
    inputs = case.inputs(seed)
    objective = case.objective(inputs).train()
    if not objective.needs_teacher or case.name == "masked_kl":  # which reads only some of the tokens
        return
    loss_of(objective, inputs)
    tensors = [part.clone() for part in parts(inputs.teacher)]
    place = tensors[seed % len(tensors)].view(-1)
    place[seed % len(place)] = bad
    broken = replace(inputs, teacher=tuple(tensors) if isinstance(inputs.teacher, tuple) else tensors[0])
    if not objective.hides_errors:
        assert not loss_of(objective, broken).sum().isfinite()
    with pytest.raises(ValueError, match="NaN or infinity"):
        objective.recheck(broken.student, broken.teacher, target=broken.target, mask=None)
    if objective.hides_errors:
        with pytest.raises(ValueError, match="NaN or infinity"):
            loss_of(objective, broken)


@every
@given(seed=seeds, label=st.sampled_from([-1, -7, 10**6]))
@fewer
def test_a_label_out_of_range_after_the_first_call_is_refused(case, seed, label):
    inputs = case.inputs(seed)
    objective = case.objective(inputs).train()
    if not objective.needs_target or case.name in FREE_LABELS:
        return
    loss_of(objective, inputs)
    wrong = inputs.target.clone()
    wrong.view(-1)[seed % wrong.numel()] = label
    with pytest.raises((ValueError, IndexError, RuntimeError)):
        loss_of(objective, replace(inputs, target=wrong))


@every
def test_inputs_stay_and_the_teacher_gets_no_gradient(case):
    inputs = case.inputs(3).each(lambda x: x.clone().requires_grad_())
    before = copy.deepcopy([x.detach() for x in (*parts(inputs.student), *parts(inputs.teacher))])
    target = inputs.target.clone()
    objective = case.objective(inputs).train()
    loss_of(objective, inputs).sum().backward()
    after = [*parts(inputs.student), *parts(inputs.teacher)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(target, inputs.target)
    assert all(x.grad is not None for x in parts(inputs.student))
    assert all(x.grad is None for x in parts(inputs.teacher))


@every
def test_teacher_gradient_lets_the_gradient_pass_through_the_teacher(case):
    if not case.kind.needs_teacher or case.name == "teacher_argmax":
        pytest.skip("no gradient with respect to the teacher exists")
    inputs = case.inputs(3).each(lambda x: x.clone().requires_grad_())
    loss = case.objective(inputs)(
        inputs.student, inputs.teacher, target=inputs.target, index=inputs.index, teacher_gradient=True
    )
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss.sum(), parts(inputs.teacher)))


@every
def test_state_round_trips_into_a_fresh_instance(case):
    inputs = case.inputs(5).each(lambda x: x.float())
    objective = case.objective(inputs, dtype=torch.float32).train()
    for _ in range(2):
        loss_of(objective, inputs)
    fresh = objectives.get(case.name, **case.hyperparameters)
    fresh.load_state_dict(objective.state_dict())
    for _ in range(2):  # the draws go on where they stood
        torch.testing.assert_close(loss_of(fresh, inputs), loss_of(objective, inputs), rtol=0, atol=0)
    for ours, theirs in zip(fresh.state_dict().values(), objective.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_computed_in_float32(case, dtype):
    half = case.inputs(7).each(lambda x: x.to(dtype))
    objective = case.objective(half, dtype=torch.float32)
    loss = loss_of(objective, half)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, loss_of(objective, half.each(lambda x: x.float())))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss, loss_of(objective, half))


@every
def test_builds_itself_when_used_alone(case):
    inputs = case.inputs(2)
    objective = objectives.get(case.name, **case.hyperparameters)
    if case.name == "contrastive":
        with pytest.raises(ValueError, match="samples"):
            loss_of(objective, inputs)
        return
    assert loss_of(objective, inputs).dtype == torch.float64
    assert objective.built


@every
def test_only_objectives_over_the_batch_compare_items(case):
    case.require("independence")
    inputs = case.inputs(4)
    objective = case.objective(inputs)
    alone = torch.cat([loss_of(objective, inputs.items(torch.tensor([i]))) for i in range(4)])
    assert torch.allclose(alone, loss_of(objective, inputs)) is not objective.over_batch


@every
def test_finite_on_constant_and_zero_signals(case):
    for value in (0.0, 0.3):
        inputs = case.inputs(1).each(lambda x, value=value: torch.full_like(x, value, dtype=torch.float32)).learning()
        loss = loss_of(case.objective(inputs, dtype=torch.float32), inputs)
        assert loss.isfinite().all()
        assert all(g.isfinite().all() and g.abs().max() < 1e4 for g in gradients(loss, inputs.student))


@every
def test_describes_itself(case):
    objective = objectives.registry[case.name]
    assert objective.name == case.name
    assert objective.knowledge in ("output", "feature", "relation")
    assert objective.weight > 0
    assert set(objective.exempt) <= set(PROPERTIES)
    for text in (objective.formula, objective.source):
        assert text
        assert "\n" not in text
    assert "Source:" in objective.__doc__


@every
def test_errors_name_the_objective_and_both_shapes(case):
    inputs = case.inputs(1)
    objective = case.objective(inputs)
    if not objective.needs_teacher:
        return
    fewer_items = replace(inputs, teacher=cases.each_part(inputs.teacher, lambda x: x[:-1]))
    shapes = [str(tuple(parts(side)[0].shape)) for side in (inputs.student, fewer_items.teacher)]
    with pytest.raises(ValueError, match=case.name) as error:
        loss_of(objective, fewer_items)
    assert all(shape in str(error.value) for shape in shapes)
    for bad in (float("nan"), float("inf")):
        broken = replace(inputs, teacher=cases.each_part(inputs.teacher, lambda x, bad=bad: x.clone().fill_(bad)))
        with pytest.raises(ValueError, match=f"{case.name}.*NaN or infinity") as error:
            loss_of(objective, broken)
        assert all(str(tuple(parts(side)[0].shape)) in str(error.value) for side in (inputs.student, inputs.teacher))
    with pytest.raises(ValueError, match=f"{case.name}: needs a teacher"):
        objective(inputs.student, target=inputs.target, index=inputs.index)
    if objective.match is Match.EVERYTHING:
        wider = replace(inputs, teacher=cases.each_part(inputs.teacher, lambda x: torch.cat([x, x], dim=1)))
        with pytest.raises(ValueError, match=f"{case.name}: student .* and teacher .* do not fit"):
            loss_of(objective, wider)
