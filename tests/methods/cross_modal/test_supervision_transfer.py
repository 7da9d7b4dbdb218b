"""Supervision transfer: on pairs without labels, outputs and a layer of the teacher that sees teach the student that hears."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from limbeck import Distillation, methods, steps
from limbeck.core.adapters import Adapter
from limbeck.data import Items
from limbeck.engine import Settings
from limbeck.engine.training import Training
from limbeck.tasks import Classification
from tests.methods.cross_modal.pairs import IMAGE, WAVE, Network, Y, criterion, networks, own_gradients, pair
from tests.methods.two_samples import ONE_HOT, assert_equal


def stages(**arguments: Any) -> Any:
    return methods.supervision_transfer(task=Classification(), length=steps(2), **arguments)["stages"]


def terms(**arguments: Any) -> Any:
    (stage,) = stages(**arguments)
    return stage.updates[0].terms


def test_soft_targets_of_another_modality_teach_pairs_without_labels() -> None:
    student, teacher = networks()
    given = replace(pair(), target=None)
    made = criterion(terms(temperature=2), student, teacher, given)
    found = own_gradients(made(given)["loss"], student, teacher)
    features, logits = student.body(WAVE).detach(), student(WAVE).detach()
    pull = 2 * ((logits / 2).softmax(-1) - (teacher(IMAGE) / 2).softmax(-1)).detach() / 2  # T² · 1/T, mean of two items
    back = pull @ student.head.weight.detach()
    assert_equal(found, [back.T @ WAVE, back.sum(0), pull.T @ features, pull.sum(0)])
    assert all(p.grad is None for p in teacher.parameters())


def test_the_hint_trains_the_layer_and_what_is_below_it() -> None:
    student, teacher = networks()
    made = criterion(terms(soft=0, layer="body", hint=3), student, teacher)
    found = own_gradients(made(pair())["loss"], student, teacher)
    difference = (student.body(WAVE) - teacher.body(IMAGE)).detach()
    back = 3 * 2 * difference / 4  # the mean of two items of two numbers
    zero = torch.zeros_like
    assert_equal(found, [back.T @ WAVE, back.sum(0), zero(student.head.weight), zero(student.head.bias)])


def test_an_adapter_bridges_features_of_another_width() -> None:
    student, teacher = networks(width=5)
    made = criterion(terms(layer="body", teacher_layer="body"), student, teacher)
    adapters = [part for part in made.modules() if isinstance(part, Adapter)]
    assert [tuple(p.shape) for p in adapters[0].parameters()] == [(2, 5), (2,)]
    made(pair())["loss"].backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in adapters[0].parameters())


def test_labels_and_fine_tuning_are_asked_for() -> None:
    student, teacher = networks()
    only = criterion(terms(labels=1.0), student, teacher)(pair())["loss"] - criterion(terms(), student, teacher)(pair())["loss"]
    torch.testing.assert_close(only, -(ONE_HOT * student(WAVE).log_softmax(-1)).sum(-1).mean())
    transfer, tuning = stages(fine_tuning=3)
    assert (transfer.length, tuning.length.count) == (steps(2), 3)
    assert [term.objective.name for term in tuning.updates[0].terms] == ["hard_targets"]


def test_features_alone_then_labels_as_in_the_paper() -> None:
    items = Items.from_tensors({"wave": WAVE.repeat(8, 1), "image": IMAGE.repeat(8, 1)}, Y.repeat(8))
    settings = Settings(progress=False, trackers=(), threads=1, device="cpu")
    job = Distillation(
        lambda: Network(1, 2, 4),
        Network(2, 3, 2),
        student_options={"reads": "wave"},
        teacher_options={"reads": "image"},
        control=False,
        training=Training(steps(2), 4, settings=settings),
        **methods.supervision_transfer(task=Classification(), length=steps(2), soft=0, layer="body", fine_tuning=1),
    )
    fitted = job.fit(items).state_dict()
    start = Network(1, 2, 4).state_dict()
    assert all(not torch.equal(fitted[name], start[name]) for name in start)  # the head too, by the fine-tuning
    (run,) = job.runs
    assert run.clock.updates == 2 + 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"soft": 0}, r"soft is 0, hint 1, layer None .* without which no teacher teaches"),
        ({"soft": 0, "layer": "body", "hint": 0}, "soft above 0 or a layer with a hint above 0"),
        ({"hint": -1}, "expected numbers of 0 or more"),
        ({"fine_tuning": -1}, "fine_tuning -1; expected numbers of 0 or more"),
        ({"labels": -1}, "labels is -1; expected a weight of 0 or more"),
        ({"teacher_layer": "body"}, "teacher_layer is 'body' and layer is not given; name the student's layer too"),
    ],
)
def test_what_does_not_teach_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stages(**arguments)
