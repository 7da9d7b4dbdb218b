"""What a term refers to in a given cast."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.errors import TapError
from limbeck.core.references import Reference
from limbeck.core.schedules import Constant, Cosine, Linear
from limbeck.core.teachers import Ensemble, PastPredictions
from limbeck.core.terms import Term
from limbeck.objectives import HardTargets, Hint, LogitMSE, SoftTargets


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def make_actors(**more: nn.Module) -> Actors:
    peers = {f"peers.{k}": trained(net()) for k in range(3)}
    return Actors({"student": trained(net()), "teacher": frozen(net()), **peers, **{k: frozen(m) for k, m in more.items()}})


def sides(term: Term, actors: Actors) -> list[tuple[str, str]]:
    return [(" ".join(map(str, one.students)), " ".join(map(str, one.teachers))) for one in term.bind(actors)]


def test_the_teacher_is_read_where_the_student_is():
    assert sides(Term(SoftTargets()), make_actors()) == [("student", "teacher")]
    assert sides(Term(Hint(), student="0"), make_actors()) == [("student:0", "teacher:0")]
    assert sides(Term(Hint(), student="0#weak"), make_actors()) == [("student:0#weak", "teacher:0#weak")]
    assert sides(Term(Hint(), student="0", teacher="1"), make_actors()) == [("student:0", "teacher:1")]
    assert sides(Term(Hint(), student=("0", "1"), teacher=("1", "0")), make_actors()) == [
        ("student:0 student:1", "teacher:1 teacher:0")
    ]


def test_objectives_without_a_teacher_ask_for_none():
    assert sides(Term(HardTargets()), Actors({"student": trained(net())})) == [("student", "")]


def test_a_missing_teacher_is_named():
    with pytest.raises(ValueError, match=r"soft_targets.*needs a teacher; name one of student"):
        Term(SoftTargets()).bind(Actors({"student": trained(net())}))
    with pytest.raises(ValueError, match="unknown actor 'teacher'"):
        Term(Hint(), student="0", teacher="0").bind(Actors({"student": trained(net())}))


def test_a_pattern_makes_one_term_for_each_actor_and_leaves_itself_out():
    term = Term(SoftTargets(), student="peers.*", teacher="peers.*")
    bound = term.bind(make_actors())
    assert [one.name for one in bound] == [f"soft_targets.peers.{k}" for k in range(3)]
    assert sides(term, make_actors())[1] == ("peers.1", "peers.0 peers.2")
    assert len({id(one.objective) for one in bound}) == 3


def test_a_pattern_that_matches_nobody_else_is_refused():
    alone = Actors({"peers.0": trained(net())})
    for teacher in ("peers.*", Ensemble("peers.*")):
        with pytest.raises(ValueError, match=r"'peers.\*' matches no actor other than 'peers.0' itself"):
            Term(SoftTargets(), student="peers.*", teacher=teacher).bind(alone)


def test_each_actor_of_a_pattern_has_its_own_teacher_and_adapter_state():
    past, bridge = PastPredictions(), nn.Linear(4, 4)
    bound = Term(Hint(), student="peers.*:0", teacher=past, adapter=bridge).bind(make_actors())
    assert len({id(one.teacher) for one in bound}) == len({id(one.adapter) for one in bound}) == 3
    assert all(one.teacher is not past and one.adapter is not bridge for one in bound)  # of another criterion, perhaps


class Exits(nn.Module):
    """A network with two exits and two variants."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.exits = nn.Linear(3, 4), nn.ModuleDict({"a": net4(), "b": net4()})
        self.variants = {"small": lambda model, x, g: model(x), "max": lambda model, x, g: model(x)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        body = self.body(x)
        return self.exits["a"](body) + self.exits["b"](body)


def net4() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def exits() -> Actors:
    return Actors({"student": trained(Exits()), "net": frozen(Exits())})


def test_patterns_over_variants_and_taps_make_terms_and_leave_themselves_out():
    taps = Term(Hint(), student="student:exits.*", teacher="student:exits.*")
    assert sides(taps, exits()) == [
        ("student:exits.a", "student:exits.b"),
        ("student:exits.b", "student:exits.a"),
    ]
    assert [one.name for one in taps.bind(exits())] == ["hint.exits.a", "hint.exits.b"]
    variants = Term(SoftTargets(), student="student@*", teacher="student@*", own=True)
    assert sides(variants, exits())[0] == ("student@small", "student@small student@max")
    assert variants.bind(exits())[0].averages_losses
    assert sides(Term(Hint(), student="exits.*", teacher="net@s*:exits.b"), exits()) == [
        ("student:exits.a", "net@small:exits.b"),
        ("student:exits.b", "net@small:exits.b"),
    ]
    assert sides(Term(HardTargets(), student="*@max:exits.*.1"), exits())[3] == ("net@max:exits.b.1", "")


def test_a_match_that_is_its_own_teacher_is_left_out():
    (bound,) = Term(SoftTargets(), student="student@*", teacher="student@max").bind(exits())
    assert (bound.name, str(bound.students[0])) == ("soft_targets.small", "student@small")
    with pytest.raises(ValueError, match=r"student 'student@m\*' matches only student@max, which is its teacher .*own: true"):
        Term(SoftTargets(), student="student@m*", teacher="student@max").bind(exits())


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Term(HardTargets(), student="student@tiny*"), r"student: 'student@tiny\*' matches nothing: .*variants small, max"),
        (Term(Hint(), student="student:heads.*"), r"student: 'student:heads.\*' matches nothing: the nearest taps .*exits"),
        (Term(SoftTargets(), teacher="clients.*"), r"teacher: unknown actors 'clients.\*'; nearest: student|net"),
        (
            Term(SoftTargets(), student="student@max", teacher="student@m*"),
            r"teacher 'student@m\*' matches no signal other than 'student@max' itself; .*own: true",
        ),
    ],
)
def test_patterns_without_a_match_say_what_there_is(term, message):
    with pytest.raises(ValueError, match=message):
        term.bind(exits())


def test_binding_leaves_the_term_as_it_was():
    term = Term(SoftTargets())
    (bound,) = term.bind(make_actors())
    assert term.students == ()
    assert bound.objective is not term.objective
    assert sides(term, make_actors()) == [("student", "teacher")]


def test_taps_of_two_actors_on_one_side_keep_their_actors():
    (bound,) = Term(Hint(), student=("peers.0:0", "peers.1:0"), teacher=("0", "0")).bind(make_actors())
    assert bound.students == (Reference("peers.0", tap="0"), Reference("peers.1", tap="0"))


def test_unknown_taps_of_either_side_are_refused():
    for term in (Term(Hint(), student="7"), Term(Hint(), student="0", teacher="7")):
        with pytest.raises(TapError, match="unknown tap '7'"):
            term.bind(make_actors())


def test_weights_and_temperatures_are_schedules():
    term = Term(SoftTargets(), weight={"linear": {"start": 1, "end": 0}}, temperature=2)
    assert term.weight == Linear(1, 0)
    assert term.temperature == Constant(2)
    assert term.bind(make_actors())[0].temperature == Constant(2)
    with pytest.raises(ValueError, match="'logit_mse': it has no temperature"):
        Term(LogitMSE(), temperature=2)


@pytest.mark.parametrize(
    ("temperature", "found"),
    [
        (0, "0 after 0.0%"),
        ({"linear": {"start": 4, "end": -4}}, "0 after 50.0%"),
        ({"linear": {"start": 4, "end": 0, "finish": 0.25}}, "0 after 25.0%"),
        ({"warmup": {"until": 0.1}}, "0 after 0.0%"),
    ],
)
def test_a_temperature_that_is_not_above_zero_within_the_stage_is_refused(temperature, found):
    with pytest.raises(
        ValueError, match=f"'soft_targets': temperature is {found} of the stage; use a schedule that stays above"
    ):
        Term(SoftTargets(), temperature=temperature)
    assert Term(SoftTargets(), temperature="cosine").temperature == Cosine(1, 0)  # 0 at the end, where no step is


def test_ensembles_read_the_pattern():
    (bound,) = Term(SoftTargets(), student="peers.0", teacher=Ensemble("peers.*")).bind(make_actors())
    assert [str(r) for r in bound.teachers] == ["peers.1", "peers.2"]
    assert not bound.averages_losses
    assert torch.is_tensor(bound.teacher.make_target([torch.zeros(1, 2)] * 2, None, torch.zeros(1, 2)))
