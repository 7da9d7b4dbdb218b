"""Precision, optimizers, averages, trackers, compilation: what the engine does around the mathematics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck.core.actors import average, frozen, trained
from limbeck.core.schedules import Cosine, Warmup
from limbeck.core.terms import Term
from limbeck.engine import NonFiniteError, Optimizer, Reinitialise, Run, Settings, Stage, Update, Validation, epochs, steps
from limbeck.engine.checkpoint import Checkpoints
from limbeck.objectives import HardTargets, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state


def quiet(**options: object) -> Settings:
    return Settings(progress=False, device="cpu", **options)  # type: ignore[arg-type]


def accuracy(model: nn.Module) -> float:
    data = Blobs()
    with torch.no_grad():
        return float((model.eval()(data.x).argmax(1) == data.y).float().mean())


def train(settings: Settings, optimizer: Optimizer | None = None, count: int = 60, **options: object) -> Run:
    actors = {"student": trained(net(8)), "teacher": frozen(net(16))}
    stage = Stage([Update([Term(HardTargets())])], steps(count), optimizer or Optimizer("sgd", lr=0.1))
    return Run(actors, [stage], source=Blobs(), settings=settings, **options).fit()  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_learns_and_keeps_float32_weights(precision: str) -> None:
    run = train(quiet(precision=precision))
    student = run.actors["student"].model
    assert accuracy(student) > 0.9
    assert all(p.dtype == torch.float32 for p in student.parameters())
    assert run.scaler.is_enabled() == (precision == "float16")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"precision is 'half'; expected one of float32, bfloat16, float16"):
        quiet(precision="half")


@pytest.mark.parametrize(
    ("name", "lr", "options"),
    [
        ("sgd", 0.1, {"momentum": 0.9, "nesterov": True}),
        ("AdamW", 1e-2, {"betas": [0.9, 0.99]}),
        ("nadam", 1e-2, {}),
        ("RMSprop", 1e-2, {}),
    ],
)
def test_any_optimizer_of_torch_by_name(name: str, lr: float, options: dict[str, object]) -> None:
    assert accuracy(train(quiet(), Optimizer(name, lr=lr, options=options)).actors["student"].model) > 0.9


def test_unknown_optimizers_and_options_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"unknown optimizer 'adamv'; nearest: adam"):
        Optimizer("adamv")
    with pytest.raises(ValueError, match=r"optimizer 'sgd'.*betas"):
        Optimizer("sgd", options={"betas": (0.9, 0.99)}).build([nn.Parameter(torch.zeros(2))])


def test_the_rate_follows_its_schedule() -> None:
    spec = Optimizer("sgd", lr=0.5, schedule=Warmup(0.1, then=Cosine()))
    built = spec.build([nn.Parameter(torch.zeros(2))])
    assert spec.set_rate(built, 0.0) == 0.0
    assert spec.set_rate(built, 0.05) == pytest.approx(0.25)
    assert spec.set_rate(built, 0.1) == pytest.approx(0.5)
    assert built.param_groups[0]["lr"] == pytest.approx(0.5)
    assert spec.set_rate(built, 1.0) == pytest.approx(0.0, abs=1e-12)


def test_weight_decay_can_leave_vectors_alone() -> None:
    model = nn.Linear(3, 2)
    groups = Optimizer("sgd", options={"weight_decay": 0.1}, decay_vectors=False).build(list(model.parameters())).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert groups[1]["params"] == [model.bias]


def test_clipping_bounds_a_step() -> None:
    start = [p.detach().clone() for p in net(8).parameters()]
    run = train(quiet(clip=1e-3), Optimizer("sgd", lr=1.0), count=1)
    moved = torch.stack(
        [(p.detach() - q).norm() for p, q in zip(run.actors["student"].model.parameters(), start, strict=True)]
    ).norm()
    assert 0 < float(moved) <= 1e-3 * 1.001


def test_compiling_gives_the_same_student() -> None:
    plain, compiled = (train(quiet(compile=on), count=5).actors["student"].model for on in (False, True))
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_accelerate_trackers_get_the_values(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(quiet(log_every=10), count=30, folder=tmp_path)
    (event,) = tmp_path.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(event)).Reload()
    assert [e.step for e in events.Scalars("hard_targets")] == [10, 20, 30]


def test_the_log_holds_each_interval_once(tmp_path: Path) -> None:
    train(quiet(log_every=10, trackers=(), labels={"seed": 3}), count=25, folder=tmp_path)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(e["seed"], e["step"]) for e in entries] == [(3, 10), (3, 20), (3, 25)]
    assert all(e["values"]["loss"] == pytest.approx(e["values"]["hard_targets"]) for e in entries)


def test_the_newest_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    run = train(
        quiet(checkpoint_every=7, trackers=()),
        count=30,
        folder=tmp_path,
        validation=Validation(lambda m: {"accuracy": accuracy(m)}, every=10),
    )
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["best", "step-000000028", "step-000000030"]
    newest = Checkpoints(tmp_path / "checkpoints").newest()
    assert newest is not None
    assert newest["clock"]["finished"]
    assert run.clock.best == pytest.approx(accuracy(run.load_best()))


def test_the_best_average_is_what_is_kept(tmp_path: Path) -> None:
    actors = {"student": trained(net(8)), "mean": average("student", 0.9)}
    validation = Validation(lambda model: {"accuracy": accuracy(model)}, actor="mean")
    stage = Stage([Update([Term(HardTargets())])], epochs(3), Optimizer("sgd", lr=0.05))
    run = Run(actors, [stage], source=Blobs(), settings=quiet(), validation=validation).fit()
    assert run.load_best() is run.actors["mean"].model
    assert run.clock.best == pytest.approx(accuracy(run.load_best()))


def test_a_nan_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Poisoned(Blobs):
        def batch(self, place):  # type: ignore[no-untyped-def]
            batch = super().batch(place)
            return (
                batch
                if place.step < 20
                else type(batch)({"default": batch.inputs["default"] * float("nan")}, target=batch.target)
            )

    stage = Stage([Update([Term(HardTargets())])], steps(40), Optimizer("sgd", lr=0.05))
    run = Run(
        {"student": trained(net(8))},
        [stage],
        source=Poisoned(),
        settings=quiet(checkpoint_every=5, trackers=()),
        folder=tmp_path,
    )
    with pytest.raises(NonFiniteError, match=r"hard_targets.* at step 21.*complete"):
        run.fit()
    newest = Checkpoints(tmp_path / "checkpoints").newest()
    assert newest is not None
    assert newest["clock"]["updates"] == 20
    assert all(torch.isfinite(t).all() for t in newest["actors"]["student"].values())


def test_a_folder_with_another_training_is_not_overwritten(tmp_path: Path) -> None:
    train(quiet(trackers=()), count=3, folder=tmp_path)
    with pytest.raises(ValueError, match=r"holds checkpoints of a training; go on with resume=True"):
        train(quiet(trackers=()), count=3, folder=tmp_path)


def test_born_again_generations() -> None:
    from limbeck.core.actors import snapshot
    from limbeck.engine import Snapshot

    student = net(8)
    first = state(student)
    actors = {"student": trained(student, factory=lambda: net(8, seed=77)), "teacher": snapshot("student")}
    hard, soft = Term(HardTargets()), Term(SoftTargets(temperature=1))
    stages = [
        Stage([Update([hard])], steps(30), Optimizer("sgd", lr=0.1), on_exit=[Snapshot("teacher"), Reinitialise("student")]),
        Stage([Update([Term(HardTargets()), soft])], steps(1), Optimizer("sgd", lr=0.0)),
    ]
    run = Run(actors, stages, source=Blobs(), settings=quiet()).fit()
    assert accuracy(run.actors["teacher"].model) > 0.7
    reborn = {n: t for n, t in state(student).items() if "running" not in n and "num_batches" not in n}
    fresh = net(8, seed=77).state_dict()
    assert all(torch.equal(t, fresh[n]) for n, t in reborn.items())
    assert not same(first, student)


def test_the_number_of_threads_is_set_for_the_run_only() -> None:
    before, seen = torch.get_num_threads(), []
    validation = Validation(lambda model: seen.append(torch.get_num_threads()) or {"accuracy": 0.0})  # type: ignore[func-returns-value]
    train(quiet(threads=before + 1), count=1, validation=validation)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
