"""Selection on validation data: the best state, patience, and when it is evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from limbeck.core.actors import average, trained
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Run, Stage, Update, Validation, epochs, steps
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
