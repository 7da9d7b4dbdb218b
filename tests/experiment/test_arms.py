"""One training: which model it keeps, and what the control shares with the student."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

import limbeck
from limbeck import Distillation, Stage, Term, Update, objectives, snapshot
from limbeck.data import Items
from limbeck.engine import LearningRateScale, Reinitialise, Snapshot, Unfreeze, steps
from limbeck.engine.stages import terms_stage
from limbeck.experiment.arm_stages import arm_stages, labels_only
from limbeck.experiment.arms import train_arm
from limbeck.experiment.plan import CONTROL, STUDENT
from tests.experiment.tiny_classifiers import QUICK, Own, equal


def test_a_frozen_part_stays_as_the_phase_before_left_it(teacher: nn.Module, train: Items) -> None:
    first = terms_stage([Term(objectives.HardTargets())], steps(3))
    frozen = terms_stage([Term(objectives.HardTargets())], steps(4), freeze=("body",))
    start = Own(4)
    short = Distillation(start, teacher, stages=[first], training=QUICK, control=False).fit(train)
    long = Distillation(start, teacher, stages=[first, frozen], training=QUICK, control=False).fit(train)
    assert torch.equal(short.body.weight, long.body.weight)  # type: ignore[arg-type, union-attr]
    assert not torch.equal(short.head.weight, long.head.weight)  # type: ignore[arg-type, union-attr]


def test_the_average_is_what_is_kept(teacher: nn.Module, train: Items) -> None:
    start = Own(4)
    plain = Distillation(start, teacher, training=QUICK, control=False)
    averaged = Distillation(start, teacher, training=replace(QUICK, ema=0.9), control=False)
    assert not equal(plain.fit(train), averaged.fit(train))
    assert equal(averaged.best, averaged.runs[0].actors["average"].model)
    assert equal(plain.best, averaged.runs[0].actors["student"].model)


def test_the_best_state_by_validation_is_kept(teacher: nn.Module, train: Items) -> None:
    seen, held_out = train.split(0.8)
    worse = replace(QUICK, length=steps(40), optimizer=limbeck.Optimizer("adam", lr=3e-2), validate_every=1)
    job = Distillation(
        lambda: Own(8), teacher, terms=[Term(objectives.HardTargets())], training=worse, seeds=(0, 1), control=False
    )
    job.fit(seen, held_out)
    for model, run in zip(job.arms["student"], job.runs, strict=True):
        figures = job.experiment.task.compute_metrics(job.experiment.task.outputs(model, held_out), held_out)
        assert figures["accuracy"] == run.clock.best
    assert job.scores["student"][job.arms["student"].index(job.best)] == max(job.scores["student"])


def test_the_control_takes_the_students_steps_on_labels_only(teacher: nn.Module, train: Items) -> None:
    phases = [
        terms_stage([Term(objectives.Hint(), student="body", teacher="body")], steps(3), freeze=("head",)),
        terms_stage([Term(objectives.SoftTargets())], steps(4), unfreeze=("",), lr_scale={"body": 0.5}),
    ]
    experiment = Distillation(Own(4), teacher, stages=phases, training=QUICK).experiment
    student = arm_stages(experiment, experiment.plan, experiment.source(train, experiment.plan))
    control = labels_only(student, experiment.plan, experiment.task)
    assert [stage.length for stage in control] == [stage.length for stage in student]
    assert {term.objective.name for stage in control for update in stage.updates for term in update.terms} == {"hard_targets"}
    assert not any(stage.on_enter for stage in control)
    scales = [LearningRateScale("student", (), 1.0), LearningRateScale("student", ("body",), 0.5)]
    assert list(student[1].on_enter) == [Unfreeze("student"), *scales]


def test_the_control_takes_snapshots_of_what_it_trains(train: Items) -> None:
    labels = objectives.HardTargets()
    assistant = Stage([Update([Term(labels, student="assistant")], trains="assistant")], steps(2))
    learn = Stage([Update([Term(labels)])], steps(2), on_enter=[Snapshot("of_assistant")])
    last = replace(assistant, on_enter=[Snapshot("of_student")], on_exit=[Snapshot("of_assistant")])
    job = Distillation(
        Own(4),
        actors={"assistant": Own(4), "of_assistant": snapshot("assistant"), "of_student": snapshot("student")},
        stages=[replace(assistant, on_enter=[Reinitialise("assistant"), Snapshot("of_student")]), learn, last],
        evaluate={"student": "student", "kept": "of_student"},
        training=QUICK,
    )
    (control,) = labels_only(job.plan.stages, job.plan, job.experiment.task)
    assert (control.on_enter, control.on_exit) == ([Snapshot("of_student")], [Snapshot("of_student")])
    job.fit(train)
    trained = job.trained[1]
    assert set(trained.run.actors) == {"student", "of_student"}
    assert equal(trained.models["student"], trained.models["kept"])  # the stages after it do not train the student


def test_both_arms_start_from_the_same_weights(teacher: nn.Module, train: Items) -> None:
    still = replace(QUICK, optimizer=limbeck.Optimizer("sgd", lr=1e-12), length=steps(1))
    job = Distillation(lambda: Own(4), teacher, training=still)
    job.check(train)
    student, control = (train_arm(job.experiment, name, 3, train, None) for name in (STUDENT, CONTROL))
    assert (student.name, control.name, student.score) == ("student", "control", 0.0)
    for ours, theirs in zip(student.model.parameters(), control.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert set(student.run.actors) == {"student", "teacher"}
    assert set(control.run.actors) == {"student"}
