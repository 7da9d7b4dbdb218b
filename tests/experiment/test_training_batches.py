"""A part of a batch that holds one item is found before any training, if BatchNorm would have to train on it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation, Settings, Stage, Term, Training, Update, objectives
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.data import Items
from limbeck.engine import Freeze, steps
from limbeck.experiment.teacher_training import train_teacher
from limbeck.utils import distributed

DRAW = torch.Generator().manual_seed(0)
X = torch.rand(64, 6, generator=DRAW)
Y = (X[:, 0] > 0.5).long()
REMEDY = r"the BatchNorm layer 'norm' of {who} cannot train on one item, and a part of a batch holds one: {why}.*GroupNorm"


class Net(nn.Module):
    """Outputs, with BatchNorm after all positions are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.head = nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.layer(x)))


def training(batch_size: int, accumulate: int = 1, *, together: bool = True) -> Training:
    settings = Settings(progress=False, trackers=(), accumulate=accumulate, device="cpu", sync_batch_norm=together)
    return Training(steps(2), batch_size=batch_size, settings=settings)


def items(count: int, labels: int | None = None) -> Items:
    found = Items.from_tensors(X[:count], Y[:count])
    return found if labels is None else found.keep_labels(labels)


def job(batch_size: int, accumulate: int = 1, student: Any = Net, *, together: bool = True, **options: Any) -> Distillation:
    return Distillation(student, Net(), training=training(batch_size, accumulate, together=together), **options)


@pytest.mark.parametrize(("count", "batch_size", "parts"), itertools.product((2, 3, 5, 9), (1, 2, 4, 8), (1, 2, 4)))
def test_every_length_batch_size_and_number_of_processes(
    count: int, batch_size: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check agrees with the batches that a training would draw, whether processes or accumulation cut them."""
    size = min(batch_size, count)
    single = (size // parts if batch_size > count else batch_size / parts) == 1
    impossible = batch_size % parts if batch_size <= count else size < parts
    for ranks, accumulate, together in ((1, parts, False), (parts, 1, False), (parts, 1, True)):
        with monkeypatch.context() as patch:
            patch.setattr(distributed, "world_size", lambda ranks=ranks: ranks)
            distillation = job(batch_size, accumulate, together=together, control=False)
            alone = single and not (together and ranks > 1)  # else BatchNorm takes the items of all processes together
            if alone or impossible:
                with pytest.raises(ValueError, match="cannot train on one item" if alone else "parts"):
                    distillation.check(items(count))
            else:
                distillation.check(items(count))


def test_the_control_draws_labelled_items_only() -> None:
    job(8, control=False).check(items(32, labels=1))
    said = REMEDY.format(who="student", why="there is 1 item to train on; give 2 or more")
    with pytest.raises(ValueError, match=f"arm control: {said}"):
        job(8).check(items(32, labels=1))
    with pytest.raises(ValueError, match=r"arm control: .*there are 3 items to train on in 2 parts .*give 4 or more"):
        job(8, accumulate=2).check(items(32, labels=3))


def test_a_further_control_with_a_training_of_its_own() -> None:
    smaller = {"smaller": {"training": training(1), "terms": [Term(objectives.get("hard_targets"))]}}
    with pytest.raises(ValueError, match=r"arm smaller: .*batch_size is 1; set it to 2 or more"):
        job(8, controls=smaller).check(items(32))


def test_every_trained_actor_and_no_frozen_one() -> None:
    terms = [Term(objectives.get("soft_targets"), student="peer", teacher="student")]
    stages = [Stage([Update([Term(objectives.get("soft_targets"))], trains="student"), Update(terms, trains="peer")], steps(2))]
    plain = nn.Linear(6, 2)
    with pytest.raises(ValueError, match=REMEDY.format(who="peer", why="batch_size is 1; set it to 2 or more")):
        job(1, student=plain, actors={"peer": Net()}, stages=stages, control=False).check(items(32))
    job(1, student=plain).check(items(32))  # the teacher has BatchNorm too, and stays in evaluation mode


def test_batch_norm_that_a_stage_or_the_user_has_frozen() -> None:
    frozen = Net()
    frozen.norm.requires_grad_(False)
    job(1, student=frozen).check(items(32))
    stage = Stage([Update([Term(objectives.get("soft_targets"))])], steps(2), on_enter=[Freeze("student", ("norm",))])
    job(1, stages=[stage], control=False).check(items(32))


def test_batch_norm_over_positions_trains_on_one_item() -> None:
    student = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.BatchNorm1d(1), nn.Flatten(), nn.Linear(6, 2))
    before = {name: value.clone() for name, value in student.state_dict().items()}
    job(1, student=student).check(items(32))
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


class Ragged(Source):
    """A last batch of one, as a loader that keeps it gives."""

    samples, steps_per_epoch = 33, 5

    def batch(self, position: BatchPosition) -> Batch:
        rows = torch.arange(33)[position.step % 5 * 8 :][:8]
        return Batch(inputs={"default": X[rows]}, target=Y[rows])


def test_the_last_batch_of_a_source_of_ones_own() -> None:
    stage = Stage([Update([Term(objectives.get("soft_targets"))], source=Ragged())], steps(2))
    said = REMEDY.format(who="student", why="Ragged gives it; let it give 2 items or more to every batch")
    with pytest.raises(ValueError, match=said):
        job(8, stages=[stage], control=False).check(items(32))


def test_a_teacher_that_is_trained_first() -> None:
    with pytest.raises(ValueError, match=r"big: .*'norm' of teacher .*batch_size is 1; set it to 2 or more"):
        train_teacher(Net, items(32), training(1), name="big")
    model = train_teacher(lambda: nn.Linear(6, 2), items(32), training(1))
    assert not model.training
