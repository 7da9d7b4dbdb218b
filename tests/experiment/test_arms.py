"""One training: which model it keeps, and what the control shares with the student."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import limbeck
from limbeck import Distillation, Stage, Term, Update, objectives, snapshot
from limbeck.core.teachers import Ensemble
from limbeck.data import Items
from limbeck.engine import LearningRateScale, Reinitialise, Snapshot, Unfreeze, steps
from limbeck.engine.stages import terms_stage
from limbeck.experiment.arm_stages import arm_stages, labels_only
from limbeck.experiment.arms import train_arm
from limbeck.experiment.plan import CONTROL, STUDENT
from limbeck.tasks import Classification
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


def test_an_ensemble_is_of_the_averages_that_are_kept(train: Items) -> None:
    seen, held_out = train.split(0.8)
    terms = [Term(objectives.HardTargets(), student="peers.*")]
    for validation in (None, held_out):
        job = Distillation(
            actors={"peers.a": Own(4), "peers.b": Own(4)},
            stages=[Stage([Update(terms, trains="peers.*")], steps(8))],
            evaluate={"a": "peers.a", "b": "peers.b", "both": Ensemble("peers.*"), "last": Ensemble(["peers.b"])},
            training=replace(QUICK, ema=0.9),
            control=False,
        )
        job.fit(seen, validation)
        outputs = {name: model(held_out.fetch(torch.arange(8))) for name, model in job.best_models.items()}
        torch.testing.assert_close(outputs["both"], (outputs["a"] + outputs["b"]) / 2)
        torch.testing.assert_close(outputs["last"], outputs["b"])
        assert not equal(job.best_models["a"], job.runs[0].actors["peers.a"].model)


def generations(count: int) -> list[Stage]:
    """Stages in which a student begins anew, and a snapshot keeps the one before."""
    found = [Stage([Update([Term(objectives.HardTargets())])], steps(4))]
    for number in range(1, count):
        anew = [Snapshot(f"earlier.{number}"), Reinitialise("student")]
        found.append(Stage([Update([Term(objectives.HardTargets())])], steps(4), on_enter=anew))
    return found


def test_the_best_state_is_of_the_last_generation_whatever_the_earlier_ones_reached(train: Items) -> None:
    seen, held_out = train.split(0.8)
    job = Distillation(
        actors={"student": lambda: Own(4), "earlier.1": snapshot("student"), "earlier.2": snapshot("student")},
        stages=generations(3),
        evaluate={"student": "student", "all": Ensemble(["student", "earlier.*"])},
        training=replace(QUICK, validate_every=1),
        control=False,
    )
    falling = iter([0.9, 0.9, 0.8, 0.8, 0.7, 0.7])  # of both results, at the end of each generation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classification, "compute_metrics", lambda *_: {"accuracy": next(falling)})
        job.fit(seen, held_out)
    run = job.runs[0]
    kept = [job.best, *(run.actors[name].model for name in ("earlier.1", "earlier.2"))]
    assert run.clock.best == 0.7
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not equal(kept[one], kept[other])
    members = job.best_models["all"].models  # type: ignore[union-attr]
    assert all(equal(one, two) for one, two in zip(members, kept, strict=True))  # type: ignore[arg-type]


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
