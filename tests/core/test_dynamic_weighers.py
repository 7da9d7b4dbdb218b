"""Weights by agreement, domain, hardness and uncertainty, and temperatures that are trained; all computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.core.weighers import (
    AdversarialTemperature,
    Agreement,
    ByUncertainty,
    Domain,
    Hardness,
    MostUncertain,
    WeightedSoftLabels,
    registry,
)
from limbeck.core.weighers.divergence import jensen_shannon
from limbeck.objectives import HardTargets, Hint, SoftTargets
from tests.core.networks import Net, X, Y, student, teacher

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])  # two samples, three classes
Q = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.1, 0.7]])
FAR = torch.tensor([[0.01, 0.01, 0.98], [0.98, 0.01, 0.01]])
LABELS = torch.tensor([0, 1])


def weights(part, signals=(), of=None, target=None, progress=0.0, **batch):
    of = P.log() if of is None else of
    return part(list(signals), Batch({"default": torch.zeros(len(of), 1)}, target=target, **batch), of, progress)


def by_hand(p, q):
    m = (p + q) / 2
    return 0.5 * ((p * (p / m).log2()).sum(-1) + (q * (q / m).log2()).sum(-1))


def test_the_distance_of_distributions():
    torch.testing.assert_close(jensen_shannon(P.log(), Q.log()), by_hand(P, Q))
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).clamp_min(1e-30).log()
    torch.testing.assert_close(jensen_shannon(apart[0], apart[1]), torch.tensor(1.0))


# --- agreement -----------------------------------------------------------------------------------------------------------


def test_a_teacher_that_agrees_with_nobody_loses_its_weight():
    own = Agreement(sharpness=10, remember=0)
    found = weights(own, [P.log(), Q.log(), FAR.log()])
    near = by_hand(P, Q)
    far = torch.minimum(by_hand(FAR, P), by_hand(FAR, Q))
    torch.testing.assert_close(found, torch.softmax(-10 * torch.stack([near, near, far]), 0))
    assert found[2].max() < 0.02
    torch.testing.assert_close(weights(own, [P.log(), FAR.log()]), torch.full((2, 2), 0.5))  # two cannot outvote each other


def test_agreement_remembers_earlier_batches_in_training_only():
    own = Agreement(remember=0.9)
    own.prepare([P.log(), Q.log(), FAR.log()], P.log(), torch.device("cpu"), None)
    weights(own, [P.log(), Q.log(), FAR.log()])
    kept = own.distance.clone()
    torch.testing.assert_close(kept[0], by_hand(P, Q).mean())
    weights(own.eval(), [FAR.log(), Q.log(), FAR.log()])
    assert torch.equal(own.distance, kept)
    weights(own.train(), [P.log(), P.log(), P.log()])
    torch.testing.assert_close(own.distance, 0.9 * kept, atol=1e-6, rtol=1e-5)


# --- domain --------------------------------------------------------------------------------------------------------------


def test_items_go_to_the_teacher_of_their_domain():
    domain = {"domain": torch.tensor([1, 0])}
    found = weights(Domain(), [P.log(), Q.log()], extras=domain)
    assert found.tolist() == [[0, 1], [1, 0]]
    found = weights(Domain(routes=[2, 2]), [P.log(), Q.log(), FAR.log()], extras=domain)
    assert found.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_a_domain_may_be_a_field_of_the_items():
    batch = Batch({"default": {"image": torch.zeros(2, 3), "place": torch.tensor([[1.0], [0.0]])}})
    assert Domain(field="place")([P.log(), Q.log()], batch, P.log(), 0.0).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("part", "extras", "message"),
    [
        (
            Domain(),
            {"domain": torch.tensor([0, 2])},
            r"1 of 2 items is of domain 2, and there are teachers for domains 0 to 1; add a",
        ),
        (Domain(), {}, r"items have no field 'domain' \(they have: none\); use the source mixture"),
        (Domain(routes=[0, 5]), {"domain": torch.tensor([0, 1])}, r"routes name teacher 5, and there are 2 \(0 to 1\)"),
        (Domain(), {"domain": torch.zeros(2, 2)}, r"shape \(2, 2\); expected one number"),
    ],
)
def test_a_router_that_knows_no_teacher_is_refused(part, extras, message):
    with pytest.raises(ValueError, match=message):
        weights(part, [P.log(), Q.log()], extras=extras)


# --- hardness ------------------------------------------------------------------------------------------------------------


def test_hardness_by_each_measure():
    entropy = -(P * P.log()).sum(-1) / math.log(3)
    torch.testing.assert_close(weights(Hardness()), entropy)
    torch.testing.assert_close(weights(Hardness(by="confidence")), (1 - P.amax(-1)) * 3 / 2)
    torch.testing.assert_close(weights(Hardness(by="disagreement"), [Q.log()]), by_hand(P, Q))
    torch.testing.assert_close(weights(Hardness(by="difficulty"), target=LABELS), torch.tensor([0.3, 0.9]))
    unlabelled = torch.tensor([0, -100])
    torch.testing.assert_close(weights(Hardness(by="difficulty"), target=unlabelled), torch.tensor([0.3, 1.0]))


@pytest.mark.parametrize("by", ["entropy", "confidence", "difficulty"])
def test_easy_and_hard_share_an_item(by):
    hard, easy = (weights(Hardness(by=by, prefer=one), target=LABELS) for one in ("hard", "easy"))
    torch.testing.assert_close(hard + easy, torch.ones(2))


def test_weighted_soft_labels_by_hand():
    ours, theirs = -torch.tensor([0.7, 0.1]).log(), -torch.tensor([0.6, 0.1]).log()
    torch.testing.assert_close(weights(WeightedSoftLabels(), [Q.log()], target=LABELS), 1 - torch.exp(-ours / theirs))
    assert weights(WeightedSoftLabels(), [Q.log()], target=torch.tensor([-100, 1]))[0] == 1
    with pytest.raises(ValueError, match="needs labels"):
        weights(WeightedSoftLabels(), [Q.log()])
    with pytest.raises(ValueError, match="2 teacher signals"):
        weights(WeightedSoftLabels(), [Q.log(), Q.log()], target=LABELS)


def test_the_most_uncertain_items_are_chosen():
    assert weights(MostUncertain(share=0.5)).tolist() == [2, 0]
    assert weights(MostUncertain(share=0.5, by="margin")).tolist() == [2, 0]
    assert weights(MostUncertain(share=1.0)).tolist() == [1, 1]
    assert weights(MostUncertain(share=0.5, by="confidence"), of=torch.eye(3)).tolist().count(0) == 1  # ⌈1.5⌉ of three


def test_small_teachers_for_items_that_the_student_is_unsure_of():
    entropy = -(P * P.log()).sum(-1) / math.log(3)
    torch.testing.assert_close(weights(ByUncertainty(), [Q.log()] * 2), torch.stack([entropy, 1 - entropy]))
    assert weights(ByUncertainty(soft=False), [Q.log()] * 2).tolist() == [[1, 0], [0, 1]]  # the first item is less certain
    three = weights(ByUncertainty(), [Q.log()] * 3)
    torch.testing.assert_close(three.sum(0), torch.ones(2))
    with pytest.raises(ValueError, match="no teacher"):
        weights(ByUncertainty())


ONE = torch.zeros(2, 1)
NAMES = [name for name in registry if registry[name].reads_classes and name != "head_confidence"]  # which reads modules
OF_CLASSES = [registry[name]() for name in NAMES]
OF_CLASSES += [Hardness(by="confidence"), Hardness(by="disagreement"), Hardness(by="difficulty"), MostUncertain(by="margin")]


@pytest.mark.parametrize("part", OF_CLASSES, ids=lambda part: f"{type(part).__name__} {getattr(part, 'by', '')}")
def test_outputs_of_one_class_are_refused_by_all_that_read_classes(part):
    teachers = [ONE] if isinstance(part, WeightedSoftLabels) else [ONE, ONE]
    with pytest.raises(ValueError, match=r"compares classes, and logits of shape \(2, 1\) are of one class.*; give the models"):
        weights(part, teachers, of=ONE, target=torch.zeros(2, dtype=torch.int64))


def test_one_class_is_refused_before_the_first_step_and_the_teacher_is_not_blamed():
    actors = Actors({"student": trained(torch.nn.Linear(3, 1)), "teacher": frozen(torch.nn.Linear(3, 1))})
    loss = Criterion([Term(SoftTargets(), temperature="by_confidence")], actors=actors)
    with pytest.raises(TermError, match=r"'soft_targets'.*are of one class, of which every item is sure"):
        loss.build(Batch({"default": X}, target=torch.zeros(len(X), dtype=torch.int64)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Agreement(sharpness=0), "sharpness is 0; use a value above 0"),
        (lambda: Agreement(remember=1), "remember is 1; use a share"),
        (lambda: Domain(routes=[-1]), r"routes is \[-1\]"),
        (lambda: Hardness(by="size"), "by is 'size'; expected entropy, confidence"),
        (lambda: Hardness(prefer="both"), "prefer is 'both'"),
        (lambda: MostUncertain(share=0), "share is 0"),
        (lambda: MostUncertain(by="size"), "by is 'size'"),
        (lambda: AdversarialTemperature(span=0), "span is 0; use a value above 0"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- trained temperatures ------------------------------------------------------------------------------------------------


def ctkd_loss(progress, items=False):
    actors = Actors({"student": trained(student()), "teacher": frozen(teacher())})
    term = Term(SoftTargets(), temperature=AdversarialTemperature(low=1, span=4, until=0.5, items=items))
    criterion = Criterion([term], actors=actors, example=(X, Y))
    loss = criterion((X, Y), progress=progress)["loss"]
    loss.backward()
    return actors, criterion, loss


def test_a_trained_temperature_climbs_the_loss_that_the_student_descends():
    actors, criterion, loss = ctkd_loss(progress=0.25)  # λ = 1/2
    theta = torch.zeros((), requires_grad=True)
    ours, theirs = actors["student"].model, actors["teacher"].model
    temperature = 1 + 4 * torch.sigmoid(theta)
    log_s, log_t = (torch.log_softmax(signal / temperature, -1) for signal in (ours(X).detach(), theirs(X).detach()))
    expected = temperature**2 * F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(expected, theta)
    (parameter,) = criterion.weighers.parameters()
    torch.testing.assert_close(parameter.grad, -0.5 * gradient[None])
    assert all(p.grad is None for p in theirs.parameters())
    assert ours.head.weight.grad.abs().sum() > 0


def test_the_reversed_gradient_starts_at_zero():
    _, criterion, _ = ctkd_loss(progress=0.0)
    (parameter,) = criterion.weighers.parameters()
    assert parameter.grad.tolist() == [0]


def test_each_item_may_have_a_trained_temperature():
    _, criterion, _ = ctkd_loss(progress=0.5, items=True)
    last = criterion.weighers[0]["temperature"].network[2]
    assert last.weight.grad.abs().sum() > 0


# --- several teachers ----------------------------------------------------------------------------------------------------


def test_every_teacher_of_a_hint_has_an_adapter_of_its_own():
    narrow, wide = Net(7, seed=1), Net(7, seed=2)
    actors = Actors({"student": trained(student()), "teachers.a": frozen(narrow), "teachers.b": frozen(wide)})
    criterion = Criterion([Term(Hint(), "student:body", "teachers.*:body")], actors=actors, example=(X, Y))
    maps = [module for module in criterion.adapters.modules() if isinstance(module, torch.nn.Linear)]
    assert len(maps) == 2
    feature = actors["student"].model.body(X)
    expected = [(one(feature) - net.body(X)).square().mean() for one, net in zip(maps, (narrow, wide), strict=True)]
    torch.testing.assert_close(criterion((X, Y))["loss"], torch.stack(expected).mean())


def test_feature_weights_come_from_the_teachers_own_classifiers():
    nets = [Net(7, seed=1).eval(), Net(7, seed=2).eval()]
    actors = Actors({"student": trained(student())} | {f"teachers.{k}": frozen(net) for k, net in enumerate(nets)})
    weigher = {"head_confidence": {"classifier": "head", "sum_to": "teachers"}}
    term = Term(Hint(), "student:body", "teachers.*:body", item_weight=weigher)
    criterion = Criterion([term], actors=actors, example=(X, Y))
    found = criterion((X, Y))["loss"]
    maps = [module for module in criterion.adapters.modules() if isinstance(module, torch.nn.Linear)]
    mapped = [one(actors["student"].model.body(X)) for one in maps]
    wrong = torch.stack([F.cross_entropy(net.head(own), Y, reduction="none") for net, own in zip(nets, mapped, strict=True)])
    share = 1 - torch.softmax(wrong, 0)
    losses = torch.stack([(own - net.body(X)).square().mean(-1) for net, own in zip(nets, mapped, strict=True)])
    torch.testing.assert_close(found, (share * losses).sum(0).mean())
    found.backward()
    assert all(p.grad is None for net in nets for p in net.parameters())
    assert actors["student"].model.body.weight.grad.abs().sum() > 0


def test_a_feature_weight_needs_the_width_that_the_classifier_reads():
    actors = Actors({"student": trained(student())} | {f"teachers.{k}": frozen(Net(7, seed=k)) for k in (1, 2)})
    term = Term(Hint(), "student:head", "teachers.*:head", item_weight="head_confidence")
    with pytest.raises(ValueError, match="unknown tap 'linear'"):
        Criterion([term], actors=actors, example=(X, Y))
    term = Term(Hint(), "student:head", "teachers.*:head", item_weight={"head_confidence": {"classifier": "head"}})
    with pytest.raises(TermError, match="reads 7 features, and the adapted ones have 4"):
        Criterion([term], actors=actors, example=(X, Y))


def test_labels_of_easy_items_and_the_teacher_of_hard_ones():
    actors = Actors({"student": trained(student()), "teacher": frozen(teacher())})
    terms = [
        Term(HardTargets(), item_weight={"hardness": {"by": "disagreement", "prefer": "easy", "of": "teacher"}}),
        Term(SoftTargets(), item_weight={"hardness": {"by": "disagreement"}}),
    ]
    found = Criterion(terms, actors=actors)((X, Y))["loss"]
    s, t = actors["student"].model(X), actors["teacher"].model(X)
    hard = by_hand(torch.softmax(s, -1), torch.softmax(t, -1)).detach()
    kl = 16 * F.kl_div(torch.log_softmax(s / 4, -1), torch.log_softmax(t / 4, -1), reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(found, ((1 - hard) * F.cross_entropy(s, Y, reduction="none") + hard * kl).mean())


def test_an_ensemble_by_agreement_in_a_criterion():
    nets = {f"teachers.{k}": frozen(Net(7, seed=k).eval()) for k in (1, 2, 3)}
    actors = Actors({"student": trained(student())} | nets)
    criterion = Criterion([Term(SoftTargets(), teacher=Ensemble("teachers.*", by="agreement"))], actors=actors, example=(X, Y))
    assert criterion((X, Y))["loss"] > 0
    assert "teachers.0.by.distance" in criterion.state_dict()
