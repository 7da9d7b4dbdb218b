"""Selection on validation data: the best state, patience, and when it is evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck.core.actors import average, snapshot, trained
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Reinitialise, Run, Snapshot, Stage, Update, Validation, epochs, steps
from limbeck.objectives import HardTargets
from tests.architecture.conftest import Blobs, net
from tests.engine.training_runs import accuracy, quiet


def test_the_best_average_is_what_is_kept(tmp_path: Path) -> None:
    actors = {"student": trained(net(8)), "mean": average("student", 0.9)}
    validation = Validation(lambda model: {"accuracy": accuracy(model)}, actor="mean")
    stage = Stage([Update([Term(HardTargets())])], epochs(3), Optimizer("sgd", lr=0.05))
    run = Run(actors, [stage], source=Blobs(), settings=quiet(), validation=validation).fit()
    assert run.load_best() is run.actors["mean"].model
    assert run.clock.best == pytest.approx(accuracy(run.load_best()))


def validated(length: int, every: int | None, **options: object) -> Run:
    stage = Stage([Update([Term(HardTargets())])], steps(length), Optimizer("sgd", lr=0.05))
    seen: list[int] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        seen.append(run.clock.step)
        return {"accuracy": float(len(seen))}

    run = Run(
        {"student": trained(net(8))},
        [stage],
        source=Blobs(),
        settings=quiet(),
        validation=Validation(evaluate, every=every, **options),  # type: ignore[arg-type]
    )
    run.seen = seen  # type: ignore[attr-defined]
    return run


@pytest.mark.parametrize(("every", "expected"), [(None, [16, 20]), (8, [8, 16, 20])])
def test_it_evaluates_after_each_interval_and_at_the_end(every: int | None, expected: list[int]) -> None:
    assert validated(20, every).fit().seen == expected  # type: ignore[attr-defined]


def test_lower_can_be_better_and_patience_counts_evaluations() -> None:
    run = validated(20, 2, higher_is_better=False, patience=3).fit()
    assert run.seen == [2, 4, 6, 8]  # type: ignore[attr-defined]
    assert (run.clock.best, run.clock.waited) == (1.0, 3)


def test_a_metric_that_is_not_computed_is_refused() -> None:
    with pytest.raises(ValueError, match="validation gives accuracy; metric 'f1' is not among them"):
        validated(2, 1, metric="f1").fit()


def staged(stages: list[Stage], figures: list[float], tmp_path: Path, **options: object) -> tuple[Run, list[tuple[int, int]]]:
    """A run whose evaluations give these figures, and the stage and step of each evaluation."""
    seen: list[tuple[int, int]] = []

    def evaluate(_: object) -> dict[str, float]:
        seen.append((run.clock.stage, run.clock.step))
        return {"accuracy": figures[len(seen) - 1]}

    actors = {"student": trained(net(8)), "helper": trained(net(4)), "before": snapshot("student")}
    validation = Validation(evaluate, **options)  # type: ignore[arg-type]
    run = Run(actors, stages, source=Blobs(), settings=quiet(), validation=validation, folder=tmp_path / "run")
    return run.fit(), seen


def taught(actor: str, count: int = 4, **options: object) -> Stage:
    update = Update([Term(HardTargets(), student=actor)], trains=actor)
    return Stage([update], steps(count), Optimizer("sgd", lr=0.05), **options)  # type: ignore[arg-type]


ANEW = [Snapshot("before"), Reinitialise("student")]


def test_patience_begins_anew_in_each_stage(tmp_path: Path) -> None:
    figures = [0.9, *[0.5] * 20]
    run, seen = staged([taught("student", 12), taught("student", 12)], figures, tmp_path, every=2, patience=3)
    assert seen == [(0, 2), (0, 4), (0, 6), (0, 8), (1, 2), (1, 4), (1, 6)]
    assert run.clock.best == 0.9  # of the first stage, which the second has gone on from


def test_a_state_from_before_a_new_beginning_is_no_candidate(tmp_path: Path) -> None:
    run, _ = staged([taught("student"), taught("student", on_enter=ANEW)], [0.9, 0.5], tmp_path, every=4)
    assert run.clock.best == 0.5
    last = {name: tensor.clone() for name, tensor in run.actors["student"].model.state_dict().items()}
    kept = run.load_best().state_dict()
    assert all(torch.equal(last[name], kept[name]) for name in last)


@pytest.mark.parametrize("memory", [True, False])
def test_a_stage_that_does_not_train_what_decides_runs_to_its_end_and_is_kept(tmp_path: Path, memory: bool) -> None:
    options = {"actor": ("student", "helper"), "decides": ("student",), "every": 2, "patience": 1}
    stages = [taught("helper", 6), taught("student", 6), taught("helper", 6)]
    run, seen = staged(stages, [0.5, 0.9, 0.1], tmp_path, **options)
    assert seen == [(1, 2), (1, 4), (1, 6)]
    assert run.clock.updates == 18
    helper = [tensor.clone() for tensor in run.actors["helper"].model.state_dict().values()]
    student = [tensor.clone() for tensor in run.actors["student"].model.state_dict().values()]
    if not memory:
        run.validator.best_states = None  # as in a run that was resumed
    run.load_best()
    assert all(map(torch.equal, helper, run.actors["helper"].model.state_dict().values()))  # as the last stage has left it
    assert not all(map(torch.equal, student, run.actors["student"].model.state_dict().values()))  # the best, not the last
