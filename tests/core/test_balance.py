"""Balances of the terms of an update."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.balance import GradientNorm, Uncertainty, balance
from limbeck.core.criterion import Criterion
from limbeck.core.schedules import Step
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Run, Stage, Update, steps
from limbeck.objectives import HardTargets, SoftTargets
from tests.architecture.conftest import Blobs, net
from tests.core.networks import X, Y, student, teacher
from tests.engine.training_runs import quiet


def criterion(kind, **weights):
    actors = Actors({"student": trained(student()), "teacher": frozen(teacher())})
    terms = [Term(HardTargets(), weight=weights.get("hard", 1)), Term(SoftTargets(), weight=weights.get("soft", 1))]
    return Criterion(terms, actors=actors, example=(X, Y), balance=kind)


def test_uncertainty_by_hand():
    own = criterion("uncertainty", soft=3)
    with torch.no_grad():
        own.balance.log_variances.copy_(torch.tensor([0.5, -0.2]))
    found = own((X, Y))
    hard, soft = found["hard_targets"], 3 * found["soft_targets"]
    s = own.balance.log_variances
    torch.testing.assert_close(found["loss"], (-s[0]).exp() * hard + (-s[1]).exp() * soft + s.sum() / 2)
    found["loss"].backward()
    expected = torch.stack([-(-s[0]).exp() * hard + 0.5, -(-s[1]).exp() * soft + 0.5])
    torch.testing.assert_close(s.grad, expected.detach())


def test_gradient_norms_become_equal():
    own = criterion({"gradient_norm": {"alpha": 0, "every": 1, "momentum": 0}}, soft=0.01)
    found = own((X, Y))
    parameters = list(own.actors["student"].model.parameters())

    def norm(value):
        grads = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        return torch.cat([grad.flatten() for grad in grads if grad is not None]).norm()

    factors = own.balance.factors
    assert factors.mean() == pytest.approx(1)
    norms = [factors[0] * norm(found["hard_targets"]), factors[1] * norm(0.01 * found["soft_targets"])]
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-4, atol=1e-6)
    expected = factors[0] * found["hard_targets"] + factors[1] * 0.01 * found["soft_targets"]
    torch.testing.assert_close(found["loss"], expected)


def test_terms_that_have_fallen_less_pull_harder():
    own = criterion({"gradient_norm": {"alpha": 1.0, "every": 1, "momentum": 0}})
    own((X, Y))
    before = own.balance.factors.clone()
    own.balance.first[0] /= 4  # as if the first loss had grown to four times its start
    own((X, Y))
    assert own.balance.factors[0] / own.balance.factors[1] == pytest.approx(float(4 * before[0] / before[1]), rel=1e-4)


def test_a_term_without_weight_keeps_its_factor_and_is_left_out():
    own = criterion("uncertainty", hard=Step(at=(0.5,), factor=0.0))
    assert set(own((X, Y), progress=0.6)) == {"loss", "soft_targets"}
    own((X, Y), progress=0.6)["loss"].backward()
    assert own.balance.log_variances.grad[0] == 0


def test_factors_are_logged_and_each_criterion_has_its_own():
    shared = GradientNorm(every=1)
    own = criterion(shared)
    own((X, Y))
    assert {"balance.hard_targets", "balance.soft_targets"} <= set(own.read_weight_statistics())
    assert own.balance is not shared
    assert not hasattr(shared, "factors")


@pytest.mark.parametrize("kind", ["uncertainty", {"gradient_norm": {"every": 2}}])
def test_a_run_trains_it_and_accumulation_changes_nothing(kind):
    def factors(accumulate):
        torch.manual_seed(0)
        terms = [Term(HardTargets()), Term(SoftTargets())]
        stage = Stage([Update(terms, balance=kind)], steps(3), Optimizer("sgd", lr=0.1))
        actors = {"student": trained(net(8)), "teacher": frozen(net(16))}
        run = Run(actors, [stage], source=Blobs(), settings=quiet(accumulate=accumulate))
        run.fit()
        return run.updates[0].criterion.balance.state_dict()

    once = factors(1)
    name = "log_variances" if kind == "uncertainty" else "factors"
    assert (once[name] != (0 if kind == "uncertainty" else 1)).all()
    if kind == "uncertainty":
        torch.testing.assert_close(factors(2)[name], once[name], rtol=0, atol=5e-3)  # twice the penalty is 0.1
    else:
        assert factors(2)["calls"] == once["calls"] == 3  # steps, not pieces of them


def test_all_pieces_of_a_batch_have_the_factors_that_the_first_one_gave():
    own = criterion({"gradient_norm": {"every": 1, "momentum": 0}})
    own((X, Y), piece=0)
    measured = own.balance.factors.clone()
    own((X[:1], Y[:1]), piece=1)
    torch.testing.assert_close(own.balance.factors, measured, rtol=0, atol=0)
    own((X[:1], Y[:1]), piece=0)
    assert (own.balance.factors != measured).all()


def test_arguments_out_of_range():
    with pytest.raises(ValueError, match="every 0"):
        balance({"gradient_norm": {"every": 0}})
    with pytest.raises(ValueError, match="unknown balance 'gradnorm'; nearest: gradient_norm"):
        balance("gradnorm")
    assert isinstance(balance("uncertainty"), Uncertainty)
