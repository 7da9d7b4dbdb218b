"""Sources that observe updates: what they are told, and that their state is part of the checkpoint."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from limbeck.core.actors import frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Observation
from limbeck.core.terms import Term
from limbeck.data.sources import Generated
from limbeck.engine import Interrupted, Optimizer, Run, Stage, Update, epochs, steps
from limbeck.objectives import HardTargets, LogitMSE, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state
from tests.engine.training_runs import quiet


class HardFirst(Blobs):
    """Draws the items on which the student was worst so far."""

    observes = ("student", "teacher:0")

    def __init__(self) -> None:
        super().__init__()
        self.loss = torch.full((self.samples,), 10.0)
        self.seen: list[Observation] = []

    def batch(self, place: BatchPosition) -> Batch:
        rows = place.part_of(self.loss.argsort(descending=True, stable=True)[: self.batch_size])
        return Batch({"default": self.x[rows]}, target=self.y[rows], keys=rows, index=rows)

    def observe(self, observation: Observation) -> None:
        self.seen.append(observation)
        rows, logits = observation.index, observation.signals["student"]
        self.loss[rows] = torch.nn.functional.cross_entropy(logits, self.y[rows], reduction="none")

    def state_dict(self) -> dict[str, Tensor]:
        return {"loss": self.loss}

    def load_state_dict(self, saved) -> None:
        self.loss = saved["loss"].clone()

    def fresh(self) -> HardFirst:
        return HardFirst()


def prepared(source, folder=None, count: int = 12, stages: int = 1, **options) -> Run:
    actors = {"student": trained(net(8)), "teacher": frozen(net(16))}
    parts = [Stage([Update([Term(HardTargets()), Term(SoftTargets())])], steps(count), Optimizer("sgd", lr=0.1))] * stages
    return Run(actors, parts, source=source, folder=folder, settings=quiet(checkpoint_every=5, **options))


def test_a_source_is_told_signals_and_losses_of_each_update() -> None:
    source, model = HardFirst(), net(8)
    expected = source.y[:16]
    prepared(source, count=2).fit()
    first, second = source.seen
    assert torch.equal(first.index, torch.arange(16))
    assert torch.equal(first.keys, first.index)
    torch.testing.assert_close(first.signals["student"], model.train()(source.x[:16]).detach())
    assert "teacher:0" not in first.signals  # no term reads this layer
    loss = torch.nn.functional.cross_entropy(first.signals["student"], expected)
    torch.testing.assert_close(first.losses["hard_targets"], loss)
    assert set(first.losses) == {"hard_targets", "soft_targets", "loss"}
    assert first.trained == ("student",)
    assert (first.progress, second.progress) == (0, 0.5)
    assert torch.equal(second.index, torch.arange(16, 32))


def test_the_pieces_of_a_batch_are_told_as_one() -> None:
    whole, pieces = HardFirst(), HardFirst()
    prepared(whole, count=1).fit()
    prepared(pieces, count=1, accumulate=4).fit()
    assert torch.equal(whole.seen[0].index, pieces.seen[0].index)
    assert pieces.seen[0].signals["student"].shape == (16, 4)
    assert len(pieces.seen) == 1


@pytest.mark.parametrize("stages", [1, 2])
def test_a_run_with_state_in_its_source_resumes_bit_for_bit(tmp_path, stages) -> None:
    whole = prepared(HardFirst(), stages=stages).fit()
    stopped = prepared(HardFirst(), tmp_path, stages=stages)
    last = (stages - 1) * 12 + 7

    class Stopping(HardFirst):
        def observe(self, observation: Observation) -> None:
            super().observe(observation)
            if len(self.seen) == last:
                stopped.interrupt.requested = True

    source = Stopping()
    stopped.source, stopped.sources = source, [source]
    with pytest.raises(Interrupted):
        stopped.fit()
    resumed = prepared(HardFirst(), tmp_path, stages=stages).fit(resume=True)
    assert same(state(whole.actors["student"].model), resumed.actors["student"].model)
    assert torch.equal(whole.source.loss, resumed.source.loss)


def test_checkpoints_without_sources_are_still_read(tmp_path) -> None:
    run = prepared(Blobs(), tmp_path).fit()
    found = run.checkpoints.newest()
    del found["sources"]
    run.checkpoints.save(run.clock.updates, found)
    assert prepared(Blobs(), tmp_path).fit(resume=True).clock.finished


def test_a_stage_in_epochs_is_paced_by_its_data_set() -> None:
    noise = Generated("generator", batch_size=8, noise=5)
    adversary = Update([Term(LogitMSE(), weight=-1)], trains="generator", source=noise)
    actors = {"student": trained(net(8)), "teacher": frozen(net(16)), "generator": trained(net(4, features=5, classes=6))}
    stage = Stage([adversary, Update([Term(HardTargets())])], epochs(0.25), Optimizer("sgd", lr=0.1))
    run = Run(copy.copy(actors), [stage], source=Blobs(), settings=quiet()).fit()
    assert run.clock.updates == 2 * 4
