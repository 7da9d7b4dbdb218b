"""Objectives of extractive question answering: start and end logits [batch, 2, tokens] of the answer span.

The classes are the positions of real tokens; padding is left out of every softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match, tensors_of
from limbeck.objectives.functional.cross_entropy import cross_entropy
from limbeck.objectives.functional.divergence import kl_divergence
from limbeck.objectives.functional.elementary import last_mean, softened_log_probs
from limbeck.objectives.logits import SoftTargets


class SpanObjective(Objective):
    """Base class."""

    knowledge: ClassVar[Knowledge] = "output"
    match: ClassVar[Match] = Match.EVERYTHING
    ndims: ClassVar[tuple[int, ...]] = (3,)
    expects: ClassVar[tuple[str, ...]] = ("start and end logits [B, 2, T]",)

    def counted(self, signal: Tensor, mask: Tensor | None) -> Tensor | None:
        return None if mask is None else mask.bool()[:, None]


@registry.register("span_targets")
class SpanTargets(SpanObjective):
    """Cross entropy with the first and the last token of the answer, the mean of both.

    Student [B, 2, T] with labels [B, 2]. An item labelled -100 gives exactly 0. `mask` [B, T] marks real tokens.

    Raises:
        ValueError: labels missing, of another shape, or beyond the tokens.

    Source: Devlin et al. 2018, arXiv 1810.04805.
    """

    name = "span_targets"
    formula = "½ (CE(s_start, y_start) + CE(s_end, y_end)) over real tokens"
    source = "BERT, Devlin et al. 2018, arXiv 1810.04805"
    bibtex = """
        @misc{devlin2018bert,
            title = {{BERT}: Pre-training of Deep Bidirectional Transformers for Language Understanding},
            author = {Devlin, Jacob and Chang, Ming-Wei and Lee, Kenton and Toutanova, Kristina},
            year = {2018},
            eprint = {1810.04805},
            archiveprefix = {arXiv},
        }
    """
    needs_teacher = False
    needs_target = True
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), "it ignores the teacher")

    def compare(self, student: Tensor, teacher: Any, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        return last_mean(cross_entropy(without_padding(student, mask), target.clamp(min=-1), unlabelled=-1))

    def _check_target(self, student: Any, target: Tensor) -> None:
        shape = tensors_of(student)[0].shape
        if target.is_floating_point() or target.shape != shape[:2]:
            raise ValueError(
                f"{self.name}: target {tuple(target.shape)} does not fit student {tuple(shape)}; the first and the last token "
                f"of each answer are needed: [{shape[0]}, 2]"
            )
        if self.validate and bool((target >= shape[2]).any()):
            raise ValueError(f"{self.name}: an answer ends at token {int(target.max())}, beyond the {shape[2]} tokens")


@registry.register("span_soft_targets")
class SpanSoftTargets(SpanObjective):
    """Kullback-Leibler divergence from the teacher's distributions over start and end tokens to the student's, the mean of
    both.

    [B, 2, T] gives [B]. `mask` [B, T] marks real tokens, which must be the same for the teacher.

    Args:
        temperature: T of both distributions.

    Raises:
        ValueError: temperature not above 0; shapes that differ.

    Source: Hinton et al. 2015, arXiv 1503.02531, on both outputs as in TinyBERT, arXiv 1909.10351.
    """

    name = "span_soft_targets"
    formula = "T² ½ Σ_start,end Σ_tokens p_T(t) (log p_T(t) − log p_T(s))"
    source = "Hinton et al. 2015, arXiv 1503.02531, over positions"
    bibtex = SoftTargets.bibtex

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 1")
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        ours, theirs = (softened_log_probs(without_padding(side, mask), self.temperature) for side in (student, teacher))
        return self.temperature**2 * last_mean(kl_divergence(theirs, ours))


def without_padding(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Replaces the logits of padding by a very low finite number, so that 0 · log 0 is 0."""
    return logits if mask is None else logits.masked_fill(~mask.bool()[:, None], torch.finfo(logits.dtype).min / 4)
