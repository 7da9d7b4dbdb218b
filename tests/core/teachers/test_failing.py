"""Teachers that fail: NaN outputs, a constant, no weight left."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.core.weighers import Confidence, Domain, Weigher
from limbeck.objectives import Hint, SoftTargets
from tests.core.networks import Net, X, Y, student

A, B = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))
BROKEN = B.clone()
BROKEN[1, 2], BROKEN[3] = float("nan"), float("inf")
IMAGES = torch.randn(4, 3)


def target(teacher, *signals):
    return teacher.make_target(list(signals), Batch({"default": IMAGES}), A)


class NoWeight(Weigher):
    def weigh(self, signals, batch, student, progress):
        return torch.zeros(len(signals), len(signals[0]))


def test_a_teacher_that_fails_on_an_item_has_no_weight_there_and_is_named_once():
    ensemble = Ensemble(["a", "b"])
    ensemble.bind(["teachers.a", "teachers.b"])
    with pytest.warns(UserWarning, match="teacher 'teachers.b': its outputs on 2 of 4 items of a batch are NaN or infinite"):
        found = target(ensemble, A, BROKEN)
    torch.testing.assert_close(found[[0, 2]], (A + B)[[0, 2]] / 2)
    torch.testing.assert_close(found[[1, 3]], A[[1, 3]])
    assert ensemble.given_weights["teachers.b"].tolist() == [0.5, 0, 0.5, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target(ensemble, A, BROKEN)


@pytest.mark.parametrize(
    "options", [{"by": "entropy"}, {"by": "confidence"}, {"combine": "probabilities"}, {"by": "agreement"}]
)
def test_every_kind_of_ensemble_survives_it(options):
    with pytest.warns(UserWarning, match="NaN or infinite"):
        found = target(Ensemble(["a", "b"], **options), A, BROKEN)
    torch.testing.assert_close(found[[1, 3]].log_softmax(-1), A[[1, 3]].log_softmax(-1))


def test_weights_go_to_the_finite_ones_also_where_the_failing_one_had_them_all():
    with pytest.warns(UserWarning, match="NaN or infinite"):
        found = target(Ensemble(["a", "b"], weights=[0, 1]), A, BROKEN)
    torch.testing.assert_close(found, torch.where(torch.tensor([True, False, True, False])[:, None], B, A))


def test_an_item_on_which_all_teachers_fail_is_refused():
    actors = Actors({"student": trained(student())} | {f"teachers.{k}": frozen(Nan()) for k in "ab"})
    for teacher in (Ensemble("teachers.*"), "teachers.*"):
        with pytest.warns(UserWarning, match="NaN or infinite"), pytest.raises(TermError, match="holds NaN or infinity"):
            Criterion([Term(SoftTargets(), teacher=teacher)], actors=actors, example=(X, Y))


class Nan(nn.Module):
    """A network whose outputs are NaN on the items of `rows`."""

    def __init__(self, rows=slice(None)):
        super().__init__()
        self.net, self.rows, self.body = Net(seed=3).eval(), rows, nn.Identity()

    def forward(self, x):
        out = self.net(x).clone()
        out[self.rows] = float("nan")
        return self.body(out)


def test_the_mean_of_losses_is_over_the_teachers_that_answer():
    good, bad = Net(seed=1).eval(), Nan(rows=slice(0, 2))
    actors = Actors({"student": trained(student()), "teachers.a": frozen(good), "teachers.b": frozen(bad)})
    with pytest.warns(UserWarning, match="teacher 'teachers.b': its outputs on 2 of"):
        found = Criterion([Term(SoftTargets(temperature=1), teacher="teachers.*")], actors=actors)((X, Y))["loss"]
    s = actors["student"].model(X).log_softmax(-1)
    both = [F.kl_div(s, net(X).log_softmax(-1), reduction="none", log_target=True).sum(-1) for net in (good, bad.net)]
    expected = torch.cat([both[0][:2], (both[0] + both[1])[2:] / 2]).mean()
    torch.testing.assert_close(found, expected)
    found.backward()
    assert all(torch.isfinite(p.grad).all() for p in actors["student"].model.parameters() if p.grad is not None)


def test_features_of_a_failing_teacher_too():
    actors = Actors(
        {"student": trained(student()), "teachers.a": frozen(Net(seed=1).eval()), "teachers.b": frozen(Nan(slice(0, 1)))}
    )
    with pytest.warns(UserWarning, match="NaN or infinite"):
        found = Criterion([Term(Hint(), "student", "teachers.*")], actors=actors, example=(X, Y))((X, Y))["loss"]
    assert torch.isfinite(found)


def test_weights_that_all_become_zero_are_equal_and_said():
    ensemble = Ensemble(["a", "b"], by=NoWeight())
    with pytest.warns(UserWarning, match="NoWeight gives every teacher weight 0 on 4 of 4 items of a batch; they are"):
        found = target(ensemble, A, B)
    torch.testing.assert_close(found, (A + B) / 2)


def test_gradient_stays_finite_beside_a_teacher_that_fails():
    actors = Actors({"student": trained(student()), "teachers.a": frozen(Net(seed=1)), "teachers.b": frozen(Nan(slice(0, 2)))})
    term = Term(SoftTargets(), teacher=Ensemble("teachers.*", by="routing"))
    with pytest.warns(UserWarning, match="NaN or infinite"):
        criterion = Criterion([term], actors=actors, example=(X, Y))
    criterion((X, Y))["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in criterion.parameters())


@pytest.mark.parametrize("labels", [True, False])
def test_weights_of_teachers_are_shared_out_among_those_that_answer(labels):
    """EB-KD and CA-MKD: the weights that a failing teacher had go to the others, in proportion, so that their sum stays 1."""
    nets = {"a": Net(seed=1).eval(), "b": Net(seed=2).eval(), "c": Nan(slice(0, 2))}
    actors = Actors({"student": trained(student())} | {f"teachers.{name}": frozen(net) for name, net in nets.items()})
    term = Term(SoftTargets(temperature=1), teacher="teachers.*", item_weight=Confidence(labels=labels, sum_to="teachers"))
    with pytest.warns(UserWarning, match="teacher 'teachers.c': its outputs on 2 of"):
        found = Criterion([term], actors=actors)((X, Y))["loss"]
    s = actors["student"].model(X).log_softmax(-1)
    log_p = [net(X).log_softmax(-1) for net in (nets["a"], nets["b"], nets["c"].net)]
    losses = torch.stack([F.kl_div(s, each, reduction="none", log_target=True).sum(-1) for each in log_p])
    uniform = torch.full_like(log_p[2][:2], 1 / log_p[2].shape[-1]).log()  # what a failing teacher is weighed as
    read = torch.stack([*log_p[:2], torch.cat([uniform, log_p[2][2:]])])
    entropy = -(read.exp() * read).sum(-1)
    share = (-read.gather(-1, Y.expand(3, -1)[..., None])[..., 0]).softmax(0) if labels else entropy / entropy.sum(0)
    weights = (1 - share) / 2
    weights[2, :2] = 0
    torch.testing.assert_close(found, (weights / weights.sum(0) * losses).sum(0).mean())


OF_A = torch.tensor([0, 0, 1, 0])


@pytest.mark.parametrize("combine", ["logits", "probabilities"])
def test_no_teacher_takes_the_place_of_one_that_alone_knows_a_domain(combine):
    """BROKEN fails on items 1 and 3."""
    ensemble = Ensemble(["a", "b"], by="domain", combine=combine)
    ensemble.bind(["teachers.a", "teachers.b"])
    with pytest.raises(ValueError, match=r"teacher 'teachers\.b': its outputs on 1 of 3 items of its own in a batch are NaN"):
        ensemble.make_target([A, BROKEN], Batch({"default": IMAGES}, extras={"domain": torch.tensor([1, 0, 1, 1])}), A)


def test_a_teacher_that_fails_on_items_of_other_domains_changes_nothing():
    batch = Batch({"default": IMAGES}, extras={"domain": OF_A})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Ensemble(["a", "b"], by="domain").make_target([A, BROKEN], batch, A)
    torch.testing.assert_close(found, torch.where(OF_A[:, None] == 0, A, B))


def test_losses_of_each_domain_are_those_of_its_teacher_alone():
    good, bad = Net(seed=1).eval(), Nan(rows=slice(0, 2))
    actors = Actors({"student": trained(student()), "teachers.a": frozen(good), "teachers.b": frozen(bad)})
    criterion = Criterion([Term(SoftTargets(temperature=1), teacher="teachers.*", item_weight=Domain())], actors=actors)

    def batch(domain: torch.Tensor) -> Batch:
        return Batch({"default": X}, target=Y, extras={"domain": domain})

    own = torch.arange(len(X)) >= 2  # b answers there
    found = criterion(batch(own.long()))["loss"]
    s = actors["student"].model(X).log_softmax(-1)
    losses = [F.kl_div(s, net(X).log_softmax(-1), reduction="none", log_target=True).sum(-1) for net in (good, bad.net)]
    torch.testing.assert_close(found, torch.where(own, losses[1], losses[0]).mean() / 2)
    with pytest.raises(TermError, match=r"'teachers\.b'.*no other teacher knows these"):
        criterion(batch(torch.ones(len(X), dtype=torch.int64)))
