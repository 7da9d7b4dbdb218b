"""The arm `initial`: students as they start, where they start from weights that know something."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from limbeck import Distillation, Term, Training, models, steps
from limbeck.data import Items
from limbeck.evaluation import Verdict
from limbeck.evaluation.report import write_report
from limbeck.experiment.initial import given_weights
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import HardTargets
from tests import tiny


def train(student: object, items: Items, length: int, **options: object) -> Distillation:
    job = Distillation(student, terms=[Term(HardTargets())], training=Training(steps(length), batch_size=32), **options)  # type: ignore[arg-type]
    job.fit(items)
    return job


@pytest.fixture(scope="module")
def data() -> tuple[Items, Items]:
    """Digits, and the same with light and dark exchanged."""
    recipe = tiny.recipe()
    train, test = recipe.data.train, recipe.data.test
    assert train is not None
    return train.load(), test.load()


@pytest.fixture(scope="module")
def trained(data: tuple[Items, Items]) -> nn.Module:
    return train(lambda: models.get("tiny_cnn", width=8, size=8), data[0], 200, control=False).best


def few_classes(items: Items) -> Items:
    assert items.target is not None
    return items.select((items.target < 4).nonzero().flatten())


def test_what_a_student_unlearns_is_counted_by_class_and_shown(
    data: tuple[Items, Items], trained: nn.Module, tmp_path: Path
) -> None:
    job = train(trained, few_classes(data[0]), 60, control=False, folder=tmp_path, seeds=(0, 1))
    verdict = job.evaluate(data[1])
    initial, changes = verdict.result.controls["initial"], verdict.result.changes["initial"]
    assert len(set(initial.per_seed)) == 1
    assert initial.metric > verdict.result.distilled.metric + 0.2
    assert changes.other_only > changes.total / 5
    assert initial.per_class is not None
    assert max(initial.per_class[4:]) > 0.5  # type: ignore[type-var]
    assert {example.kind for example in verdict.result.examples} == {"unlearned"}
    assert np.mean([example.label > 3 for example in verdict.result.examples]) > 0.7  # type: ignore[operator]
    assert (tmp_path / "results" / "student" / "initial" / "model.safetensors").exists()
    page = write_report(tmp_path).read_text()
    assert f"of these it unlearned {changes.other_only:,}" in page
    assert "Classes on which the student got worse since its training began" in page
    assert "What the student unlearned" in page
    assert Verdict.load(tmp_path).result.changes["initial"] == changes


def test_students_that_know_nothing_have_no_such_arm(data: tuple[Items, Items], trained: nn.Module) -> None:
    for student in (lambda: models.get("tiny_cnn", width=4, size=8), models.get("tiny_cnn", width=4, size=8)):
        assert not train(student, data[0], 2, control=False).evaluate(data[1]).result.controls


def test_given_weights_are_told_from_random_ones(trained: nn.Module) -> None:
    def with_new_head(teacher: nn.Module) -> nn.Module:
        student = models.get("tiny_cnn", width=8, size=8)
        state = {name: tensor for name, tensor in teacher.state_dict().items() if not name.startswith("linear")}
        student.load_state_dict(state, strict=False)
        return student

    built: list[object] = []

    def from_given(student: object, seeds: Sequence[int]) -> bool:
        built.clear()
        experiment = Distillation(student, copy.deepcopy(trained)).experiment
        found = given_weights(experiment, "student", "student", seeds)
        assert found is None or len(found) == len(seeds)
        return found is not None

    def counted(teacher: nn.Module) -> nn.Module:
        built.append(teacher)
        return with_new_head(teacher)

    assert from_given(trained, [0, 1, 2])
    assert from_given(FromTeacher(counted), [0])
    assert len(built) == 2
    assert from_given(FromTeacher(counted), [3, 4, 5])
    assert len(built) == 3  # each is an arm, too
    assert not from_given(lambda: models.get("tiny_cnn", width=8, size=8), [0, 1])


def test_the_name_is_taken() -> None:
    with pytest.raises(ValueError, match=r"controls: 'initial' names an arm .*initial are taken"):
        tiny.recipe("controls.initial={terms: [hard_targets]}")
