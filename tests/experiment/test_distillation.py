"""The whole job in Python, on digits: own modules, several seeds, stages, interruptions."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import limbeck
from limbeck import Distillation, Term, objectives
from limbeck.core.actors import is_held
from limbeck.data import Items
from limbeck.engine import Interrupted, steps
from limbeck.engine.stages import terms_stage
from limbeck.evaluation.remarks import arm_remarks
from limbeck.experiment.arms import TrainedArm
from limbeck.experiment.plan import STUDENT
from limbeck.tasks import Regression
from tests.experiment.tiny_classifiers import QUICK, Own, equal, weights


def test_own_terms_or_stages_replace_hintons(teacher: nn.Module, train: Items, test: Items) -> None:
    stages = [
        terms_stage([Term(objectives.Hint(), student="body", teacher="body")], steps(3), name="first"),
        terms_stage([Term(objectives.HardTargets())], steps(4), freeze=("body",)),
    ]
    job = Distillation(Own(4), teacher, stages=stages, training=QUICK, control=False)
    student = job.fit(train)
    assert job.runs[0].clock.updates == 7
    once = Distillation(Own(4), teacher, stages=stages[:1], training=QUICK, control=False)
    assert student.body.weight.shape == once.fit(train).body.weight.shape  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="terms or stages"):
        Distillation(Own(4), teacher, terms=[Term(objectives.HardTargets())], stages=stages)
    outcome = limbeck.distill(teacher, Own(4), train, test, stages=stages, training=QUICK, control=False)
    assert outcome.verdict.cost is not None
    assert outcome.verdict.cost.student_steps == 7


def test_a_module_starts_every_seed_and_both_arms_from_its_weights(teacher: nn.Module, train: Items) -> None:
    start = Own(4)
    before = weights(start)
    still = replace(QUICK, optimizer=limbeck.Optimizer("sgd", lr=1e-12), length=steps(1))
    job = Distillation(start, teacher, training=still, seeds=(0, 1, 5))
    job.fit(train)
    for model in (*job.arms["student"], *job.arms["control"]):
        assert model is not start
        for one, other in zip(weights(model), before, strict=True):
            torch.testing.assert_close(one, other)
    job = Distillation(start, teacher, training=QUICK, seeds=(0, 1))
    job.fit(train)
    assert not equal(*job.arms["student"])  # the order of the data differs by seed
    assert all(torch.equal(a, b) for a, b in zip(before, weights(start), strict=True))


def test_data_may_be_pairs_of_tensors_and_what_is_no_data_is_named(teacher: nn.Module, train: Items, test: Items) -> None:
    def pair(items: Items) -> tuple[Any, Any]:
        return items.fetch(torch.arange(len(items))), items.target

    start = Own(4)
    job, same = (Distillation(start, teacher, training=QUICK, control=False) for _ in range(2))
    job.fit(pair(train))
    same.fit(Items.from_tensors(*pair(train)))
    assert equal(job.best, same.best)
    assert job.evaluate(pair(test)).student.metric == same.evaluate(Items.from_tensors(*pair(test))).student.metric
    loader = DataLoader(TensorDataset(torch.zeros(4, 2)))
    for data, said in (([1, 2, 3], r"expected a pair \(input, label\), found int"), (loader, "hand over its data set")):
        for use in (job.fit, job.check, job.evaluate):
            with pytest.raises(ValueError, match=said):
                use(data)


def test_fitting_again_begins_anew(teacher: nn.Module, train: Items, test: Items) -> None:
    job = Distillation(Own(4), teacher, training=QUICK)
    first = job.fit(train)
    second = job.fit(train)
    assert equal(first, second)
    assert len(job.arms["student"]) == 1
    assert job.evaluate(test).cost.student_steps == 8  # type: ignore[union-attr]


def stop_at(job: Distillation, monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    """Ctrl-C during the update of this number, in the first training."""
    run_step = limbeck.Run._run_step

    def pressed(run: limbeck.Run, total: int) -> int:
        if run.clock.updates == updates:
            run.interrupt.requested = True
        return run_step(run, total)

    monkeypatch.setattr(limbeck.Run, "_run_step", pressed)


@pytest.mark.parametrize("updates", [4, 7])  # in the middle, and during the very last update
def test_stopping_and_resuming_changes_nothing_and_costs_add_up(
    teacher: nn.Module, train: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    start = Own(4)
    whole = Distillation(start, teacher, training=QUICK, folder=tmp_path / "whole")
    whole.fit(train)
    job = Distillation(start, teacher, training=QUICK, folder=tmp_path / "stopped")
    with monkeypatch.context() as patched:
        stop_at(job, patched, updates)
        with pytest.raises(Interrupted, match="checkpoint is written, resume with"):
            job.fit(train)
    assert job.runs == []
    again = Distillation(start, teacher, training=QUICK, folder=tmp_path / "stopped", resume=True)
    again.fit(train)
    assert equal(whole.best, again.best)
    assert equal(whole.arms["control"][0], again.arms["control"][0])
    assert (again.cost.student_steps, again.cost.teacher_items) == (whole.cost.student_steps, whole.cost.teacher_items)
    assert again.cost.wall_s >= sum(run.clock.wall_s for run in again.runs) > 0
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "stopped")]
    assert len(logs[0]) == len(logs[1]) == len(set(logs[1]))


def test_finished_arms_are_not_trained_again(
    teacher: nn.Module, train: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, held_out = train.split(0.8)
    job = Distillation(Own(4), teacher, training=QUICK, folder=tmp_path / "run")
    job.fit(seen, held_out)
    seconds = [run.clock.wall_s for run in job.runs]

    def forbidden(*_: Any) -> None:
        raise AssertionError("a finished arm is trained again")

    monkeypatch.setattr("limbeck.engine.run._update", forbidden)
    again = Distillation(Own(4), teacher, training=QUICK, folder=tmp_path / "run", resume=True)
    again.fit(seen, held_out)
    assert equal(job.best, again.best)  # the best state, though only the disk knows it
    assert [run.clock.wall_s for run in again.runs] == seconds
    assert again.cost.student_steps == job.cost.student_steps
    assert again.scores == job.scores


def test_seeds_and_order_of_calls(teacher: nn.Module, test: Items) -> None:
    with pytest.raises(ValueError, match="seeds: expected at least one"):
        Distillation(Own(4), teacher, seeds=())
    with pytest.raises(ValueError, match="call fit"):
        Distillation(Own(4), teacher).evaluate(test)


def test_the_best_seed_has_the_lowest_value_of_a_metric_that_is_an_error(teacher: nn.Module) -> None:
    job = Distillation(Own(4), teacher, task=Regression("mean_squared_error"), seeds=(0, 1))
    job.trained = [TrainedArm(STUDENT, {"student": Own(4)}, score, None, {}) for score in (0.9, 0.1)]  # type: ignore[arg-type]
    assert job.best is job.trained[1].model


def test_the_given_models_stay_as_they_are(teacher: nn.Module, train: Items, test: Items) -> None:
    """Their modes and what collects gradient belong to the caller, who may train on."""
    student = Own(4)
    teacher = copy.deepcopy(teacher).train()
    next(iter(teacher.children())).eval()  # a part that the caller has frozen
    modules = [*teacher.modules(), *student.modules()]
    held = next(teacher.parameters()).requires_grad_(False)  # by the caller
    before = [module.training for module in modules]
    job = Distillation(student, teacher, training=QUICK)
    for call in (lambda: job.check(train), lambda: job.fit(train), lambda: job.evaluate(test)):
        call()
        assert [module.training for module in modules] == before
        assert [p.requires_grad for p in teacher.parameters()] == [p is not held for p in teacher.parameters()]
        assert [is_held(p) for p in teacher.parameters()] == [p is held for p in teacher.parameters()]
    teacher.requires_grad_(False)  # a choice of the caller, which a training of this model respects
    assert all(map(is_held, teacher.parameters()))


def test_a_teacher_that_no_term_reads_is_told(teacher: nn.Module, train: Items, test: Items) -> None:
    job = Distillation(Own(4), teacher, terms=[Term(objectives.HardTargets())], training=QUICK)
    with pytest.warns(UserWarning, match="teacher: no term reads it"):
        job.fit(train)
    verdict = job.evaluate(test.select(torch.arange(20)))
    assert "nothing was distilled: no term reads a teacher" in verdict.sentence()
    remarks = arm_remarks(verdict)
    assert any("no term reads it; it is only shown beside the student" in line for line in remarks)
    assert any("the test data has 20 items" in line for line in remarks)
