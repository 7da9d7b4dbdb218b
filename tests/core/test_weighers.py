"""Weights and temperatures of items, computed from the signals."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.schedules import Linear
from limbeck.core.signals import LinearLogits, TopK
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.core.weighers import (
    ByConfidence,
    Confidence,
    Entropy,
    Routing,
    StudentUncertainty,
    TeacherConfidence,
    Weigher,
    weigher,
)
from limbeck.core.weight_statistics import means_of_classes
from limbeck.objectives import Decoupled, HardTargets, SoftTargets
from tests.core.networks import Net, X, Y, student, teacher

SURE, UNSURE = torch.tensor([50.0, 0, 0, 0]), torch.zeros(4)
BOTH = torch.stack([SURE, UNSURE]).requires_grad_()
THREE = 3 * torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
LABELS = torch.tensor([0, 1, -100, 2, -100, 4])


def weights(part, signals=(), of=BOTH, target=None, progress=0.0):
    return part(list(signals), Batch({"default": torch.zeros(len(of), 1)}, target=target), of, progress)


def three_peers():
    return Actors({"student": trained(student())} | {f"peers.{n}": frozen(Net(seed=k + 2).eval()) for k, n in enumerate("abc")})


# --- entropy -------------------------------------------------------------------------------------------------------------


def test_sure_teachers_and_unsure_students_count_more():
    torch.testing.assert_close(weights(TeacherConfidence(), [BOTH]), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(weights(StudentUncertainty()), torch.tensor([0.0, 1.0]))


def test_weights_are_entropies_and_no_part_of_the_graph():
    logits = torch.randn(6, 5, requires_grad=True)
    expected = (torch.distributions.Categorical(logits=logits).entropy() / math.log(5)).detach()
    torch.testing.assert_close(weights(StudentUncertainty(), of=logits), expected)
    torch.testing.assert_close(weights(Entropy(prefer="certain"), [logits, logits], of=logits)[1], 1 - expected)
    softer = torch.distributions.Categorical(logits=logits.detach() / 3).entropy() / math.log(5)
    torch.testing.assert_close(weights(Entropy("student", prefer="uncertain", temperature=3), of=logits), softer)
    assert not weights(StudentUncertainty(), of=logits).requires_grad


def test_entropy_of_other_signals():
    signal = LinearLogits(torch.randn(3, 4), torch.randn(5, 4))
    torch.testing.assert_close(
        weights(StudentUncertainty(), of=signal.dense()), StudentUncertainty().weigh([], None, signal, 0)
    )
    with pytest.raises(ValueError, match="one dense signal of logits; got TopK"):
        weights(TeacherConfidence(), [TopK(torch.rand(2, 1), torch.zeros(2, 1), torch.rand(2))])
    with pytest.raises(ValueError, match="no teacher signal"):
        weights(TeacherConfidence())


def test_entropy_may_be_that_of_any_actor():
    actors = three_peers()
    loss = Criterion([Term(HardTargets(), item_weight={"entropy": {"of": "peers.b"}})], actors=actors)((X, Y))["loss"]
    confident = 1 - torch.distributions.Categorical(logits=actors["peers.b"].model(X)).entropy() / math.log(4)
    expected = F.cross_entropy(actors["student"].model(X), Y, reduction="none") * confident
    torch.testing.assert_close(loss, expected.mean())


# --- confidence ----------------------------------------------------------------------------------------------------------


def slow_confidence(logits, label):
    """The formulas for one item, as loops: CA-MKD with a label, EB-KD without one."""
    teachers = [row.tolist() for row in logits]
    p = [[math.exp(z) / sum(map(math.exp, row)) for z in row] for row in teachers]
    if label >= 0:
        losses = [-math.log(row[label]) for row in p]
        share = [math.exp(loss) / sum(map(math.exp, losses)) for loss in losses]
    else:
        entropies = [-sum(q * math.log(q) for q in row) for row in p]
        share = [entropy / sum(entropies) for entropy in entropies]
    return [(1 - one) / (len(teachers) - 1) for one in share]


def test_confidence_equals_the_loops():
    found = weights(Confidence(), THREE, of=THREE[0], target=LABELS)
    expected = [slow_confidence(THREE[:, item], int(LABELS[item])) for item in range(6)]
    torch.testing.assert_close(found.T, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(found.sum(0), torch.ones(6, dtype=torch.float64))
    without = weights(Confidence(labels=False), THREE, of=THREE[0], target=LABELS)
    expected = [slow_confidence(THREE[:, item], -100) for item in range(6)]
    torch.testing.assert_close(without.T, torch.tensor(expected, dtype=torch.float64))


def test_confidence_with_class_probabilities_tokens_and_one_teacher():
    hot = F.one_hot(LABELS.clamp(min=0), 5).double() * (LABELS >= 0)[:, None]
    torch.testing.assert_close(
        weights(Confidence(), THREE, of=THREE[0], target=hot), weights(Confidence(), THREE, of=THREE[0], target=LABELS)
    )
    tokens = THREE.view(3, 2, 3, 5)
    found = weights(Confidence(), tokens, of=tokens[0], target=LABELS.view(2, 3))
    torch.testing.assert_close(found.flatten(1), weights(Confidence(), THREE, of=THREE[0], target=LABELS))
    assert weights(Confidence(), THREE[:1], of=THREE[0]).tolist() == [[1.0] * 6]
    with pytest.raises(ValueError, match="no teacher to weigh"):
        weights(Confidence(), of=THREE[0])


# --- in a term -----------------------------------------------------------------------------------------------------------


def test_weights_of_teachers_multiply_each_ones_loss():
    actors = three_peers()
    criterion = Criterion([Term(SoftTargets(), teacher="peers.*", item_weight="confidence")], actors=actors)
    found = criterion((X, Y))["loss"]
    s, peers = actors["student"].model(X), [actors[f"peers.{n}"].model(X) for n in "abc"]
    share = weights(Confidence(), peers, of=s, target=Y)
    expected = torch.stack([SoftTargets()(s, t) for t in peers]) * share
    torch.testing.assert_close(found, expected.mean())


class OfBatch(Weigher):
    """A weigher with state, a schedule and two signals of other actors."""

    references = ("peers.a", "peers.b:body")

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def weigh(self, signals, batch, student, progress):
        teacher, other, body = signals
        assert teacher.shape == other.shape == student.shape
        assert body.shape == (batch.size, 5)
        assert not student.requires_grad
        if self.training:
            self.seen += batch.size
        return torch.full((batch.size,), 1 + progress)


def test_a_weigher_reads_any_actor_and_progress_and_keeps_state():
    given = OfBatch()
    criterion = Criterion([Term(SoftTargets(), teacher="peers.c", item_weight=given)], actors=three_peers(), example=(X, Y))
    assert criterion.state_dict()["weighers.0.item_weight.seen"] == 0  # the dry run counts nothing
    first, last = criterion((X, Y))["loss"], criterion((X, Y), progress=1.0)["loss"]
    torch.testing.assert_close(last, 2 * first)
    assert criterion.state_dict()["weighers.0.item_weight.seen"] == 12
    assert given.seen == 0  # each criterion has its own copy
    again = Criterion([Term(SoftTargets(), teacher="peers.c", item_weight=given)], actors=three_peers(), example=(X, Y))
    again.load_state_dict(criterion.state_dict())
    assert again.terms[0].item_weight.seen == 12


def test_weights_are_counted_for_the_log():
    criterion = Criterion([Term(SoftTargets(), item_weight=TeacherConfidence())], student(), teacher())
    criterion((X, Y))
    ((name, sums),) = criterion.read_weight_statistics().items()
    assert name == "soft_targets.item_weight"
    w = weights(TeacherConfidence(), [teacher().eval()(X)], of=X).double()
    torch.testing.assert_close(sums, torch.stack([torch.tensor(6.0).double(), w.sum(), w.square().sum()]), rtol=1e-5, atol=1e-6)
    assert criterion.read_weight_statistics() == {}


def test_weights_are_counted_in_each_class():
    labels = torch.tensor([0, 2, 2, -100, 3, 0])
    criterion = Criterion([Term(SoftTargets(), item_weight=TeacherConfidence())], student(), teacher())
    criterion((X, labels))
    criterion((X, labels))
    ((name, sums),) = criterion.read_class_weights().items()
    assert name == "soft_targets.item_weight"
    w = weights(TeacherConfidence(), [teacher().eval()(X)], of=X).double()
    expected = [[4, 0, 4, 2], [2 * w[[0, 5]].sum(), 0, 2 * w[[1, 2]].sum(), 2 * w[4]]]
    torch.testing.assert_close(sums, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)
    assert means_of_classes(sums) == pytest.approx(
        {"0": float(w[[0, 5]].mean()), "2": float(w[[1, 2]].mean()), "3": float(w[4])}, rel=1e-5
    )
    assert criterion.read_class_weights() == {}


def test_terms_on_features_have_no_classes():
    terms = [Term(SoftTargets(), student="0", teacher="0", item_weight=TeacherConfidence())]
    criterion = Criterion(terms, torch.nn.Sequential(student()), torch.nn.Sequential(teacher()))
    criterion((X, Y))
    assert criterion.read_class_weights() == {}
    assert len(criterion.read_weight_statistics()) == 1


# --- temperature ---------------------------------------------------------------------------------------------------------


def test_each_item_has_its_temperature():
    s, t = student(), teacher()
    found = Criterion([Term(SoftTargets(), temperature=ByConfidence(low=1, high=6))], s, t)((X, Y))["loss"]
    logits = t.eval()(X)
    own = 1 + 5 * (1 - torch.distributions.Categorical(logits=logits).entropy() / math.log(4))
    expected = [SoftTargets(temperature=float(T))(s(X)[i : i + 1], logits[i : i + 1]) for i, T in enumerate(own)]
    torch.testing.assert_close(found, torch.cat(expected).mean())
    constant = Criterion([Term(Decoupled(temperature=4), temperature={"by_confidence": {"low": 3, "high": 3}})], s, t)((X, Y))[
        "loss"
    ]
    torch.testing.assert_close(constant, Decoupled(temperature=3)(s(X), logits, target=Y).mean())


def test_temperatures_are_refused_where_there_is_no_such_form():
    class OtherForm(SoftTargets):
        def compare(self, student, teacher, **rest):
            return super().compare(student, teacher, **rest) / self.temperature

    with pytest.raises(TermError, match=r"loss of 'soft_targets' is not T²·f\(student/T, teacher/T\)"):
        Criterion([Term(OtherForm(), temperature=ByConfidence())], student(), teacher(), example=(X, Y))
    with pytest.raises(ValueError, match="it has no temperature"):
        Term(HardTargets(), temperature="by_confidence")
    with pytest.raises(ValueError, match="low is 0; use a value above 0"):
        ByConfidence(low=0)
    with pytest.raises(ValueError, match="unknown schedule 'by_confidnce'"):
        Term(SoftTargets(), temperature="by_confidnce")
    assert isinstance(Term(SoftTargets(), temperature={"linear": {"start": 4, "end": 1}}).temperature, Linear)


# --- learned -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["student", "student:body", "peers.c"])
def test_routing_starts_equal_and_learns_whom_to_follow(of):
    torch.manual_seed(0)
    net = student()
    net.requires_grad_(False)
    noise = Net(seed=5).eval()
    noise.head.weight.data *= 30
    actors = Actors(
        {
            "student": trained(net),
            "peers.a": frozen(copy.deepcopy(net)),
            "peers.b": frozen(noise),
            "peers.c": frozen(Net(seed=9)),
        }
    )
    criterion = Criterion([Term(SoftTargets(), teacher=Ensemble(["peers.a", "peers.b"], by=Routing(of)))], actors=actors)
    criterion.build(Batch({"default": X}))
    assert len(list(criterion.parameters())) == 2
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(criterion(Batch({"default": X}))["loss"])
        losses[-1].backward()
        optimizer.step()
    mean = (actors["peers.a"].model(X) + noise(X)) / 2
    torch.testing.assert_close(losses[0], SoftTargets()(net(X), mean).mean())
    share = criterion.terms[0].teacher.given_weights
    assert share["peers.a"].mean() > 0.7
    torch.testing.assert_close(share["peers.a"] + share["peers.b"], torch.ones(6))
    assert losses[-1] < losses[0] / 2


# --- names ---------------------------------------------------------------------------------------------------------------


def test_weighers_by_name_and_bad_names():
    assert isinstance(weigher("student_uncertainty"), StudentUncertainty)
    assert weigher({"entropy": {"of": "student"}}).of == "student"
    for value, message in (
        ("entropie", "unknown weigher 'entropie'; nearest: entropy"),
        ({"entropy": 3}, "its arguments are 3; expected a mapping"),
        ({"entropy": {"off": 1}}, "weigher 'entropy': .*'off'"),
        ({"entropy": {"prefer": "sure"}}, "prefer='sure': expected 'certain' or 'uncertain'"),
        ({"entropy": {"temperature": 0}}, "temperature is 0; use a value above 0"),
        ({"entropy": {}, "confidence": {}}, "one name with its arguments"),
    ):
        with pytest.raises(ValueError, match=message):
            weigher(value)
    with pytest.raises(ValueError, match="unknown actor 'assistant'"):
        Term(HardTargets(), item_weight=Entropy("assistant:logits")).bind(three_peers())
    with pytest.raises(ValueError, match=r"reads 'peers.\*'; name single signals"):
        Term(HardTargets(), item_weight=Entropy("peers.*")).bind(three_peers())
