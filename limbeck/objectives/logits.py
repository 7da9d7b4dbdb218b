"""Objectives on logits [batch, classes]; four of them also take token logits [batch, tokens, classes].

Notation: s, t student and teacher logits, y label, p_T(z) = softmax(z / T). A Kullback-Leibler divergence is a sum over
classes, never a mean, times T², so that its gradient does not shrink with the temperature or the class count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.core.labels import is_labelled
from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match, TopK
from limbeck.core.weighers import registry as weighers
from limbeck.core.weighers.hardness import excess_weight
from limbeck.objectives.functional.cross_entropy import class_of, cross_entropy
from limbeck.objectives.functional.divergence import kl_divergence
from limbeck.objectives.functional.elementary import (
    mean_squared_difference,
    pearson,
    softened_log_probs,
    standardize,
)
from limbeck.objectives.functional.top_k import ANOTHER_TEMPERATURE, check_top_k, kl_top_k


class LogitObjective(Objective):
    """Base class."""

    knowledge: ClassVar[Knowledge] = "output"
    match: ClassVar[Match] = Match.EVERYTHING
    ndims: ClassVar[tuple[int, ...]] = (2, 3)
    reads_classes = True


@registry.register("hard_targets")
class HardTargets(LogitObjective):
    """Cross entropy with the labels.

    Student [B, C] with labels [B], or [B, T, V] with [B, T]; the labels may also be probabilities of the student's shape
    (mixup). An item labelled -100, or with a row of zeros for probabilities, gives exactly 0.

    Args:
        label_smoothing: probability that is spread evenly over all classes, as in `torch.nn.functional.cross_entropy`.

    Raises:
        ValueError: label_smoothing outside [0, 1]; labels missing, out of range or of another shape.

    Source: the definition.
    """

    name = "hard_targets"
    formula = "−Σ_c y_c log p(s)_c"
    source = "cross entropy"
    option_bibtex: ClassVar[Mapping[str, str]] = {
        "label_smoothing": """
            @inproceedings{szegedy2016rethinking,
                title = {Rethinking the Inception Architecture for Computer Vision},
                author = {Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and Shlens, Jon and Wojna, Zbigniew},
                booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
                year = {2016},
                eprint = {1512.00567},
                archiveprefix = {arXiv},
            }
        """
    }
    weight = 0.1
    needs_teacher = False
    needs_target = True
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), "it ignores the teacher")

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        require(0 <= label_smoothing <= 1, self.name, "label_smoothing", label_smoothing, "use a value from 0 to 1")
        self.label_smoothing = label_smoothing

    def compare(self, student: Tensor, teacher: Any, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        loss = cross_entropy(student, target, self.label_smoothing)
        return torch.where(is_labelled(target), loss, 0.0) if target.is_floating_point() else loss


@registry.register("soft_targets")
class SoftTargets(LogitObjective):
    """Kullback-Leibler divergence from the teacher's softened distribution to the student's.

    [B, C] gives [B], [B, T, V] gives [B, T]. The teacher may be `TopK`: the probability of all other classes is then one more
    outcome, compared with the student's probability of them; this needs temperature 1 and no standardisation.

    Args:
        temperature: T of both distributions. A schedule may set it at every step.
        standardize: first z ← (z − mean) / σ over classes, on both sides (the source uses it with T = 2 and weight 9).

    Raises:
        ValueError: temperature not above 0; shapes that differ; a TopK teacher with temperature ≠ 1 or standardize.

    Source: Hinton et al. 2015, arXiv 1503.02531; standardisation: Sun et al. 2024, arXiv 2403.01427.
    """

    name = "soft_targets"
    formula = "T² Σ_c p_T(t)_c (log p_T(t)_c − log p_T(s)_c)"
    source = "Hinton et al. 2015, arXiv 1503.02531; standardize: Sun et al. 2024, arXiv 2403.01427"
    bibtex = """
        @misc{hinton2015distilling,
            title = {Distilling the Knowledge in a Neural Network},
            author = {Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff},
            year = {2015},
            eprint = {1503.02531},
            archiveprefix = {arXiv},
        }
    """
    option_bibtex: ClassVar[Mapping[str, str]] = {
        "standardize": """
            @inproceedings{sun2024logit,
                title = {Logit Standardization in Knowledge Distillation},
                author = {Sun, Shangquan and Ren, Wenqi and Li, Jingzhi and Wang, Rui and Cao, Xiaochun},
                booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
                year = {2024},
                eprint = {2403.01427},
                archiveprefix = {arXiv},
            }
        """
    }
    weight = 0.9
    accepts_top_k = True

    def __init__(self, *, temperature: float = 4.0, standardize: bool = False) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 4")
        self.temperature = temperature
        self.standardize = standardize

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        super().check(student, teacher, target)
        if isinstance(teacher, TopK):
            self._check_top_k(student, teacher)

    def reads_top_k(self, temperature: float | None = None) -> bool:
        return not self.standardize and (self.temperature if temperature is None else temperature) == 1

    def compare(self, student: Tensor, teacher: Tensor | TopK, *, target: Any, mask: Any, index: Any) -> Tensor:
        if isinstance(teacher, TopK):
            return kl_top_k(teacher, student)
        if self.standardize:
            student, teacher = standardize(student), standardize(teacher)
        return self.temperature**2 * kl_divergence(
            softened_log_probs(teacher, self.temperature), softened_log_probs(student, self.temperature)
        )

    def _check_top_k(self, student: Tensor, teacher: TopK) -> None:
        if self.temperature != 1 or self.standardize:
            raise ValueError(
                f"{self.name}: temperature is {self.temperature} and standardize is {self.standardize}, but "
                f"{ANOTHER_TEMPERATURE}; use temperature=1 and standardize=False, or store dense logits"
            )
        check_top_k(self.name, student, teacher, self.validate)


@registry.register("logit_mse")
class LogitMSE(LogitObjective):
    """Mean squared difference of the logits. [B, C] gives [B], [B, T, V] gives [B, T].

    Raises:
        ValueError: shapes that differ.

    Source: Ba & Caruana 2014, arXiv 1312.6184.
    """

    name = "logit_mse"
    formula = "(1/C) Σ_c (s_c − t_c)²"
    source = "Ba & Caruana 2014, arXiv 1312.6184"
    bibtex = """
        @inproceedings{ba2014deep,
            title = {Do Deep Nets Really Need to be Deep?},
            author = {Ba, Jimmy and Caruana, Rich},
            booktitle = {Advances in Neural Information Processing Systems},
            year = {2014},
            eprint = {1312.6184},
            archiveprefix = {arXiv},
        }
    """
    reads_classes = False

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return mean_squared_difference(student, teacher, student.ndim - 1)


@registry.register("teacher_argmax")
class TeacherArgmax(LogitObjective):
    """Cross entropy with the teacher's most likely class (hard distillation). [B, C] gives [B], [B, T, V] gives [B, T].

    Raises:
        ValueError: shapes that differ.

    Source: Touvron et al. 2020 (DeiT), arXiv 2012.12877.
    """

    name = "teacher_argmax"
    formula = "−log p(s)_k, k = argmax t"
    source = "Touvron et al. 2020 (DeiT), arXiv 2012.12877"
    bibtex = r"""
        @inproceedings{touvron2021training,
            title = {Training data-efficient image transformers \& distillation through attention},
            author = {Touvron, Hugo and Cord, Matthieu and Douze, Matthijs and Massa, Francisco and Sablayrolles,
                Alexandre and J{\'e}gou, Herv{\'e}},
            booktitle = {International Conference on Machine Learning},
            year = {2021},
            eprint = {2012.12877},
            archiveprefix = {arXiv},
        }
    """
    weight = 0.5
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), "its minimum is at a one-hot student")
    hides_errors = True  # NaN has a place in the order of logits

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return cross_entropy(student, teacher.argmax(-1))


@registry.register("decoupled")
class Decoupled(LogitObjective):
    """Soft targets in two parts: the binary distribution of label and rest, and the distribution among all other classes.

    [B, C] with labels [B] (or probabilities [B, C], of which the largest counts); unlabelled items give 0.

    Args:
        alpha: weight of the binary part.
        beta: weight of the part among the other classes; the source uses 2 to 8, depending on teacher and student.
        temperature: T of both parts.

    Raises:
        ValueError: temperature not above 0, negative weights, fewer than two classes, labels missing or out of range.

    Source: Zhao et al. 2022 (DKD), arXiv 2203.08679.
    """

    name = "decoupled"
    formula = "T² (α KL(b_t‖b_s) + β KL(n_t‖n_s)), b = (p_y, 1 − p_y), n = softmax of the other logits / T"
    source = "Zhao et al. 2022 (DKD), arXiv 2203.08679"
    bibtex = """
        @inproceedings{zhao2022decoupled,
            title = {Decoupled Knowledge Distillation},
            author = {Zhao, Borui and Cui, Quan and Song, Renjie and Qiu, Yiyu and Liang, Jiajun},
            booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
            year = {2022},
            eprint = {2203.08679},
            archiveprefix = {arXiv},
        }
    """
    needs_target = True
    ndims = (2,)
    hides_errors = True  # a negative label reads as class 0

    def __init__(self, *, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0) -> None:
        super().__init__()
        require(alpha >= 0, self.name, "alpha", alpha, "use a weight of 0 or more, such as 1")
        require(beta >= 0, self.name, "beta", beta, "use a weight of 0 or more, such as 8")
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 4")
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        super().check(student, teacher, target)
        if student.shape[-1] < 2:
            raise ValueError(f"{self.name}: needs two classes at least; student {tuple(student.shape)} has one")

    def compare(self, student: Tensor, teacher: Tensor, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        label = class_of(target).unsqueeze(-1)
        binary_s, others_s = self._split(student, label)
        binary_t, others_t = self._split(teacher, label)
        loss = self.alpha * kl_divergence(binary_t, binary_s) + self.beta * kl_divergence(others_t, others_s)
        return self.temperature**2 * torch.where(is_labelled(target), loss, 0.0)

    def _split(self, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """log b [B, 2] and log n [B, C]; the entry of the label is 0 on both sides, so it contributes nothing."""
        scaled = logits / self.temperature
        is_label = torch.zeros_like(scaled, dtype=torch.bool).scatter(-1, label, True)
        others = scaled.masked_fill(is_label, -torch.inf)
        both = torch.cat([scaled.gather(-1, label), others.logsumexp(-1, keepdim=True)], dim=-1)
        return F.log_softmax(both, dim=-1), F.log_softmax(others, dim=-1).masked_fill(is_label, 0.0)


@registry.register("dist")
class Dist(LogitObjective):
    """One minus Pearson's correlation of the probabilities, over the classes of each item and over the items of each class.

    [B, C] gives [B]; the part over items is the same for all items of the batch. The correlation of a constant row or column
    is 0, as it is for the columns of a batch of one item.

    Args:
        beta: weight of the rows (classes of one item).
        gamma: weight of the columns (items of one class).
        temperature: T of both distributions.

    Raises:
        ValueError: temperature not above 0, negative weights, shapes that differ.

    Source: Huang et al. 2022 (DIST), arXiv 2205.10536.
    """

    name = "dist"
    formula = "T² (β (1 − ρ(p_s[i,:], p_t[i,:])) + γ (1 − mean_c ρ(p_s[:,c], p_t[:,c]))), ρ Pearson"
    source = "Huang et al. 2022 (DIST), arXiv 2205.10536"
    bibtex = """
        @inproceedings{huang2022knowledge,
            title = {Knowledge Distillation from A Stronger Teacher},
            author = {Huang, Tao and You, Shan and Wang, Fei and Qian, Chen and Xu, Chang},
            booktitle = {Advances in Neural Information Processing Systems},
            year = {2022},
            eprint = {2205.10536},
            archiveprefix = {arXiv},
        }
    """
    weight = 2.0
    over_batch = True
    ndims = (2,)
    hides_errors = True  # a logit of −∞ is a probability of 0

    def __init__(self, *, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        require(beta >= 0, self.name, "beta", beta, "use a weight of 0 or more, such as 1")
        require(gamma >= 0, self.name, "gamma", gamma, "use a weight of 0 or more, such as 1")
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 1")
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        p_s = softened_log_probs(student, self.temperature).exp()
        p_t = softened_log_probs(teacher, self.temperature).exp()
        rows = 1 - pearson(p_s, p_t, dim=1)
        columns = 1 - pearson(p_s, p_t, dim=0).mean()
        return self.temperature**2 * (self.beta * rows + self.gamma * columns)


@registry.register("weighted_soft_labels")
class WeightedSoftLabels(LogitObjective):
    """Soft labels, weighted by how much larger the student's cross entropy with the label is than the teacher's.

    [B, C] with labels [B] (or probabilities [B, C], of which the largest counts); unlabelled items give 0. The weight w
    has no gradient.

    Args:
        temperature: T of both distributions.

    Raises:
        ValueError: temperature not above 0, labels missing or out of range, shapes that differ.

    Source: Zhou et al. 2021 (WSLD), arXiv 2102.00650.
    """

    name = "weighted_soft_labels"
    formula = "w T² CE(p_T(t), p_T(s)), w = 1 − exp(−CE(s, y) / CE(t, y))"
    source = "Zhou et al. 2021 (WSLD), arXiv 2102.00650"
    bibtex = weighers.citation("wsld")
    weight = 2.25
    needs_target = True
    ndims = (2,)
    exempt: ClassVar[Mapping[str, str]] = {
        "minimum": "its weight decreases for students better than the teacher",
        "gradient": "its weight is detached",
    }
    hides_errors = True  # a negative label reads as class 0

    def __init__(self, *, temperature: float = 2.0) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 2")
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Tensor, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        soft = -(softened_log_probs(teacher, self.temperature).exp() * softened_log_probs(student, self.temperature)).sum(-1)
        label = class_of(target)
        weight = excess_weight(cross_entropy(student.detach(), label), cross_entropy(teacher, label))
        loss = weight * self.temperature**2 * soft
        return torch.where(is_labelled(target), loss, 0.0)
