"""The target of OFA-KD: the teacher's distribution with more weight on the label the surer the teacher is of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.core.labels import is_labelled
from limbeck.core.objective import registry, require
from limbeck.objectives.functional.cross_entropy import class_of
from limbeck.objectives.functional.elementary import softened_log_probs
from limbeck.objectives.logits import LogitObjective


@registry.register("adaptive_target")
class AdaptiveTarget(LogitObjective):
    """Cross entropy with the teacher's distribution, in which an exponent raises the weight of the label.

    Together with the cross entropy of the labels the label's weight is (1 + p_y)^γ. With γ = 1 this is the cross entropy with
    the teacher's distribution. [B, C], with labels [B] or probabilities [B, C], of which the largest counts. An item without a
    label, or a batch without labels, has the teacher's distribution as its target, whatever γ is.

    Args:
        gamma: γ, 1 or more; the paper uses 1 to 1.5.
        temperature: T of both distributions.
        label_only: raise the weight of the label alone, as the paper writes it; in the authors' code, and here by default, the
            other classes have p_c^γ.

    Raises:
        ValueError: γ below 1, a temperature not above 0, labels out of range, shapes that differ.

    Source: Hao et al. 2023 (OFA-KD), arXiv 2310.19444.
    """

    name = "adaptive_target"
    formula = "−T² Σ_c ((p_T(t)_c + 1_{c=y})^γ − 1_{c=y}) log p_T(s)_c"
    source = "Hao et al. 2023 (OFA-KD), arXiv 2310.19444"
    bibtex = """
        @inproceedings{hao2023one,
            title = {One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation},
            author = {Hao, Zhiwei and Guo, Jianyuan and Han, Kai and Tang, Yehui and Hu, Han and Wang, Yunhe and Xu, Chang},
            booktitle = {Advances in Neural Information Processing Systems},
            year = {2023},
            eprint = {2310.19444},
            archiveprefix = {arXiv},
        }
    """
    ndims = (2,)
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), "with γ above 1 it leans to the label")
    hides_errors = True  # a negative label reads as class 0

    def __init__(self, *, gamma: float = 1.0, temperature: float = 1.0, label_only: bool = False) -> None:
        super().__init__()
        require(gamma >= 1, self.name, "gamma", gamma, "use 1 or more, such as 1.4")
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 1")
        self.gamma = gamma
        self.temperature = temperature
        self.label_only = label_only

    def check(self, student: Any, teacher: Any, target: Any) -> None:
        super().check(student, teacher, target)
        if target is not None:
            self._check_target(student, target)

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        weights = softened_log_probs(teacher, self.temperature).exp()
        if target is not None and self.gamma != 1:
            weights = self._adapted(weights, target)
        return -(self.temperature**2) * (weights * softened_log_probs(student, self.temperature)).sum(-1)

    def _adapted(self, p: Tensor, target: Tensor) -> Tensor:
        """(p + 1_y)^γ − 1_y, for items with a label."""
        label = F.one_hot(class_of(target), p.shape[-1]).to(p.dtype)
        raised = (p + label).pow(self.gamma) - label
        if self.label_only:
            raised = torch.where(label > 0, raised, p)
        return torch.where(is_labelled(target).unsqueeze(-1), raised, p)
