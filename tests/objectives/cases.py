"""Random valid inputs for every registered objective: drawn by hand, or else from what the objective declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from limbeck import objectives
from limbeck.objectives import Objective
from limbeck.signals import Match, shape_of

SAMPLES = 12  # items in the imagined data set
Signal = Tensor | tuple[Tensor, ...]


@dataclass
class Inputs:
    student: Signal
    teacher: Signal
    target: Tensor
    index: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """The same change to every tensor of student and teacher."""
        return replace(self, student=each_part(self.student, change), teacher=each_part(self.teacher, change))

    def items(self, rows: Tensor) -> Inputs:
        picked = self.each(lambda x: x[rows])
        return replace(picked, target=self.target[rows], index=self.index[rows])

    def learning(self) -> Inputs:
        """The student's tensors as fresh leaves that ask for a gradient."""
        return replace(self, student=each_part(self.student, lambda x: x.detach().clone().requires_grad_()))


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[torch.Generator, int], tuple[Signal, Signal]]
    hyperparameters: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{k}={v}" for k, v in self.hyperparameters.items())])

    @property
    def kind(self) -> type[Objective]:
        return cast(type[Objective], objectives.registry[self.name])

    def require(self, prop: str) -> None:
        """Skip the test of a property that the objective says it lacks."""
        if prop in self.kind.exempt:
            pytest.skip(f"{self.name}: {self.kind.exempt[prop]}")

    def inputs(self, seed: int, batch: int = 4) -> Inputs:
        generator = torch.Generator().manual_seed(seed)
        student, teacher = self.make(generator, batch)
        classes = parts(student)[0].shape[-1]
        target = torch.randint(classes, (batch,), generator=generator)
        index = torch.randperm(SAMPLES, generator=generator)[:batch]
        return Inputs(student, teacher, target, index)

    def objective(self, inputs: Inputs, *, dtype: torch.dtype = torch.float64) -> Objective:
        """A built instance in evaluation mode, where random draws repeat."""
        torch.manual_seed(0)
        objective = objectives.get(self.name, **self.hyperparameters)
        objective.build(shape_of(inputs.student), shape_of(inputs.teacher), samples=SAMPLES)
        return objective.to(dtype).eval()


def loss_of(objective: Objective, inputs: Inputs) -> Tensor:
    return objective(inputs.student, inputs.teacher, target=inputs.target, index=inputs.index)


def parts(signal: Signal) -> tuple[Tensor, ...]:
    return signal if isinstance(signal, tuple) else (signal,)


def gradients(loss: Tensor, signal: Signal) -> tuple[Tensor, ...]:
    weights = torch.linspace(0.5, 1.5, loss.numel(), dtype=loss.dtype).view_as(loss)
    return torch.autograd.grad((loss * weights).sum(), parts(signal))


def each_part(signal: Signal, change: Callable[[Tensor], Tensor]) -> Signal:
    return tuple(change(x) for x in signal) if isinstance(signal, tuple) else change(signal)


def shapes(student: Any, teacher: Any) -> Callable[[torch.Generator, int], tuple[Signal, Signal]]:
    """Normal random signals of these shapes per item; a list of shapes is a tuple of taps."""

    def make(generator: torch.Generator, batch: int) -> tuple[Signal, Signal]:
        def draw(shape: Any) -> Signal:
            if isinstance(shape, list):
                return tuple(draw(part) for part in shape)
            return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

        return draw(student), draw(teacher)

    return make


LOGITS = shapes((5,), (5,))
MAPS = shapes((3, 2, 3), (3, 2, 3))
WIDER = shapes((2, 2, 3), (3, 2, 3))
VECTORS = shapes((4,), (6,))

BY_HAND = [
    Case("hard_targets", LOGITS),
    Case("soft_targets", LOGITS),
    Case("soft_targets", LOGITS, {"temperature": 2.0, "standardize": True}),
    Case("logit_mse", LOGITS),
    Case("teacher_argmax", LOGITS),
    Case("decoupled", LOGITS),
    Case("dist", LOGITS),
    Case("dist", LOGITS, {"temperature": 3.0, "beta": 2.0, "gamma": 0.5}),
    Case("weighted_soft_labels", LOGITS),
    Case("hint", MAPS),
    Case("hint", shapes((5,), (5,))),
    Case("attention_transfer", WIDER),
    Case("attention_transfer", WIDER, {"power": 3.0}),
    Case("neuron_selectivity", WIDER),
    Case("neuron_selectivity", shapes((5, 2, 2), (4, 2, 2))),
    Case("flow", shapes([(2, 3, 4), (3, 2, 2)], [(2, 3, 4), (3, 2, 2)])),
    Case("channelwise", MAPS),
    Case("standardized_features", MAPS),
    Case("standardized_features", shapes((5,), (5,))),
    Case("variational", MAPS),
    Case("variational", shapes((5,), (5,))),
    Case("margin_features", MAPS),
    Case("margin_features", shapes((5,), (5,))),
    Case("review", shapes([(2, 6, 5), (3, 3, 3)], [(3, 6, 5), (2, 3, 3)]), {"mid_channels": 4}),
    Case("masked_generative", WIDER),
    Case("rkd_distance", VECTORS),
    Case("rkd_angle", VECTORS),
    Case("rkd_cosine", VECTORS),
    Case("similarity_preserving", VECTORS),
    Case("probabilistic_transfer", VECTORS),
    Case("correlation_congruence", VECTORS),
    Case("correlation_congruence", VECTORS, {"gamma": 0.7, "order": 3}),
    Case("channel_correlation", shapes((3, 2, 2), (3, 2, 3))),
    Case("contrastive", VECTORS, {"negatives": 7, "dim": 3, "temperature": 0.5}),
]

# An item's shape on both sides, by what of it must agree and by the number of axes (the batch included).
DECLARED = {
    Match.EVERYTHING: {2: ((5,), (5,)), 3: ((4, 5), (4, 5)), 4: ((3, 2, 3), (3, 2, 3))},
    Match.SPACE: {2: ((4,), (6,)), 3: ((4, 5), (4, 5)), 4: ((2, 2, 3), (3, 2, 3))},
    Match.CHANNELS: {2: ((5,), (5,)), 3: ((4, 5), (4, 5)), 4: ((3, 2, 2), (3, 2, 3))},
    Match.NOTHING: {2: ((4,), (6,)), 3: ((4, 5), (3, 6)), 4: ((2, 2, 3), (3, 2, 2))},
}


def declared(name: str) -> list[Case]:
    """A case for each number of axes that an objective takes, from its declarations alone."""
    kind = Case(name, LOGITS).kind
    ranks = (2,) if kind.knowledge == "output" else kind.ranks or (2, 4)  # token logits give a loss for each token
    both = [DECLARED[kind.match][rank] for rank in ranks]
    if kind.parts != 1:
        taps = kind.parts or 2
        return [Case(name, shapes([student] * taps, [teacher] * taps)) for student, teacher in both]
    return [Case(name, shapes(student, teacher)) for student, teacher in both]


def all_cases() -> list[Case]:
    """Those drawn by hand, then those of all objectives that nobody drew any for."""
    drawn = {case.name for case in BY_HAND}
    return BY_HAND + [case for name in objectives.names() if name not in drawn for case in declared(name)]


CASES = all_cases()
