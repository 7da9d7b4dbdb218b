"""Who takes part, and how they are named."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from limbeck import Distillation
from limbeck.core.actors import (
    Actors,
    Variant,
    actor_inputs,
    average,
    check_weights,
    frozen,
    snapshot,
    trained,
)
from limbeck.core.criterion import Criterion
from limbeck.core.references import Reference
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import SoftTargets
from limbeck.utils.registry import UnknownNameError
from tests.experiment.tiny_classifiers import QUICK


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def make_actors() -> Actors:
    return Actors(
        {"student": trained(net()), "teacher": frozen(net(1)), "peers.0": trained(net(2)), "peers.1": trained(net(3))}
    )


def test_frozen_means_evaluation_mode_and_no_gradient():
    actors = make_actors()
    assert not actors["teacher"].model.training
    assert not any(p.requires_grad for p in actors["teacher"].model.parameters())
    assert actors["student"].model.training
    assert all(p.requires_grad for p in actors["student"].model.parameters())


@pytest.mark.parametrize("role", [trained, frozen])
def test_a_model_whose_weights_have_no_values_is_refused(role):
    with torch.device("meta"):
        empty = net()
    with pytest.raises(ValueError, match=r"actor 'other': 0.weight is on the meta device, .*load_state_dict\(…, assign=True\)"):
        Actors({"student": trained(net()), "other": role(empty)})
    empty.load_state_dict(net().state_dict(), assign=True)
    assert set(Actors({"student": trained(net()), "other": role(empty)})) == {"student", "other"}


def test_a_lazy_layer_is_refused_until_it_has_run():
    lazy = torch.nn.Sequential(torch.nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"actor 'student': 0.weight has no shape yet, since its layer is lazy; run the model"):
        check_weights({"student": trained(lazy)})
    lazy(torch.zeros(2, 4))
    check_weights({"student": trained(lazy)})


def test_an_average_follows_the_formula_and_copies_buffers():
    one = net()
    actors = Actors({"student": trained(one), "mean": average("student", decay=0.9)})
    mean = actors["mean"].model
    expected = [p.detach().clone() for p in mean.parameters()]
    for step in range(3):
        with torch.no_grad():
            for p in one.parameters():
                p.add_(step + 1)
        one(torch.randn(5, 3))
        actors.update_averages()
        expected = [0.9 * e + 0.1 * p.detach() for e, p in zip(expected, one.parameters(), strict=True)]
        for p, e in zip(mean.parameters(), expected, strict=True):
            torch.testing.assert_close(p, e)
        assert torch.equal(mean[1].running_mean, one[1].running_mean)
        assert mean[1].num_batches_tracked == step + 1
    assert not mean.training


def test_a_snapshot_is_a_copy_that_stays():
    one = net()
    actors = Actors({"student": trained(one, reads="image"), "past": snapshot("student")})
    before = copy.deepcopy(one.state_dict())
    nn.init.zeros_(one[0].weight)
    actors.update_averages()
    assert all(torch.equal(before[name], tensor) for name, tensor in actors["past"].model.state_dict().items())
    assert actors["past"].reads == "image"


def test_models_without_parameters_can_be_averaged():
    Actors({"student": trained(nn.Identity()), "mean": average("student")}).update_averages()


@pytest.mark.parametrize("role", [trained, frozen])
def test_a_trained_actor_shares_no_parameters(role):
    one, two = net(), net(1)
    two[2] = one[2]
    for other in (one, two):
        with pytest.raises(ValueError, match=r"'student' \(trained\) and 'other' .* share parameters.*hand over a deep copy"):
            Actors({"student": trained(one), "other": role(other)})
    Actors({"first": frozen(one), "second": frozen(two)})  # nobody changes them


def test_averages_of_averages_need_no_order_and_no_circle():
    one = net()
    actors = Actors({"slow": average("mean", decay=0.5), "mean": average("student", decay=0.5), "student": trained(one)})
    with torch.no_grad():
        one[0].bias += 4
    before = actors["slow"].model[0].bias.clone()
    actors.update_averages()
    torch.testing.assert_close(actors["mean"].model[0].bias, before + 2)
    torch.testing.assert_close(actors["slow"].model[0].bias, before + 1)
    with pytest.raises(ValueError, match="actors in a circle: 'a' of 'b' of 'a'"):
        Actors({"student": trained(one), "a": average("b"), "b": snapshot("a")})


def test_a_model_brings_its_variants():
    one = net()
    one.variants = {"small": Variant(lambda model, x, generator: model(x), recalibrate=True)}
    assert list(trained(one).variants) == ["small"]
    assert list(trained(one, variants={"big": one.variants["small"]}).variants) == ["big"]
    later = trained(None)
    later.module = copy.deepcopy(one)
    assert list(Actors({"student": later})["student"].variants) == ["small"]
    actors = Actors({"student": trained(one, output="(1)"), "mean": average("student")})
    assert actors["mean"].variants["small"].recalibrate
    assert actors["mean"].output == "(1)"
    assert torch.equal(one.variants["small"](one.eval(), torch.ones(2, 3), torch.Generator()), one(torch.ones(2, 3)))


def test_patterns_stand_for_actors():
    actors = make_actors()
    assert actors.matching("peers.*") == ["peers.0", "peers.1"]
    assert actors.matching("*") == list(actors)
    assert actors.matching("teacher") == ["teacher"]


def test_unknown_actors_offer_the_nearest():
    for ask in (
        lambda: make_actors()["techer"],
        lambda: make_actors().matching("techer"),
        lambda: Reference("techer").check(make_actors()),
    ):
        with pytest.raises(UnknownNameError, match=r"unknown actor 'techer'; nearest: teacher"):
            ask()
    with pytest.raises(UnknownNameError, match=r"unknown actors 'clients.\*'"):
        make_actors().matching("clients.*")
    with pytest.raises(UnknownNameError, match=r"the original of 'mean'\) 'studnet'; nearest: student"):
        Actors({"student": trained(net()), "mean": average("studnet")})


def test_names_that_references_could_not_spell_are_refused():
    with pytest.raises(ValueError, match="actor name 'a:b'"):
        Actors({"a:b": trained(net())})


def test_modalities():
    actor, inputs = trained(net(), reads="image"), {"image": 1, "text": 2}
    assert actor_inputs(actor, "student", inputs) == 1
    assert actor_inputs(trained(net()), "student", inputs) is inputs
    with pytest.raises(UnknownNameError, match=r"modality read by actor 'student' 'image'; nearest: text"):
        actor_inputs(actor, "student", {"text": 2})
    with pytest.raises(UnknownNameError, match="single tensor"):
        actor_inputs(actor, "student", torch.zeros(1))


def test_shared_memory_is_shared_whatever_holds_it():
    """A layer, a buffer, and a parameter of its own around the same tensor."""
    for share in ("layer", "buffer", "memory"):
        student, teacher = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)) for _ in range(2))
        if share == "layer":
            student[2] = teacher[2]
        elif share == "buffer":
            student[1].running_mean = teacher[1].running_mean
        else:
            student[0].weight = nn.Parameter(teacher[0].weight.data)
        path = {"layer": "2.weight", "buffer": "1.running_mean", "memory": "0.weight"}[share]
        with pytest.raises(ValueError, match=rf"share parameters \({path}\).*hand over a deep copy"):
            Criterion([Term(SoftTargets())], student, teacher)
        assert all(p.requires_grad for p in student.parameters())
        Actors({"one": frozen(student), "other": frozen(teacher)})  # what nobody trains may be shared
        with pytest.raises(ValueError, match="share parameters"):
            Distillation(actors={"a": trained(student), "b": trained(teacher)}, stages=[])


def test_a_student_made_from_its_teacher_is_refused_if_it_holds_parts_of_it():
    teacher = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    student = FromTeacher(lambda model: nn.Sequential(model[0], nn.ReLU(), nn.Linear(4, 2)))
    items = Items.from_tensors(torch.randn(64, 3), torch.arange(64) % 2)
    with pytest.raises(ValueError, match=r"share parameters \(0\.weight\)"):
        Distillation(student, teacher, training=QUICK).check(items)


def test_parameters_without_memory_are_compared_as_objects():
    one, other = (nn.Sequential(nn.Linear(3, 0)) for _ in range(2))
    check_weights({"student": trained(one), "teacher": frozen(other)})
    with pytest.raises(ValueError, match="share parameters"):
        check_weights({"student": trained(one), "teacher": frozen(nn.Sequential(one[0]))})


@pytest.mark.parametrize("copied", [average, snapshot])
def test_a_copy_runs_in_memory_format_and_precision_of_its_original(copied):
    student = trained(nn.Conv2d(3, 4, 3), channels_last=True, precision=torch.bfloat16)
    actors = Actors({"student": student, "copy": copied("student"), "wide": copied("student", precision=torch.float32)})
    assert actors["copy"].channels_last
    assert actors["copy"].model.weight.is_contiguous(memory_format=torch.channels_last)
    assert actors["copy"].precision is torch.bfloat16
    assert actors["wide"].precision is torch.float32
    assert not Actors({"student": trained(nn.Conv2d(3, 4, 3)), "copy": copied("student")})["copy"].channels_last
