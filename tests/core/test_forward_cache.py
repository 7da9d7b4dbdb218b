"""Who runs, how often, and under which gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.actors import Actor, Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.errors import TapError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.probe_set import ProbeSet
from limbeck.core.references import Reference
from limbeck.recipe.errors import user_message
from limbeck.utils.registry import UnknownNameError

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A model that notes how it was run."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)
        self.runs: list[tuple[bool, bool]] = []  # in training mode, with gradient

    def forward(self, x: Tensor) -> Tensor:
        self.runs.append((self.training, torch.is_grad_enabled()))
        return self.head(self.norm(self.body(x)))


class Maker(Net):
    def forward(self, z: Tensor) -> Tensor:
        self.runs.append((self.training, torch.is_grad_enabled()))
        return self.norm(self.body(z))


def read(actors: dict[str, Actor], plan: GradientPlan, *texts: str, inputs=None, **options) -> tuple[list, ForwardCache]:
    actors = Actors(actors)
    references = [Reference.parse(text, actors=actors) for text in texts]
    probes = ProbeSet(actors)
    probes.add([*references, *([Reference(plan.generator)] if plan.generator else [])])
    forward_cache = ForwardCache(probes, Batch(inputs or {"default": X}), plan, **options)
    return [forward_cache[r] for r in references], forward_cache


def test_an_actor_runs_once_for_all_its_taps():
    s, t = Net(), Net()
    _, forward_cache = read(
        {"student": trained(s), "teacher": frozen(t)},
        GradientPlan(frozenset({"student"})),
        "body", "student", "input(head)", "teacher", "teacher:body",
    )  # fmt: skip
    assert s.runs == [(True, True)]
    assert t.runs == [(False, False)]
    assert (forward_cache.forwards, forward_cache.teacher_items) == (2, 4)


def test_what_is_not_trained_is_in_evaluation_mode_even_if_someone_changed_it():
    s, t, other = Net(), Net(), Net()
    actors = Actors({"student": trained(s), "teacher": frozen(t), "other": trained(other)})
    nn.ModuleList([s, t, other]).train()  # as a surrounding module does
    before = t.norm.running_mean.clone(), other.norm.running_mean.clone()
    read(actors, GradientPlan(frozenset({"student"})), "student", "teacher", "other")
    assert (s.runs, t.runs, other.runs) == ([(True, True)], [(False, False)], [(False, False)])
    assert torch.equal(t.norm.running_mean, before[0])
    assert torch.equal(other.norm.running_mean, before[1])


def test_no_grad_of_the_caller_counts():
    s = Net()
    with torch.no_grad():
        read({"student": trained(s)}, GradientPlan(frozenset({"student"})), "student")
    assert s.runs == [(True, False)]


def test_views_are_separate_forwards_and_unknown_ones_are_named():
    s, inputs = Net().eval(), {"weak": X, "strong": 2 * X}
    plan = GradientPlan(frozenset({"student"}))
    (weak, strong), _ = read({"student": trained(s)}, plan, "body#weak", "body#strong", inputs=inputs)
    torch.testing.assert_close(weak, s.body(X))
    torch.testing.assert_close(strong, s.body(2 * X))
    with pytest.raises(ValueError, match="view 'default' is not among the views of the source: weak, strong"):
        read({"student": trained(s)}, plan, "student", inputs=inputs)


def test_each_actor_reads_its_modality():
    s, t = Net(), Net()
    actors = {"student": trained(s, reads="sound"), "teacher": frozen(t, reads="image")}
    (ours, theirs), _ = read(
        actors, GradientPlan(frozenset({"student"})), "body", "teacher:body", inputs={"default": {"image": X, "sound": -X}}
    )
    torch.testing.assert_close(ours, s.body(-X))
    torch.testing.assert_close(theirs, t.body(X))
    with pytest.raises(UnknownNameError, match="modality read by actor 'student'"):
        read(actors, GradientPlan(frozenset({"student"})), "student", inputs={"default": {"image": X}})


def test_variants_run_their_own_way_and_miss_only_what_they_miss():
    s = Net()
    variants = {"early": lambda m, x, g: m.body(x), "random": lambda m, x, g: torch.rand(1, generator=g) + m(x)[:, :1] * 0}
    actors = {"student": trained(s, variants=variants)}
    plan = GradientPlan(frozenset({"student"}))
    (early, late), forward_cache = read(actors, plan, "@early", "head")
    torch.testing.assert_close(early, s.body(X))
    assert late.shape == (4, 2)
    with pytest.raises(TapError, match="tap 'head' was not reached"):
        forward_cache[Reference("student", "early", "head")]
    draws = [read(actors, plan, "@random", seed=seed)[0][0][0].item() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_generator_makes_inputs_for_all_once():
    s, t, g = Net(), Net(), Maker()
    actors = {"student": trained(s), "teacher": frozen(t), "generator": trained(g)}
    plan = GradientPlan(frozenset({"generator"}), generator="generator")
    (made, ours, theirs, inner), forward_cache = read(actors, plan, "generator", "body", "teacher:body", "generator:body")
    torch.testing.assert_close(ours, s.body(made))
    assert forward_cache.generated is made
    assert g.runs == [(True, True)]
    assert s.runs == t.runs == [(False, True)]
    assert all(p.grad is None for p in torch.nn.ModuleList([s, t]).parameters())
    (theirs.sum() + inner.sum()).backward()
    assert g.body.weight.grad.abs().sum() > 0
    assert t.body.weight.grad is None


def test_inputs_made_before_are_used_again():
    s, g = Net(), Maker()
    actors = {"student": trained(s), "generator": trained(g)}
    (ours,), _ = read(actors, GradientPlan(frozenset({"student"}), generator="generator"), "body", generated=3 * X)
    torch.testing.assert_close(ours, s.body(3 * X))
    assert g.runs == []


def test_a_generator_makes_one_view():
    actors = {"student": trained(Net()), "generator": trained(Maker())}
    with pytest.raises(ValueError, match="'generator' makes inputs of one view; its source gives default, other"):
        read(actors, GradientPlan(frozenset({"student"}), "generator"), "student", inputs={"default": X, "other": X})


def test_mixed_precision_reaches_the_models():
    (ours,), _ = read({"student": trained(Net())}, GradientPlan(frozenset({"student"})), "body", autocast=torch.bfloat16)
    assert ours.dtype is torch.bfloat16


class Broken(nn.Module):
    """Reads inputs of another width, or runs out of memory."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.linear, self.error = nn.Linear(7, 5), error

    def forward(self, x):
        if self.error is not None:
            raise self.error
        return self.linear(x)


def test_an_actor_that_cannot_read_the_inputs_is_named_in_the_dry_run():
    actors = {"teachers.a": frozen(Net()), "teachers.b": frozen(Broken())}
    plan = GradientPlan(frozenset())
    message = r"actor 'teachers\.b' \(Broken\) cannot read inputs of shape \[4, 3\]: mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(ValueError, match=message):
        read(actors, plan, "teachers.a", "teachers.b", dry_run=True)
    with pytest.raises(TapError, match=r"actor 'teachers\.b' \(Broken\): the model returned dict"):
        read(actors | {"teachers.b": frozen(Broken(TapError("the model returned dict")))}, plan, "teachers.b", dry_run=True)
    with pytest.raises(torch.OutOfMemoryError):
        read({"a": frozen(Broken(torch.OutOfMemoryError("full")))}, plan, "a", dry_run=True)


@pytest.mark.parametrize(
    "error", [RuntimeError("late"), OSError("no answer"), ValueError("wrong")], ids=lambda error: str(error)
)
def test_an_actor_that_fails_later_is_named_by_a_note_of_its_error(error):
    with pytest.raises(type(error), match=str(error)) as caught:
        read({"teachers.a": frozen(Net()), "teachers.b": frozen(Broken(error))}, GradientPlan(frozenset()), "teachers.b")
    note = r"raised by actor 'teachers.b' (Broken) on inputs of shape [4, 3]"
    assert caught.value.__notes__ == [note]
    assert user_message(caught.value) == f"{error}\n{note}"
