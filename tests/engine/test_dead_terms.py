"""What a run refuses at its first steps, and what it must not refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.actors import frozen, trained
from limbeck.core.source import BatchPosition
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.engine import DeadTermError, Optimizer, Run, Settings, Stage, Update, steps
from limbeck.objectives import Decoupled, HardTargets, SoftTargets

QUIET = Settings(progress=False, device="cpu")


def with_one_label(batch_size: int = 4) -> Dataset:
    """Sixty-four items of which the last of the first epoch's order has a label."""
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    blank = Dataset(Items.from_tensors(inputs, [-100] * 64, classes=3, images=False), batch_size)
    last = blank.rows(BatchPosition(15, 0))[-1]
    target = torch.full((64,), -100)
    target[last] = 1
    return Dataset(Items.from_tensors(inputs, target, classes=3, images=False), batch_size)


def run(student: nn.Module, terms: list[Term], length: int) -> Run:
    actors = {"student": trained(student), "teacher": frozen(nn.Linear(6, 3))}
    stage = Stage([Update(terms)], steps(length), Optimizer("sgd", lr=0.05))
    return Run(actors, [stage], source=with_one_label(), settings=QUIET)


def test_labels_that_come_late_make_no_term_dead() -> None:
    first = with_one_label().batch(BatchPosition(0, 0)).target
    assert first is not None
    assert bool((first == -100).all())
    job = run(nn.Linear(6, 3), [Term(HardTargets(), weight=0.1), Term(SoftTargets())], 16)
    job.fit()
    assert job.clock.updates == 16


def test_a_term_that_teaches_nobody_is_dead_once_a_label_comes() -> None:
    class Deaf(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0 * super().forward(x)

    job = run(Deaf(6, 3), [Term(HardTargets())], 16)
    with pytest.raises(DeadTermError, match="gradient is zero"):
        job.fit()
    assert job.clock.updates == 15  # the sixteenth batch has the label


def test_a_term_whose_loss_is_zero_although_there_are_labels_is_dead() -> None:
    """With two classes the part of DKD among all other classes has one outcome, so that nothing remains without alpha."""
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    source = Dataset(Items.from_tensors(inputs, torch.arange(64) % 2, images=False), 8)
    actors = {"student": trained(nn.Linear(6, 2)), "teacher": frozen(nn.Linear(6, 2))}
    stage = Stage([Update([Term(Decoupled(alpha=0)), Term(HardTargets())])], steps(4), Optimizer("sgd", lr=0.05))
    with pytest.raises(DeadTermError, match=r"'decoupled' is dead.*gradient is zero"):
        Run(actors, [stage], source=source, settings=QUIET).fit()
    assert source.items.classes == 2


def test_labels_that_come_in_a_later_piece_of_a_batch_make_no_term_dead() -> None:
    actors = {"student": trained(nn.Linear(6, 3))}
    stage = Stage([Update([Term(HardTargets())])], steps(8), Optimizer("sgd", lr=0.05))
    Run(actors, [stage], source=with_one_label(8), settings=Settings(progress=False, device="cpu", accumulate=2)).fit()
