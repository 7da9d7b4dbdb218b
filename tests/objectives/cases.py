"""Random valid inputs for every registered objective: drawn by hand, or else from what the objective declares."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from limbeck import objectives
from limbeck.core.objective import Objective
from limbeck.core.signals import Match, shape_of

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
        target = LABELS.get(self.name, classes)(parts(student)[0], generator)
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


def classes(student: Tensor, generator: torch.Generator) -> Tensor:
    """A label for each item, one of the student's last axis."""
    return torch.randint(student.shape[-1], student.shape[:1], generator=generator)


def token_classes(student: Tensor, generator: torch.Generator) -> Tensor:
    """A label for each token where there are tokens, some without one, but never the first of an item."""
    target = torch.randint(student.shape[-1], student.shape[:-1], generator=generator)
    if target.ndim > 1:
        target[:, 1:][torch.rand(target[:, 1:].shape, generator=generator) < 0.4] = objectives.UNLABELLED
    return target


def multi_hot(student: Tensor, generator: torch.Generator) -> Tensor:
    """A 0 or 1 for each class, some unknown, but never the first of an item."""
    target = torch.randint(2, student.shape, generator=generator)
    target[:, 1:][torch.rand(target[:, 1:].shape, generator=generator) < 0.3] = objectives.UNLABELLED
    return target


# How labels are drawn where they are not one class for each item.
LABELS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "binary_cross_entropy": multi_hot,
    "masked_kl": token_classes,
    "span_targets": lambda student, generator: torch.randint(student.shape[2], student.shape[:2], generator=generator),
    "squared_error": lambda student, generator: torch.randn(len(student), generator=generator, dtype=torch.float64),
}


def shapes(student: Any, teacher: Any) -> Callable[[torch.Generator, int], tuple[Signal, Signal]]:
    """Normal random signals of these shapes per item; a list of shapes is a tuple of taps."""

    def make(generator: torch.Generator, batch: int) -> tuple[Signal, Signal]:
        def draw(shape: Any) -> Signal:
            if isinstance(shape, list):
                return tuple(draw(part) for part in shape)
            return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

        return draw(student), draw(teacher)

    return make


def distributions(make: Callable[[torch.Generator, int], tuple[Signal, Signal]]) -> Callable[..., tuple[Signal, Signal]]:
    """The same signals after a softmax over the last axis."""

    def normalised(generator: torch.Generator, batch: int) -> tuple[Signal, Signal]:
        student, teacher = make(generator, batch)
        return each_part(student, lambda x: x.softmax(-1)), each_part(teacher, lambda x: x.softmax(-1))

    return normalised


LOGITS = shapes((5,), (5,))
MAPS = shapes((3, 2, 3), (3, 2, 3))
WIDER = shapes((2, 2, 3), (3, 2, 3))
VECTORS = shapes((4,), (6,))
HIDDEN = shapes((3, 5), (3, 5))
TOKENS = shapes((3, 4), (3, 4))
ATTENTION = shapes((2, 3, 3), (2, 3, 3))
HEADS = shapes((2, 3, 2), (2, 3, 3))  # each side's own width of a head

BY_HAND = [
    Case("hard_targets", LOGITS),
    Case("soft_targets", LOGITS),
    Case("soft_targets", LOGITS, {"temperature": 2.0, "standardize": True}),
    Case("logit_mse", LOGITS),
    Case("teacher_argmax", LOGITS),
    Case("decoupled", LOGITS),
    Case("adaptive_target", LOGITS),
    Case("adaptive_target", LOGITS, {"gamma": 1.4, "temperature": 2.0}),
    Case("adaptive_target", LOGITS, {"gamma": 1.3, "label_only": True}),
    Case("dist", LOGITS),
    Case("dist", LOGITS, {"temperature": 3.0, "beta": 2.0, "gamma": 0.5}),
    Case("weighted_soft_labels", LOGITS),
    Case("forward_kl", LOGITS),
    Case("forward_kl", TOKENS),
    Case("forward_kl", TOKENS, {"temperature": 2.0}),
    Case("reverse_kl", LOGITS),
    Case("reverse_kl", TOKENS, {"temperature": 2.0}),
    Case("jensen_shannon", LOGITS, {"beta": 0.3, "temperature": 2.0}),
    Case("jensen_shannon", TOKENS, {"normalized": True}),
    Case("skew_kl", LOGITS),
    Case("skew_kl", TOKENS, {"alpha": 0.4}),
    Case("skew_reverse_kl", LOGITS),
    Case("skew_reverse_kl", TOKENS, {"alpha": 0.4}),
    Case("total_variation", LOGITS),
    Case("total_variation", TOKENS),
    Case("universal_logit", shapes((5,), (7,))),
    Case("universal_logit", shapes((3, 4), (3, 2))),
    Case("masked_kl", LOGITS, {"temperature": 3.0}),
    Case("masked_kl", TOKENS),
    Case("span_targets", shapes((2, 4), (2, 4))),
    Case("span_soft_targets", shapes((2, 4), (2, 4))),
    Case("span_soft_targets", shapes((2, 4), (2, 4)), {"temperature": 2.0}),
    Case("squared_error", shapes((1,), (1,))),
    Case("squared_error", shapes((), ())),
    Case("binary_cross_entropy", LOGITS),
    Case("binary_soft_targets", LOGITS),
    Case("binary_soft_targets", LOGITS, {"temperature": 3.0}),
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
    Case("partial_cross_attention", shapes([(2, 3, 4)] * 3, [(2, 3, 4)] * 3)),
    Case("rkd_distance", VECTORS),
    Case("rkd_angle", VECTORS),
    Case("rkd_cosine", VECTORS),
    Case("similarity_preserving", VECTORS),
    Case("probabilistic_transfer", VECTORS),
    Case("correlation_congruence", VECTORS),
    Case("correlation_congruence", VECTORS, {"gamma": 0.7, "order": 3}),
    Case("channel_correlation", shapes((3, 2, 2), (3, 2, 3))),
    Case("contrastive", VECTORS, {"negatives": 7, "dim": 3, "temperature": 0.5}),
    Case("cross_similarity", shapes((5,), (5,))),
    Case("cross_similarity", shapes((5,), (5,)), {"temperature": 0.3}),
    Case("info_nce", shapes((5,), (5,)), {"temperature": 0.4}),
    Case("hidden_states", HIDDEN),
    Case("hidden_cosine", HIDDEN),
    Case("feature_map_transfer", HIDDEN),
    Case("feature_map_transfer", HIDDEN, {"mean_weight": 2.0, "variance_weight": 0.5, "weight": 3.0}),
    Case("attention_scores", ATTENTION),
    Case("attention_distributions", distributions(ATTENTION)),
    Case("value_relation", HEADS),
    Case("value_relation", shapes((4, 4), (4, 6))),
    Case("value_relation", shapes((3, 4), (4, 3, 2)), {"heads": 2}),
    Case("self_attention_relations", shapes([(3, 4)] * 3, [(3, 6)] * 3), {"heads": 2}),
    Case("self_attention_relations", shapes([(4, 3, 2), (2, 3, 2), (2, 3, 2)], [(3, 3, 4)] * 3), {"heads": 4}),
    Case("batchnorm_statistics", shapes((3, 4), (3, 4))),
    Case("one_hot", LOGITS),
    Case("class_balance", LOGITS),
    Case("activation", WIDER),
    Case("class_impression", LOGITS, {"temperature": 3.0}),
    Case("smoothness", MAPS, {"variation": 2.0, "norm": 0.5}),
    Case("disagreement", LOGITS),
    Case("disagreement", LOGITS, {"distance": "kl", "temperature": 2.0}),
    Case("disagreement", LOGITS, {"distance": "js", "temperature": 3.0}),
    Case("contrastive_memory", MAPS, {"dim": 3, "size": 6, "temperature": 0.5}),
    Case("embedding_mse", shapes((5,), (5,))),
    Case("embedding_cosine", shapes((5,), (5,))),
    Case("margin_mse", shapes((2,), (2,))),
    Case("margin_mse", shapes((4,), (4,))),
]

# An item's shape on both sides, by what of it must agree and by the number of axes (the batch included).
DECLARED = {
    Match.EVERYTHING: {2: ((5,), (5,)), 3: ((4, 5), (4, 5)), 4: ((3, 2, 3), (3, 2, 3))},
    Match.SPACE: {2: ((4,), (6,)), 3: ((4, 5), (4, 5)), 4: ((2, 2, 3), (3, 2, 3))},
    Match.CHANNELS: {2: ((5,), (5,)), 3: ((4, 5), (4, 5)), 4: ((3, 2, 2), (3, 2, 3))},
    Match.NOTHING: {2: ((4,), (6,)), 3: ((4, 5), (3, 6)), 4: ((2, 2, 3), (3, 2, 2))},
}


# An item's sizes by the letters that `signals` names its axes with; a number is one.
SIZES = {"heads": 2, "C": 4, "T": 3, "d": 24, "D": 48, "N": 3}

# Objectives that take sizes which they do not declare.
UNDECLARED = {"span_targets", "span_soft_targets", "squared_error"}


def declared(name: str) -> list[Case]:
    """A case for each kind of signal that an objective takes, from its declarations alone."""
    kind = Case(name, LOGITS).kind
    if kind.expects:
        return [_named(kind, signal) for signal in kind.expects]
    ndims = (2,) if kind.knowledge == "output" else kind.ndims or (2, 4)  # token logits give a loss for each token
    both = [DECLARED[kind.match][rank] for rank in ndims]
    if kind.num_taps != 1:
        taps = kind.num_taps or 2
        return [Case(name, shapes([student] * taps, [teacher] * taps)) for student, teacher in both]
    return [Case(name, shapes(student, teacher)) for student, teacher in both]


def _named(kind: type[Objective], signal: str) -> Case:
    """A case of what a declaration such as "attention scores [B, heads, T, T]" names; both sides alike."""
    (axes,) = re.findall(r"\[B, (.*?)\]", signal)
    shape = tuple(int(axis) if axis.isdigit() else SIZES[axis] for axis in axes.split(", "))
    side: Any = shape if kind.num_taps == 1 else [shape] * kind.num_taps
    make = shapes(side, side)
    return Case(kind.name, distributions(make) if "distributions" in signal else make)


def all_cases() -> list[Case]:
    """Those drawn by hand, then those of all objectives that nobody drew any for."""
    drawn = {case.name for case in BY_HAND}
    return BY_HAND + [case for name in objectives.names() if name not in drawn for case in declared(name)]


CASES = all_cases()
