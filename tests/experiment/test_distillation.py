"""The whole job in Python, on digits: one call, own modules, own data, several seeds, phases, averages, interruptions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import limbeck
from limbeck import Distillation, Phase, Term, Training, objectives
from limbeck.data import Items, load_items
from limbeck.engine import Interrupted, Settings, steps
from limbeck.models import load_weights

QUICK = Training(
    length=steps(8), batch_size=32, settings=Settings(progress=False, trackers=(), checkpoint_every=3, log_every=4)
)


class Own(nn.Module):
    """A module that Limbeck has not built."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.body(x.flatten(1).float())))
        return logits


@pytest.fixture(scope="module")
def train() -> Items:
    return load_items("digits", split="train")


@pytest.fixture(scope="module")
def test() -> Items:
    return load_items("digits", split="test")


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(0)
    return Own(32)


def weights(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_one_call_with_tensors_gives_a_sentence(teacher: nn.Module, train: Items, capsys: pytest.CaptureFixture[str]) -> None:
    rows = torch.arange(600)
    x, y = train.fetch(rows).float() / 255, train.target[rows]  # type: ignore[index]
    before = weights(teacher)
    outcome = limbeck.distill(teacher, lambda: Own(4), (x, y), (x[:400], y[:400]), training=QUICK)
    print(outcome)
    said = capsys.readouterr().out
    assert said.startswith("kept ")
    assert "distillation " in said
    assert outcome.verdict.control is not None
    assert outcome.verdict.cost is not None
    assert (outcome.verdict.cost.student_steps, outcome.verdict.cost.teacher_items) == (8, 8 * 32)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(teacher), strict=True))
    assert outcome.student(x[:3]).shape == (3, 10)
    assert not outcome.student.training


def test_own_terms_or_phases_replace_hintons(teacher: nn.Module, train: Items, test: Items) -> None:
    phases = [
        Phase(lambda: [Term(objectives.Hint(), student="body", teacher="body")], steps(3), name="first"),
        Phase(lambda: [Term(objectives.HardTargets())], steps(4), freeze=("body",)),
    ]
    job = Distillation(Own(4), teacher, phases=phases, training=QUICK, control=False)
    student = job.fit(train)
    assert job.runs[0].clock.updates == 7
    once = Distillation(Own(4), teacher, phases=phases[:1], training=QUICK, control=False)
    assert student.body.weight.shape == once.fit(train).body.weight.shape  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="terms or phases"):
        Distillation(Own(4), teacher, terms=[Term(objectives.HardTargets())], phases=phases)
    outcome = limbeck.distill(teacher, Own(4), train, test, phases=phases, training=QUICK, control=False)
    assert outcome.verdict.cost is not None
    assert outcome.verdict.cost.student_steps == 7


def test_a_frozen_part_stays_as_the_phase_before_left_it(teacher: nn.Module, train: Items) -> None:
    first = Phase(lambda: [Term(objectives.HardTargets())], steps(3))
    frozen = Phase(lambda: [Term(objectives.HardTargets())], steps(4), freeze=("body",))
    start = Own(4)
    short = Distillation(start, teacher, phases=[first], training=QUICK, control=False).fit(train)
    long = Distillation(start, teacher, phases=[first, frozen], training=QUICK, control=False).fit(train)
    assert torch.equal(short.body.weight, long.body.weight)  # type: ignore[arg-type, union-attr]
    assert not torch.equal(short.head.weight, long.head.weight)  # type: ignore[arg-type, union-attr]


def test_without_control_the_gain_is_unknown(teacher: nn.Module, train: Items, test: Items) -> None:
    outcome = limbeck.distill(teacher, Own(4), train, test, training=QUICK, control=False, targets={"gain": 1.0})
    assert outcome.verdict.control is None
    assert outcome.verdict.gain is None
    assert not outcome.verdict.met
    assert "had no control" in str(outcome)


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


def test_a_function_draws_other_weights_for_every_seed(teacher: nn.Module) -> None:
    job = Distillation(lambda: Own(4), teacher, training=QUICK, seeds=(0, 1))
    assert equal(job.experiment.new_student(0), job.experiment.new_student(0))
    assert not equal(job.experiment.new_student(0), job.experiment.new_student(1))


def test_fitting_again_begins_anew(teacher: nn.Module, train: Items, test: Items) -> None:
    job = Distillation(Own(4), teacher, training=QUICK)
    first = job.fit(train)
    second = job.fit(train)
    assert equal(first, second)
    assert len(job.arms["student"]) == 1
    assert job.evaluate(test).cost.student_steps == 8  # type: ignore[union-attr]


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


def test_a_module_of_ones_own_is_kept_with_its_folder(teacher: nn.Module, train: Items, test: Items, tmp_path: Path) -> None:
    outcome = limbeck.distill(teacher, Own(4), train, test, training=QUICK, folder=tmp_path / "run")
    again = Own(4)
    load_weights(again, tmp_path / "run" / "student" / "model.safetensors")
    assert equal(again, outcome.student)
    assert (tmp_path / "run" / "report.html").exists()
    with pytest.raises(ValueError, match=r"holds a run already; go on with resume=True"):
        limbeck.distill(teacher, Own(4), train, test, training=QUICK, folder=tmp_path / "run")
    assert limbeck.Verdict.load(tmp_path / "run").arms == outcome.verdict.arms


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

    monkeypatch.setattr(limbeck.Run, "_update", forbidden)
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
