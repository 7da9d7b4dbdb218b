"""Objectives on inputs that are made: what they should make a frozen teacher say, and how they should look.

The student's side of these terms is a signal of the teacher, or the generator's output; what is trained are the inputs. None of
them needs a teacher's side or data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.functional.cross_entropy import cross_entropy

CHEN_2019 = """
    @inproceedings{chen2019data,
        title = {Data-Free Learning of Student Networks},
        author = {Chen, Hanting and Wang, Yunhe and Xu, Chang and Yang, Zhaohui and Liu, Chuanjian and Shi, Boxin and
            Xu, Chunjing and Xu, Chao and Tian, Qi},
        booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
        year = {2019},
        eprint = {1904.01186},
        archiveprefix = {arXiv},
    }
"""
NAYAK_2019 = """
    @inproceedings{nayak2019zero,
        title = {Zero-Shot Knowledge Distillation in Deep Networks},
        author = {Nayak, Gaurav Kumar and Mopuri, Konda Reddy and Shaj, Vaisakh and Babu, R. Venkatesh and
            Chakraborty, Anirban},
        booktitle = {Proceedings of the 36th International Conference on Machine Learning},
        year = {2019},
        eprint = {1905.08114},
        archiveprefix = {arXiv},
    }
"""
MAHENDRAN_2015 = """
    @inproceedings{mahendran2015understanding,
        title = {Understanding Deep Image Representations by Inverting Them},
        author = {Mahendran, Aravindh and Vedaldi, Andrea},
        booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
        year = {2015},
        eprint = {1412.0035},
        archiveprefix = {arXiv},
    }
"""
NO_TEACHER = "it has no teacher's side"


class InputObjective(Objective):
    """Base class: one signal, no teacher's side."""

    knowledge: ClassVar[Knowledge] = "output"
    match: ClassVar[Match] = Match.NOTHING
    needs_teacher = False
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), NO_TEACHER)


@registry.register("one_hot")
class OneHot(InputObjective):
    """Cross entropy of logits [B, C] with their own most likely class: the input should be a clear case of some class.

    Raises:
        ValueError: a signal of another number of axes.

    Source: Chen et al. 2019 (DAFL), arXiv 1904.01186.
    """

    name = "one_hot"
    formula = "−log p(z)_k, k = argmax z"
    source = "Chen et al. 2019 (DAFL), arXiv 1904.01186"
    bibtex = CHEN_2019
    ndims = (2,)
    reads_classes = True

    def compare(self, student: Tensor, teacher: Any, *, target: Any, mask: Any, index: Any) -> Tensor:
        return cross_entropy(student, student.detach().argmax(-1))


@registry.register("class_balance")
class ClassBalance(InputObjective):
    """Divergence of the batch's mean prediction from the uniform distribution: log C minus its entropy (information entropy).

    Logits [B, C]; all items have the loss of the batch, 0 where all classes are equally frequent. Natural logarithm; the
    paper's code takes log₁₀, so its weight of 5 is 2.17 here.

    Raises:
        ValueError: a signal of another number of axes.

    Source: Chen et al. 2019 (DAFL), arXiv 1904.01186.
    """

    name = "class_balance"
    formula = "log C + Σ_c m_c log m_c, m = mean over the batch of p(z)"
    source = "Chen et al. 2019 (DAFL), arXiv 1904.01186"
    bibtex = CHEN_2019
    over_batch = True
    ndims = (2,)
    reads_classes = True

    def compare(self, student: Tensor, teacher: Any, *, target: Any, mask: Any, index: Any) -> Tensor:
        excess = student.softmax(-1).sum(0) * (student.shape[-1] / len(student))
        log_excess = excess.clamp_min(torch.finfo(excess.dtype).tiny).log()  # log(C m)
        # Σ m log(C m) − m + 1/C: the terms have one sign, so that nothing cancels where classes are almost equally frequent
        loss: Tensor = torch.addcmul(-log_excess.expm1(), excess, log_excess).mean()
        return loss.expand(len(student))


@registry.register("activation")
class Activation(InputObjective):
    """Minus the mean size of a feature: inputs like those of the training excite many units.

    The signal is what the teacher's classifier reads, such as `teacher:input(linear)`; maps are flattened.

    Source: Chen et al. 2019 (DAFL), arXiv 1904.01186.
    """

    name = "activation"
    knowledge: ClassVar[Knowledge] = "feature"
    formula = "−mean_j |f_j|"
    source = "Chen et al. 2019 (DAFL), arXiv 1904.01186"
    bibtex = CHEN_2019
    weight = 0.1

    def compare(self, student: Tensor, teacher: Any, *, target: Any, mask: Any, index: Any) -> Tensor:
        return -student.flatten(1).abs().mean(1)


@registry.register("class_impression")
class ClassImpression(InputObjective):
    """Divergence of softened logits [B, C] from what the input is to show: class probabilities [B, C], or labels [B].

    Args:
        temperature: T of the logits; the target is taken as it is.

    Raises:
        ValueError: temperature not above 0; targets missing or of another shape.

    Source: Nayak et al. 2019 (ZSKD), arXiv 1905.08114.
    """

    name = "class_impression"
    formula = "T² Σ_c y_c (log y_c − log p_T(z)_c)"
    source = "Nayak et al. 2019 (ZSKD), arXiv 1905.08114"
    bibtex = NAYAK_2019
    needs_target = True
    ndims = (2,)
    reads_classes = True

    def __init__(self, *, temperature: float = 20.0) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 20")
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Any, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        loss = cross_entropy(student / self.temperature, target)
        if target.is_floating_point():
            y = target.to(loss.dtype)
            loss = loss + torch.special.xlogy(y, y).sum(-1)
        return self.temperature**2 * loss


@registry.register("smoothness")
class Smoothness(InputObjective):
    """An image prior: squared differences of neighbouring pixels (total variation with power 2) and squared pixels.

    The signal are images [B, C, H, W], the output of the generator. Means over pixels: weights do not depend on the size.

    Args:
        variation: weight of the differences, of rows and of columns.
        norm: weight of the squared pixels.

    Raises:
        ValueError: a negative weight, or both 0; a signal that is no image; images of one pixel.

    Source: Mahendran & Vedaldi 2015, arXiv 1412.0035; used by DeepInversion.
    """

    name = "smoothness"
    knowledge: ClassVar[Knowledge] = "feature"
    formula = "v (mean (x_{i+1,j} − x_{i,j})² + mean (x_{i,j+1} − x_{i,j})²) + n mean x²"
    source = "Mahendran & Vedaldi 2015, arXiv 1412.0035"
    bibtex = MAHENDRAN_2015
    ndims = (4,)

    def __init__(self, *, variation: float = 1.0, norm: float = 0.1) -> None:
        super().__init__()
        for field, value in (("variation", variation), ("norm", norm)):
            require(value >= 0, self.name, field, value, "use a weight of 0 or more")
        require(variation + norm > 0, self.name, "variation", variation, "use a weight above 0 for variation or norm")
        self.variation, self.norm = variation, norm

    def check(self, student: Any, teacher: Any, target: Any) -> None:
        super().check(student, teacher, target)
        if min(student.shape[2:]) < 2:
            raise ValueError(f"{self.name}: images of two pixels at least are needed on each side, got {tuple(student.shape)}")

    def compare(self, student: Tensor, teacher: Any, *, target: Any, mask: Any, index: Any) -> Tensor:
        differences = [student.diff(dim=axis).square().flatten(1).mean(1) for axis in (2, 3)]
        return self.variation * (differences[0] + differences[1]) + self.norm * student.square().flatten(1).mean(1)
