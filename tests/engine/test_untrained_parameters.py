"""Trainable parameters that no term reaches are named, once all terms have been at work."""

from __future__ import annotations

import re
import warnings

import torch
from torch import Tensor, nn

from limbeck import Stage, Term, Update, objectives
from limbeck.core.actors import frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.engine import Freeze, Run, steps
from tests.engine.training_runs import quiet

SAID = r"student: no term gives head_dist\.weight, head_dist\.bias a gradient, so nothing trains them.*output: of the model"


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head, self.head_dist = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 3)


class OneOutput(TwoHeads):
    """In training the output of the first head, in evaluation the mean of both, as a distilled vision transformer has it."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.trunk(x).relu()
        return self.head(hidden) if self.training else (self.head(hidden) + self.head_dist(hidden)) / 2


class BothCalled(TwoHeads):
    """Calls both heads, and returns the first."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.trunk(x).relu()
        self.head_dist(hidden)
        return self.head(hidden)


class Noise(Source):
    """Without labels in the first batches."""

    def __init__(self, unlabelled: int = 0) -> None:
        self.unlabelled = unlabelled

    def batch(self, position: BatchPosition) -> Batch:
        draw = position.random_generator("noise")
        target = torch.randint(3, (8,), generator=draw) if position.step >= self.unlabelled else torch.full((8,), -100)
        return Batch(inputs={"default": torch.randn(8, 4, generator=draw)}, target=target)


HARD, SOFT = Term(objectives.get("hard_targets")), Term(objectives.get("soft_targets"))


def said_by(stages: list[Stage], model: nn.Module | None = None, source: Source | None = None) -> list[str]:
    actors = {"student": trained(model or OneOutput()), "teacher": frozen(nn.Linear(4, 3))}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        Run(actors, stages, source=source or Noise(), settings=quiet(trackers=())).fit()
    return [str(one.message) for one in found if "no term gives" in str(one.message)]


def test_a_second_head_that_nothing_trains_is_named() -> None:
    (said,) = said_by([Stage([Update([SOFT])], steps(3))])
    assert re.match(SAID, said)


def test_nothing_is_said_of_what_a_term_trains_or_the_user_or_a_stage_has_frozen() -> None:
    assert not said_by([Stage([Update([SOFT])], steps(3))], nn.Linear(4, 3))
    model = OneOutput()
    model.head_dist.requires_grad_(False)
    assert not said_by([Stage([Update([SOFT])], steps(3))], model)
    assert not said_by([Stage([Update([SOFT])], steps(3), on_enter=[Freeze("student", ("head_dist",))])])


def test_a_head_that_a_later_stage_or_another_update_trains() -> None:
    first = Stage([Update([Term(objectives.get("soft_targets"), student="student:head", teacher="teacher")])], steps(2))
    second = Stage([Update([Term(objectives.get("soft_targets"), student="student:head_dist", teacher="teacher")])], steps(2))
    assert not said_by([first, second], BothCalled())
    both = Stage([*first.updates, *second.updates], steps(2))
    assert not said_by([both], BothCalled())
    assert len(said_by([first], BothCalled())) == 1


def test_it_waits_for_the_first_batch_with_labels() -> None:
    assert not said_by([Stage([Update([HARD])], steps(4))], nn.Linear(4, 3), Noise(unlabelled=2))
    assert len(said_by([Stage([Update([HARD])], steps(4))], source=Noise(unlabelled=2))) == 1
