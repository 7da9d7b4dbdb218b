"""Objectives on independent labels: logits [batch, classes], each of a yes or no of its own.

Notation: s, t student and teacher logits, y ∈ {0, 1} labels, σ the logistic function. Losses are sums over classes, never
means, and a divergence has the factor T², so that its gradient does not shrink with temperature or class count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match, tensors_of
from limbeck.core.value_checks import wrong_label
from limbeck.objectives.functional.multilabel import bernoulli_kl


class MultilabelObjective(Objective):
    """Base class."""

    knowledge: ClassVar[Knowledge] = "output"
    match: ClassVar[Match] = Match.EVERYTHING
    ndims: ClassVar[tuple[int, ...]] = (2,)


@registry.register("binary_cross_entropy")
class BinaryCrossEntropy(MultilabelObjective):
    """Binary cross entropy with the labels, summed over classes.

    Student [B, C] with labels [B, C]: 1 if the label applies, 0 if it does not. A label of -100 is unknown and adds nothing.

    Raises:
        ValueError: labels missing, of another shape, or neither 0, 1 nor -100.

    Source: the definition.
    """

    name = "binary_cross_entropy"
    formula = "−Σ_c (y_c log σ(s_c) + (1 − y_c) log(1 − σ(s_c)))"
    source = "binary cross entropy"
    weight = 0.1
    needs_teacher = False
    needs_target = True
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), "it ignores the teacher")
    hides_errors = True  # any label is a number to it

    def compare(self, student: Tensor, teacher: Any, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        truth = target.to(student.dtype)
        if truth.device.type == "cpu" and float(truth.amin()) >= 0:  # all are known
            return F.binary_cross_entropy_with_logits(student, truth, reduction="none").sum(1)
        known = (truth >= 0).to(student.dtype)
        return F.binary_cross_entropy_with_logits(student, truth, known, reduction="none").sum(1)

    def _check_target(self, student: Any, target: Any) -> None:
        shape = tuple(tensors_of(student)[0].shape)
        if not isinstance(target, Tensor) or target.is_floating_point() or tuple(target.shape) != shape:
            found = list(target) if isinstance(target, Mapping) else (tuple(target.shape), str(target.dtype))
            raise ValueError(
                f"{self.name}: target {found} does not fit student {shape}; integers 0, 1 or -100 are needed for each"
            )
        if self.validate and (wrong := wrong_label(target, 2)) is not None:
            raise ValueError(f"{self.name}: label {wrong} is neither 0 nor 1, nor -100 for unknown")


@registry.register("binary_soft_targets")
class BinarySoftTargets(MultilabelObjective):
    """Kullback-Leibler divergence from the teacher's softened probability of each label to the student's, summed over classes.

    [B, C] gives [B]. Each label is an outcome of its own (Bernoulli), so probabilities of an item need not sum to 1.

    Args:
        temperature: T of both sides. A schedule may set it at every step.

    Raises:
        ValueError: temperature not above 0; shapes that differ.

    Source: Yang et al. 2023, Multi-Label Knowledge Distillation (MLD), arXiv 2308.06453; T² as in Hinton et al. 2015.
    """

    name = "binary_soft_targets"
    formula = "T² Σ_c KL(Bernoulli(σ(t_c/T)) ‖ Bernoulli(σ(s_c/T)))"
    source = "Yang et al. 2023 (MLD), arXiv 2308.06453"
    bibtex = """
        @inproceedings{yang2023multilabel,
            title = {Multi-Label Knowledge Distillation},
            author = {Yang, Penghui and Xie, Ming-Kun and Zong, Chen-Chen and Feng, Lei and Niu, Gang and Sugiyama, Masashi and
                Huang, Sheng-Jun},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2023},
            eprint = {2308.06453},
            archiveprefix = {arXiv},
        }
    """
    weight = 0.9

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 1")
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        if self.temperature == 1:
            return bernoulli_kl(teacher, student).sum(1)
        return self.temperature**2 * bernoulli_kl(teacher / self.temperature, student / self.temperature).sum(1)
