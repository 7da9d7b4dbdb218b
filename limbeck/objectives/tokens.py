"""Objectives on the logits of token sequences [batch, tokens, vocabulary]: one loss for each token.

Only the tokens that count are computed, since vocabularies are large; padding has a loss and a gradient of exactly zero.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from limbeck.core.labels import is_labelled
from limbeck.core.objective import registry, require
from limbeck.core.signals import TopK
from limbeck.objectives.functional.divergence import kl_divergence
from limbeck.objectives.functional.elementary import softened_log_probs
from limbeck.objectives.functional.top_k import ANOTHER_TEMPERATURE, check_top_k, kl_top_k
from limbeck.objectives.logits import LogitObjective, SoftTargets
from limbeck.objectives.transformers import HiddenCosine


class VocabularyObjective(LogitObjective):
    """Base class: compares the distributions over the vocabulary at the tokens that count.

    [B, T, V] gives [B, T], and exactly 0 where `mask` [B, T] marks no real token; [B, V] gives [B].
    """

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        super().check(student, teacher, target)
        if isinstance(teacher, TopK):
            remedy = f"{ANOTHER_TEMPERATURE}; use 1, or store dense logits"
            require(self._own_temperature == 1, self.name, "temperature", self._own_temperature, remedy)
            check_top_k(self.name, student, teacher, self.validate)

    def reads_top_k(self, temperature: float | None = None) -> bool:
        return self.accepts_top_k and (self._own_temperature if temperature is None else temperature) == 1

    @property
    def _own_temperature(self) -> float:
        """1 of those without a temperature, which must have no such attribute: a term would take it for one to schedule."""
        return float(getattr(self, "temperature", 1.0))

    def check_values(self, student: Any, teacher: Any, mask: Tensor | None) -> None:
        real = self._real(student, mask) if isinstance(teacher, TopK) else None
        if real is None:
            super().check_values(student, teacher, mask)
        else:  # the tail has no axis of classes, to which `counted` would broadcast
            super().check_values(student, _picked(teacher, real), None)

    def compare(self, student: Tensor, teacher: Tensor | TopK, *, target: Any, mask: Any, index: Any) -> Tensor:
        chosen = self.chosen(student, target, mask)
        if chosen is None:
            return self._divergence(student, teacher)
        losses = self._divergence(student[chosen], _picked(teacher, chosen))
        return student.new_zeros(student.shape[:-1]).masked_scatter(chosen, losses)

    @abstractmethod
    def _divergence(self, student: Tensor, teacher: Any) -> Tensor:
        """The loss of each token, [..., V] → [...]."""

    def chosen(self, student: Tensor, target: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """Which tokens count, bool [B, T]; None: all."""
        return self._real(student, mask)

    def counted(self, signal: Tensor, mask: Tensor | None) -> Tensor | None:
        real = self._real(signal, mask)
        return None if real is None else real[..., None]

    def _real(self, signal: Tensor, mask: Tensor | None) -> Tensor | None:
        """Which tokens are real; None for logits [B, V], which have no axis of tokens."""
        if mask is None or signal.ndim == 2:
            return None
        if mask.shape != signal.shape[:2]:
            shapes = f"the mask {tuple(mask.shape)} does not fit the signal {tuple(signal.shape)}"
            raise ValueError(f"{self.name}: {shapes}; it marks the real tokens of each item, {tuple(signal.shape[:2])}")
        return mask.to(signal.device, torch.bool)


@registry.register("forward_kl")
class ForwardKL(VocabularyObjective):
    """Kullback-Leibler divergence from the teacher's distribution over the vocabulary to the student's.

    [B, T, V] gives [B, T], and exactly 0 where `mask` [B, T] marks no real token; [B, V] gives [B]. The teacher may be `TopK`:
    the probability of all other tokens is then one more outcome, compared with the student's; this needs temperature 1.

    Args:
        temperature: T of both distributions.

    Raises:
        ValueError: temperature not above 0; shapes that differ; a mask of another shape than [B, T]; a TopK teacher with
            temperature ≠ 1.

    Source: Hinton et al. 2015, arXiv 1503.02531, token by token.
    """

    name = "forward_kl"
    formula = "T² Σ_v p_T(t)_v (log p_T(t)_v − log p_T(s)_v)"
    source = "Hinton et al. 2015, arXiv 1503.02531, token by token"
    bibtex = SoftTargets.bibtex
    accepts_top_k = True

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 1")
        self.temperature = temperature

    def _divergence(self, student: Tensor, teacher: Tensor | TopK) -> Tensor:
        if isinstance(teacher, TopK):
            return kl_top_k(teacher, student)
        return self.temperature**2 * kl_divergence(
            softened_log_probs(teacher, self.temperature), softened_log_probs(student, self.temperature)
        )


@registry.register("reverse_kl")
class ReverseKL(ForwardKL):
    """Kullback-Leibler divergence from the student's distribution over the vocabulary to the teacher's.

    It is large where the student gives probability to tokens that the teacher does not expect, and so suits samples of the
    student's own (the source `own_samples`). Shapes and masks are those of `forward_kl`; the teacher's logits are dense.

    Args:
        temperature: T of both distributions.

    Raises:
        ValueError: temperature not above 0; shapes that differ; a mask of another shape than [B, T]; a TopK teacher.

    Source: Gu et al. 2024 (MiniLLM), arXiv 2306.08543, token by token.
    """

    name = "reverse_kl"
    formula = "T² Σ_v p_T(s)_v (log p_T(s)_v − log p_T(t)_v)"
    source = "Gu et al. 2024 (MiniLLM), arXiv 2306.08543, token by token"
    bibtex = """
        @inproceedings{gu2024minillm,
            title = {{MiniLLM}: Knowledge Distillation of Large Language Models},
            author = {Gu, Yuxian and Dong, Li and Wei, Furu and Huang, Minlie},
            booktitle = {International Conference on Learning Representations},
            year = {2024},
            eprint = {2306.08543},
            archiveprefix = {arXiv},
        }
    """
    accepts_top_k = False

    def _divergence(self, student: Tensor, teacher: Any) -> Tensor:
        return self.temperature**2 * kl_divergence(
            softened_log_probs(student, self.temperature), softened_log_probs(teacher, self.temperature)
        )


@registry.register("masked_kl")
class MaskedKL(ForwardKL):
    """`forward_kl` at the labelled tokens only: those that are masked in masked language modelling.

    [B, T, V] with labels [B, T] gives [B, T], and exactly 0 at tokens labelled -100; [B, V] with labels [B] gives [B]. Only
    labelled tokens, some 15 % of all, are computed. The teacher may be `TopK`, as for `forward_kl`.

    Args:
        temperature: T of both distributions.

    Raises:
        ValueError: temperature not above 0; labels missing or out of range; shapes that differ.

    Source: Sanh et al. 2019 (DistilBERT), arXiv 1910.01108, as an option of the authors' code.
    """

    name = "masked_kl"
    formula = "T² Σ_v p_T(t)_v (log p_T(t)_v − log p_T(s)_v), at labelled tokens"
    source = "Sanh et al. 2019 (DistilBERT), arXiv 1910.01108"
    bibtex = HiddenCosine.bibtex
    needs_target = True

    def chosen(self, student: Tensor, target: Tensor | None, mask: Tensor | None) -> Tensor | None:
        assert target is not None
        known = is_labelled(target)
        real = self._real(student, mask)
        return known if real is None else known & real


def _picked(teacher: Tensor | TopK, tokens: Tensor) -> Any:
    """These tokens of a teacher, [B, T, …] → [n, …]."""
    if isinstance(teacher, TopK):
        return TopK(teacher.values[tokens], teacher.indices[tokens], teacher.tail[tokens])
    return teacher[tokens]
