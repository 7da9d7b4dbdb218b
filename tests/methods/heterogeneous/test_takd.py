"""TAKD: each model of the chain learns from the one before, and from nobody else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import Distillation, Training, methods, models, steps
from limbeck.core.actors import frozen
from limbeck.data import load_items
from limbeck.engine import Settings
from limbeck.recipe import Recipe, RecipeError
from tests.methods.two_samples import ONE_HOT, TASK, X, assert_equal, batch, criterion, gradients, net, of_linear


def stages(*assistants: str, **arguments: Any) -> Any:
    return methods.takd(task=TASK, length=steps(3), assistants=assistants, **arguments)["stages"]


def test_the_chain_passes_the_teacher_on() -> None:
    found = [(one.name, one.updates[0].trains, one.length.count) for one in stages("large", "middle")]
    assert found == [
        ("teacher → large", ("large",), 3),
        ("large → middle", ("middle",), 3),
        ("middle → student", ("student",), 3),
    ]


def test_in_the_last_stage_the_student_learns_from_the_assistant_alone() -> None:
    teacher, assistant, student = net(1), net(2), net(3)
    terms = stages("assistant", alpha=0.75, temperature=2.0)[-1].terms
    actors = {"student": student, "assistant": frozen(assistant), "teacher": frozen(teacher)}
    made = criterion(terms, actors, batch())
    loss = made(batch())["loss"]
    z, a = student(X).detach(), assistant(X).detach()
    pull = 0.75 * 2 * ((z / 2).softmax(-1) - (a / 2).softmax(-1))
    assert_equal(gradients(loss, [student]), of_linear((0.25 * (z.softmax(-1) - ONE_HOT) + pull) / 2))
    made(batch())["loss"].backward()
    assert all(parameter.grad is None for model in (teacher, assistant) for parameter in model.parameters())


def test_an_assistant_stays_as_its_stage_left_it_and_the_control_takes_the_students_steps() -> None:
    items = load_items("digits", split="train").select(torch.arange(64))

    def build(width: int) -> Any:
        return lambda: models.get("tiny_cnn", width=width, size=8, channels=1)

    how = Training(batch_size=32, settings=Settings(progress=False, device="cpu", threads=1, trackers=()))
    plan: Any = methods.takd(task=TASK, length=steps(3), assistants=["large"])
    job = Distillation(build(2), build(8)(), actors={"large": build(4)}, training=how, **plan)
    first: Any = Distillation(
        build(2), build(8)(), actors={"large": build(4)}, training=how, control=False, evaluate={"large": "large"},
        stages=plan["stages"][:1],
    )  # fmt: skip
    first.experiment.plan.actors["teacher"].module.load_state_dict(job.experiment.plan.actors["teacher"].module.state_dict())
    job.fit(items)
    first.fit(items)
    ours, theirs = (each.trained[0].run.actors["large"].model.state_dict() for each in (job, first))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [len(arm.run.stages) for arm in job.trained] == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"assistants": []}, r"assistants is \[\]"),
        ({"assistants": ["a", "a"]}, "'a' stands twice"),
        ({"assistants": ["student"]}, "'student' stands twice"),
        ({"assistants": ["assistants.*"]}, "is a pattern, which has no order"),
        ({"alpha": 0}, "alpha is 0"),
    ],
)
def test_a_chain_that_is_none_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.takd(task=TASK, length=steps(3), **arguments)


def test_an_assistant_that_is_no_actor_is_refused_with_the_recipe() -> None:
    train = {"path": "digits", "split": "train", "limit": 64}
    small = {"model": "tiny_cnn", "args": {"width": 4, "size": 8}}
    content = {
        "name": "run",
        "data": {"train": train, "test": {"path": "digits", "split": "test", "limit": 32}},
        "teacher": {**small, "training": {"steps": 1}},
        "actors": {"large": small},
        "student": small,
        "method": {"takd": {"assistants": ["larg"]}},
        "training": {"steps": 2, "batch_size": 32},
    }
    with pytest.raises(RecipeError, match=r"larg.*large"):
        Recipe.from_dict(content)
