"""Modules of what a term can name: equal to the signals, sharing weights, and pruned."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.actors import Actor, Actors, Variant, average, trained
from limbeck.core.errors import TapError
from limbeck.core.model_io import LOGITS
from limbeck.core.reference_module import ReferenceModule, module_of, needs_recalibration
from limbeck.core.references import Reference
from limbeck.core.taps import Probe
from limbeck.core.teachers import Ensemble, VirtualTeacher
from limbeck.core.weighers import Confidence
from tests.core.networks import Net, X, student

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Staged(nn.Module):
    """Three convolutions with an exit after the second, which runs inside forward."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 3)
        self.early, self.head = nn.Linear(5, 4), nn.Linear(6, 4)
        self.calls: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu()).relu()
        self.early(x.mean((2, 3)))
        self.calls.append("third")
        return self.head(self.third(x).relu().mean((2, 3)))


def half(model: nn.Module, inputs: Any, generator: torch.Generator) -> Tensor:
    """A random subset of the inputs."""
    kept = torch.rand(3, generator=generator) > 0.3
    return model(inputs * kept)


def test_module_of_an_actor_is_its_model() -> None:
    actors = Actors({"student": trained(student()), "mean": average("student")})
    assert module_of("student", actors) is actors["student"].model
    assert module_of("mean", actors) is actors["mean"].model
    assert module_of("student", actors, prune=True) is not actors["student"].model


def test_tap_is_read_and_shares_weights() -> None:
    actors = Actors({"student": trained(Staged().eval())})
    module = module_of("student:early", actors)
    with Probe(actors["student"].model, ["early"]) as probe:
        expected = probe(IMAGES)["early"]
    assert torch.equal(module(IMAGES), expected)
    assert torch.equal(module(IMAGES), expected)
    with torch.no_grad():
        actors["student"].model.early.bias.add_(1)
    torch.testing.assert_close(module(IMAGES), expected + 1)
    assert torch.equal(copy.deepcopy(module)(IMAGES), module(IMAGES))


def test_forward_ends_at_the_tap() -> None:
    model = Staged().eval()
    module = module_of("student:early", Actors({"student": trained(model)}))
    module(IMAGES)
    assert len(model.calls) == 1  # counts the runs of the tapped module
    module(IMAGES)
    assert len(model.calls) == 1


def test_module_that_runs_several_times_gives_its_last_output() -> None:
    class Twice(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + super().forward(2 * x)

    model = Twice().eval()
    module = module_of(":head", Actors({"student": trained(model)}))
    for _ in range(2):
        assert torch.equal(module(X), Net.forward(model, 2 * X))


@pytest.mark.parametrize("example", [None, IMAGES])
def test_pruned_exit_holds_what_it_needs(example: Tensor | None) -> None:
    actors = Actors({"student": trained(Staged().eval())})
    expected = module_of("student:early", actors)(IMAGES)
    pruned = module_of("student:early", actors, prune=True, example=example)
    assert {key.removeprefix("model.").split(".")[0] for key in pruned.state_dict()} == {"first", "second", "early"}
    assert torch.equal(pruned(IMAGES), expected)
    assert set(actors["student"].model.state_dict()) == set(Staged().state_dict())
    with torch.no_grad():
        actors["student"].model.early.bias.add_(1)
    assert torch.equal(pruned(IMAGES), expected)


def test_pruned_input_of_a_module_needs_neither_it_nor_the_rest() -> None:
    actors = Actors({"student": trained(Staged().eval())})
    pruned = module_of("student:input(third)", actors, prune=True)
    assert {key.split(".")[1] for key in pruned.state_dict()} >= {"first", "second"}
    assert not any("third" in key or "head" in key for key in pruned.state_dict())
    assert torch.equal(pruned(IMAGES), module_of("student:input(third)", actors)(IMAGES))


def test_weights_that_code_uses_without_a_call_are_kept() -> None:
    class Tied(Staged):
        def forward(self, x: Tensor) -> Tensor:
            x = self.second(self.first(x) * self.head.bias.sum())
            return self.head(self.third(self.early(x.mean((2, 3)))))

    actors = Actors({"student": trained(Tied().eval())})
    expected = Tied().eval()
    hidden = expected.second(expected.first(IMAGES) * expected.head.bias.sum()).mean((2, 3))
    pruned = module_of("student:early", actors, prune=True)
    assert torch.equal(pruned(IMAGES), expected.early(hidden))
    assert not any("third" in key for key in pruned.state_dict())


def test_code_that_cannot_be_traced_keeps_everything_without_an_example() -> None:
    class Deciding(Staged):
        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > -1e9:
                x = x + 1
            return super().forward(x)

    actors = Actors({"student": trained(Deciding().eval())})
    assert len(module_of("student:early", actors, prune=True).state_dict()) == len(Staged().state_dict())
    assert len(module_of("student:early", actors, prune=True, example=IMAGES).state_dict()) == 6


def test_variant_is_deterministic() -> None:
    model = student()
    actors = Actors({"net": Actor(model, variants={"half": half})})
    module = module_of("net@half", actors)
    assert torch.equal(module(X), module(X))
    assert not torch.equal(module(X), model(X))
    body = module_of("net@half:body", actors)
    assert torch.equal(body(X), model.body(X * (torch.rand(3, generator=torch.Generator().manual_seed(0)) > 0.3)))


def test_variant_to_recalibrate_has_statistics_of_its_own() -> None:
    model = student()
    actors = Actors({"net": Actor(model, variants={"half": Variant(half, recalibrate=True), "same": half})})
    assert needs_recalibration("net@half", actors)
    assert not needs_recalibration("net@same", actors)
    assert needs_recalibration(Ensemble(["net", "net@half"]), actors)
    module = module_of("net@half", actors)
    assert isinstance(module, ReferenceModule)
    assert module.model is not model
    assert module_of("net@same", actors).model is model


def test_chosen_output() -> None:
    class Two(Net):
        def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
            return {"logits": super().forward(x), "other": -super().forward(x)}

    model = Two().eval()
    actors = Actors({"student": Actor(model, output="other")})
    assert torch.equal(module_of("student", actors)(X), -model(X)["logits"])


def test_mapping_inputs() -> None:
    class Named(Net):
        def forward(self, x: Tensor, scale: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x * scale)

    model = Named().eval()
    module = module_of(":body", Actors({"student": trained(model)}))
    for _ in range(2):
        assert torch.equal(module(x=X, scale=torch.tensor(2.0)), model.body(2 * X))


def test_a_member_that_reads_a_field_is_given_that_field() -> None:
    actors = Actors({"a": Actor(Net(seed=0).eval(), reads="left"), "b": Actor(Net(seed=1).eval(), reads="right")})
    module = module_of(Ensemble(["a", "b"]), actors)
    expected = (actors["a"].model(X) + actors["b"].model(-X)) / 2
    torch.testing.assert_close(module(left=X, right=-X), expected)


def test_ensemble_of_a_pattern() -> None:
    actors = Actors({f"peers.{name}": trained(Net(seed=seed).eval()) for seed, name in enumerate("abc")})
    module = module_of(Ensemble("peers.*"), actors)
    torch.testing.assert_close(module(X), torch.stack([actor.model(X) for actor in actors.values()]).mean(0))
    assert module.models[0] is actors["peers.a"].model
    copied = module_of(Ensemble("peers.*"), actors, prune=True)
    assert torch.equal(copied(X), module(X))
    assert copied.models[0] is not actors["peers.a"].model


class Unnamed(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": x}


def test_a_member_that_fails_is_named() -> None:
    actors = Actors({"a": trained(Net(seed=0).eval()), "b": trained(Unnamed())})
    with pytest.raises(TapError, match="returned dict with the keys out") as error:
        module_of(Ensemble(["a", "b"]), actors)(X)
    assert error.value.__notes__ == ["raised by 'b' (Unnamed)"]


def test_ensemble_by_entropy_and_of_exits() -> None:
    model = student()
    actors = Actors({"student": trained(model)})
    module = module_of(Ensemble(["student:body", "student:norm"], by="entropy"), actors)
    runs = model.runs
    output = module(X)
    assert model.runs == runs + 1
    assert output.shape == (6, 5)
    entropies = [-(p * p.log()).sum(-1) for p in (model.body(X).softmax(-1), model.norm(model.body(X)).softmax(-1))]
    weights = torch.stack([1 - entropy / torch.tensor(5.0).log() for entropy in entropies])
    weights = (weights / weights.sum(0))[..., None]
    torch.testing.assert_close(output, weights[0] * model.body(X) + weights[1] * model.norm(model.body(X)))


def test_a_teacher_that_a_term_uses_stays_as_it_is() -> None:
    actors = Actors({f"peers.{name}": trained(Net(seed=seed).eval()) for seed, name in enumerate("ab")})
    ensemble = Ensemble("peers.*")
    ensemble.bind(["peers.b"])
    module_of(ensemble, actors)
    assert ensemble.members == ["peers.b"]


def test_modes_of_actors_are_not_changed() -> None:
    model = student().train()
    model.norm.eval()
    module_of("student:body", Actors({"student": trained(model)}))
    assert model.training
    assert not model.norm.training
    module = module_of("student:body", Actors({"student": trained(model)}))
    assert not module.eval().model.training


@pytest.mark.parametrize(
    ("evaluated", "message"),
    [
        ("student:bodi", "nearest: body"),
        ("student@small", "variant"),
        ("studnt:body", "student"),
        ("peers.*", "stands for several"),
        ("student#weak", "view"),
        (Ensemble("peers.*", by=Confidence()), "labels"),
        (Ensemble("peers.*", by={"entropy": {"of": "student"}}), "term's student"),
        (VirtualTeacher(), "no module"),
    ],
)
def test_what_has_no_module_is_refused(evaluated: Any, message: str) -> None:
    actors = Actors({"student": trained(student()), "peers.a": trained(student()), "peers.b": trained(student())})
    with pytest.raises(ValueError, match=message):
        module_of(evaluated, actors)


def test_confidence_without_labels_is_accepted() -> None:
    actors = Actors({f"peers.{name}": trained(Net(seed=seed).eval()) for seed, name in enumerate("ab")})
    assert module_of(Ensemble("peers.*", by=Confidence(labels=False)), actors)(X).shape == (6, 4)


def test_reference_objects_are_accepted() -> None:
    actors = Actors({"student": trained(student())})
    assert module_of(Reference("student", tap=LOGITS), actors) is actors["student"].model
