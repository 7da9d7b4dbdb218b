"""Ensembles: means of logits and of probabilities."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.signals import LinearLogits, TopK
from limbeck.core.teachers import Drawn, EarlyExit, Ensemble, MinLogit
from limbeck.core.terms import Term
from limbeck.core.weighers import Weigher
from limbeck.objectives import SoftTargets

A, B = 3 * torch.randn(2, 4, 5, dtype=torch.float64)
STUDENT = torch.randn(4, 5, dtype=torch.float64)
X, Y = torch.randn(4, 3), torch.tensor([0, 1, 4, 2])


def answer(teacher, signals=(), target=None, student=STUDENT):
    return teacher.make_target(list(signals), Batch({"default": X}, target=target), student)


def kl(teacher_probabilities, student_logits):
    return (teacher_probabilities * (teacher_probabilities.log() - student_logits.log_softmax(-1))).sum(-1)


def test_mean_logits():
    torch.testing.assert_close(answer(Ensemble(["a", "b"]), (A, B)), (A + B) / 2)
    torch.testing.assert_close(answer(Ensemble(["a", "b"], weights=[1, 3]), (A, B)), A / 4 + 3 * B / 4)


def test_mean_probabilities():
    for weights, expected in ((None, (A.softmax(-1) + B.softmax(-1)) / 2), ([1, 3], A.softmax(-1) / 4 + 3 * B.softmax(-1) / 4)):
        given = answer(Ensemble(["a", "b"], combine="probabilities", weights=weights), (A, B))
        torch.testing.assert_close(given.exp(), expected)
    torch.testing.assert_close(
        answer(Ensemble(["a", "b"], combine="probabilities", weights=[0, 1]), (A, B)).exp(), B.softmax(-1)
    )


def fixed(logits: torch.Tensor) -> nn.Module:
    """A model that says `logits` whatever it reads."""
    model = nn.Linear(3, 5, dtype=logits.dtype)
    model.forward = lambda x: logits + 0 * model.weight.sum()
    return model


def test_logits_probabilities_and_losses_are_three_different_means():
    actors = Actors({"student": trained(fixed(STUDENT)), "peers.a": frozen(fixed(A)), "peers.b": frozen(fixed(B))})
    teachers = {
        "logits": Ensemble("peers.*"),
        "probabilities": Ensemble("peers.*", combine="probabilities"),
        "losses": "peers.*",
    }
    terms = [Term(SoftTargets(temperature=1), teacher=teacher, name=name) for name, teacher in teachers.items()]
    losses = Criterion(terms, actors=actors)(Batch({"default": X}))
    expected = {
        "logits": kl(((A + B) / 2).softmax(-1), STUDENT).mean(),
        "probabilities": kl((A.softmax(-1) + B.softmax(-1)) / 2, STUDENT).mean(),
        "losses": (kl(A.softmax(-1), STUDENT) + kl(B.softmax(-1), STUDENT)).mean() / 2,
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].detach(), value)
    assert len({round(value.item(), 3) for value in expected.values()}) == 3


def test_an_ensemble_reads_logits_not_multiplied_out():
    signal = LinearLogits(torch.randn(4, 2), torch.randn(5, 2))
    torch.testing.assert_close(answer(Ensemble("x"), (signal, signal.dense())), signal.dense())


def test_what_cannot_be_averaged_is_refused_with_its_shapes():
    with pytest.raises(ValueError, match=r"its members output 5, 6 classes, in this order"):
        answer(Ensemble("x"), (A, torch.randn(4, 6)))
    with pytest.raises(ValueError, match="dense logits"):
        answer(Ensemble("x"), (TopK(torch.rand(4, 2), torch.zeros(4, 2), torch.rand(4)),))
    with pytest.raises(ValueError, match="1 weights for 2 teachers"):
        answer(Ensemble("x", weights=[1]), (A, B))
    for weights in ([1, -1], [0, 0]):
        with pytest.raises(ValueError, match="numbers of 0 or more, not all 0"):
            Ensemble("x", weights=weights)
    with pytest.raises(ValueError, match="combine is 'votes'"):
        Ensemble("x", combine="votes")


# --- weights by item -----------------------------------------------------------------------------------------------------


def test_members_are_weighed_item_by_item():
    given = Ensemble(["a", "b"], by="confidence")
    found = answer(given, (A, B), target=Y)
    losses = torch.stack([F.cross_entropy(z, Y, reduction="none") for z in (A, B)])
    share = 1 - losses.softmax(0)  # for two teachers
    torch.testing.assert_close(found, share[0, :, None] * A + share[1, :, None] * B)
    torch.testing.assert_close(torch.stack(list(given.given_weights.values())), share)
    mixed = answer(Ensemble(["a", "b"], by="confidence", combine="probabilities"), (A, B), target=Y)
    torch.testing.assert_close(mixed.exp(), share[0, :, None] * A.softmax(-1) + share[1, :, None] * B.softmax(-1))


class Given(Weigher):
    """Weights that are handed over."""

    def __init__(self, weights, references=()):
        super().__init__()
        self.fixed, self.references = weights, references

    def weigh(self, signals, batch, student, progress):
        return self.fixed


def test_weights_are_normalised_and_zero_is_equal():
    weights = torch.tensor([[3.0, 0, 1, 0], [1, 0, 1, 5]], dtype=torch.float64)
    found = answer(Ensemble(["a", "b"], by=Given(weights)), (A, B))
    torch.testing.assert_close(found, torch.stack([0.75 * A[0] + 0.25 * B[0], *(A + B)[1:3] / 2, B[3]]))
    with pytest.raises(ValueError, match=r"by gives weights of shape \(4,\); expected one for each teacher and item, \(2, 4\)"):
        answer(Ensemble(["a", "b"], by=Given(torch.ones(4))), (A, B))
    with pytest.raises(ValueError, match="give one of the two"):
        Ensemble("x", by="confidence", weights=[1, 1])
    with pytest.raises(ValueError, match="unknown weigher 'confidenc'; nearest: confidence"):
        Ensemble("x", by="confidenc")
    with pytest.raises(ValueError, match=r"by reads peers\.\*; name single signals"):
        Ensemble("x", by={"entropy": {"of": "peers.*"}})


@pytest.mark.parametrize("combine", ["logits", "probabilities"])
@pytest.mark.parametrize(
    "outputs", [torch.tensor([[torch.nan] * 3, [0.0, 1, 2]]), torch.tensor([[1e4, -1e4, 0], [5e3, 0, -1e4]])]
)
def test_a_gate_has_a_finite_gradient_where_a_teacher_has_no_weight(combine, outputs):
    """One that fails on an item, or one that a sure gate leaves out."""
    torch.manual_seed(4)  # with which one weight is smaller than the least normal number
    inputs = Batch({"default": torch.tensor([[0.0], [1.0]])}, target=torch.tensor([0, 1]))
    teachers = {"teachers.a": frozen(nn.Linear(1, 3)), "teachers.b": frozen(_Table(outputs))}
    term = Term(SoftTargets(), teacher=Ensemble("teachers.*", by="routing", combine=combine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the failing teacher
        criterion = Criterion([term], actors=Actors({"student": trained(nn.Linear(1, 3)), **teachers}), example=inputs)
        for parameter in criterion.parameters():
            nn.init.constant_(parameter, 100.0 if parameter.ndim > 1 else 0.0)
            parameter.data[0] = -100.0
        criterion(inputs)["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in criterion.parameters())


class _Table(nn.Module):
    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.rows[numbers[:, 0].long()]


def test_a_pattern_excludes_the_student_itself_unless_asked():
    logits = {"peers.a": STUDENT, "peers.b": A, "peers.c": B}
    for own, expected in ((False, (A + B) / 2), (True, (STUDENT + A + B) / 3)):
        actors = Actors({name: trained(fixed(value)) for name, value in logits.items()})
        term = Term(SoftTargets(temperature=1), student="peers.a", teacher=Ensemble("peers.*", own=own))
        loss = Criterion([term], actors=actors, trains=("peers.a",))(Batch({"default": X}))["loss"]
        torch.testing.assert_close(loss.detach(), kl(expected.softmax(-1), STUDENT).mean())
    with pytest.raises(ValueError, match=r"matches no actor other than 'peers\.a' itself"):
        Term(SoftTargets(), student="peers.a", teacher=Ensemble("peers.*")).bind(Actors({"peers.a": trained(fixed(A))}))


def test_a_random_teacher_gets_a_small_weight():
    """Three teachers of separable points, of which one was never trained: its weight is small, and its noise stays out."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 3), torch.arange(64) % 3
    x = x + 6 * F.one_hot(y, 3)
    actors = {"student": trained(nn.Linear(3, 3)), "teachers.random": frozen(nn.Linear(3, 3))}
    for name in ("good", "other"):
        model = nn.Linear(3, 3)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        actors[f"teachers.{name}"] = frozen(model)
    term = Term(SoftTargets(), teacher={"ensemble": {"of": "teachers.*", "by": "confidence"}})
    criterion = Criterion([term], actors=Actors(actors))
    criterion((x, y))
    sums = criterion.read_weight_statistics()
    means = {name: float(value[1] / value[0]) for name, value in sums.items()}
    assert set(means) == {f"soft_targets.teachers.{name}" for name in ("random", "good", "other")}
    assert means["soft_targets.teachers.random"] < 0.15
    assert sum(means.values()) == pytest.approx(1)


# --- class sets ----------------------------------------------------------------------------------------------------------

PETS, FARM = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
CLASSES = {"pets": ["cat", "dog"], "farm": ["dog", "horse", "cow"]}


def bound(**options):
    teacher = Ensemble(["teachers.pets", "teachers.farm"], **options)
    teacher.bind(["teachers.pets", "teachers.farm"])
    return teacher


def test_class_sets_are_merged_by_name():
    found = answer(bound(classes=CLASSES), (PETS, FARM))
    pets, farm = PETS - PETS.mean(-1, keepdim=True), FARM - FARM.mean(-1, keepdim=True)
    expected = torch.stack([pets[:, 0], (pets[:, 1] + farm[:, 0]) / 2, farm[:, 1], farm[:, 2]], -1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        answer(bound(classes=list(CLASSES.values())), (PETS + 7, FARM)), expected
    )  # softmax ignores shifts
    ordered = CLASSES | {"student": ["horse", "cat"]}
    torch.testing.assert_close(answer(bound(classes=ordered), (PETS, FARM)), expected[:, [2, 0]])


def test_merged_probabilities_are_a_mixture():
    weights = torch.tensor([[1.0, 0.25, 0, 0.5], [0, 0.75, 1, 0.5]], dtype=torch.float64)
    found = answer(bound(classes=CLASSES, combine="probabilities", by=Given(weights)), (PETS, FARM)).exp()
    p, f, (v, w) = PETS.softmax(-1), FARM.softmax(-1), weights[..., None]
    expected = torch.cat([v * p[:, :1], v * p[:, 1:] + w * f[:, :1], w * f[:, 1:]], -1)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_teachers_that_do_not_know_the_label_get_no_weight():
    given = bound(classes=CLASSES, by="confidence")
    answer(given, (PETS, FARM), target=torch.tensor([0, 0, 2, 3]))
    assert given.given_weights["teachers.pets"].tolist() == pytest.approx([1, 1, 0, 0], abs=1e-6)


def test_class_sets_that_do_not_fit_are_refused():
    for classes, message in (
        ({"pets": ["cat", "cat"]}, "hold a name twice"),
        (["cat", "dog"], "expected a list of class names for each teacher"),
        (CLASSES | {"student": ["cat", "cot"]}, "no teacher knows cot, which the student has"),
    ):
        with pytest.raises(ValueError, match=message):
            Ensemble("teachers.*", classes=classes)
    for classes, message in (
        ({"pets": ["cat", "dog"]}, "no class names of 'teachers.farm'; it has those of pets"),
        (CLASSES | {"zoo": ["lion"]}, "classes names zoo; the teachers are teachers.pets, teachers.farm"),
        ([["cat", "dog"]], "1 class sets for 2 teachers"),
    ):
        with pytest.raises(ValueError, match=message):
            bound(classes=classes)
    with pytest.raises(ValueError, match="2 outputs and 3 class names"):
        answer(bound(classes=CLASSES | {"pets": ["cat", "dog", "fox"]}), (PETS, FARM))
    with pytest.raises(ValueError, match="the student outputs 5 classes and the teachers' sets together hold 4"):
        bound(classes=CLASSES).build((4, 5), samples=None)


@pytest.mark.parametrize("build", [Ensemble, Drawn, MinLogit, EarlyExit])
@pytest.mark.parametrize("of", [[], (), "", ["a", ""], [None]])
def test_a_teacher_made_of_nothing_is_refused(build: Any, of: Any) -> None:
    with pytest.raises(
        ValueError, match=r"of is .*; expected names of signals, such as \[first, second\], or a pattern: peers"
    ):
        build(of)
