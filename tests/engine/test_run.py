"""The training loop: precision, clipping, checkpoints, NaN, threads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck.core.actors import frozen, trained
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.engine import NonFiniteError, Optimizer, Run, Stage, Update, Validation, steps
from limbeck.engine.checkpoint import Checkpoints
from limbeck.objectives import HardTargets, SoftTargets
from tests.architecture.conftest import Blobs, net
from tests.engine.training_runs import accuracy, quiet, train


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


def test_clipping_bounds_a_step() -> None:
    start = [p.detach().clone() for p in net(8).parameters()]
    run = train(quiet(clip=1e-3), Optimizer("sgd", lr=1.0), count=1)
    moved = torch.stack(
        [(p.detach() - q).norm() for p, q in zip(run.actors["student"].model.parameters(), start, strict=True)]
    ).norm()
    assert 0 < float(moved) <= 1e-3 * 1.001


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
    with pytest.raises(ValueError, match=r"holds checkpoints; continue with resume=True"):
        train(quiet(trackers=()), count=3, folder=tmp_path)


@pytest.mark.parametrize("done", [4, 6])
def test_a_training_of_another_length_is_not_continued(tmp_path: Path, done: int) -> None:
    def run(length: int) -> Run:
        stage = Stage([Update([Term(HardTargets())], trains=["student"])], steps(length))
        settings = quiet(trackers=(), checkpoint_every=2)
        return Run({"student": trained(net(8))}, [stage], source=Blobs(), settings=settings, folder=tmp_path)

    run(6).advance(done)
    with pytest.raises(ValueError, match=r"of a training of 6 steps, and this one has 9 steps; continue with"):
        run(9).fit(resume=True)
    assert run(6).fit(resume=True).clock.finished


def test_the_number_of_threads_is_set_for_the_run_only() -> None:
    before, seen = torch.get_num_threads(), []
    validation = Validation(lambda model: seen.append(torch.get_num_threads()) or {"accuracy": 0.0})  # type: ignore[func-returns-value]
    train(quiet(threads=before + 1), count=1, validation=validation)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_a_run_in_pieces_is_the_same_run():
    whole = train(quiet(), count=9)
    actors = {"student": trained(net(8)), "teacher": frozen(net(16))}
    stages = [Stage([Update([Term(HardTargets())])], steps(9), Optimizer("sgd", lr=0.1))]
    pieces = Run(actors, stages, source=Blobs(), settings=quiet())
    handler, threads, state = signal.getsignal(signal.SIGINT), torch.get_num_threads(), torch.get_rng_state()
    for count, done in ((0, 0), (1, 1), (4, 5), (4, 9)):
        pieces.advance(count)
        assert (pieces.clock.step + 9 * pieces.clock.stage, pieces.clock.updates) == (done, done)
        assert (signal.getsignal(signal.SIGINT), torch.get_num_threads()) == (handler, threads)
        assert torch.equal(torch.get_rng_state(), state)
    assert pieces.clock.finished
    for one, other in zip(*(run.actors["student"].model.parameters() for run in (whole, pieces)), strict=True):
        assert torch.equal(one, other)
    assert pieces.advance(5).clock.updates == 9  # nothing is left


def test_weights_may_be_exchanged_between_pieces():
    run = Run(
        {"student": trained(net(8)), "teacher": frozen(net(16))},
        [Stage([Update([Term(HardTargets())])], steps(4), Optimizer("sgd", lr=0.0))],
        source=Blobs(),
        settings=quiet(),
    )
    run.advance(2)
    model = run.actors["student"].model
    other = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    model.load_state_dict(other)
    run.advance()
    assert all(torch.equal(weight, other[name]) for name, weight in model.named_parameters())
    assert run.clock.finished


def test_a_run_in_another_thread_needs_no_signal_handler():
    run = Run(
        {"student": trained(net(8))},
        [Stage([Update([Term(HardTargets())])], steps(3), Optimizer("sgd", lr=0.1))],
        source=Blobs(),
        settings=quiet(),
    )
    thread = threading.Thread(target=run.fit)
    thread.start()
    thread.join()
    assert run.clock.finished


class NotedCache:
    """A cache that holds nothing, and notes which checkpoints there were when it was flushed."""

    one_view = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flushed: list[int] = []

    def covers(self, taps: Iterable[str]) -> bool:
        return False

    def flush(self) -> None:
        self.flushed.append(len(list(self.folder.glob("checkpoints/*"))))


def test_caches_are_written_before_each_checkpoint(tmp_path: Path) -> None:
    cache = NotedCache(tmp_path)
    actors = {"student": trained(nn.Linear(4, 2)), "teacher": replace(frozen(nn.Linear(4, 2)), cache=cache)}
    source = Dataset(Items.from_tensors(torch.rand(16, 4), torch.arange(16) % 2), 4)
    stages = [Stage([Update([Term(SoftTargets())])], steps(4))]
    Run(actors, stages, source=source, settings=quiet(checkpoint_every=2), folder=tmp_path).fit()
    assert cache.flushed[0] == 0, "before the first checkpoint is there"
    assert len(cache.flushed) == 2
