"""Objectives on features: maps [batch, channels, height, width], or vectors [batch, channels] where the class says so.

An adapter makes channel counts and sizes equal first. Notation: s student, t teacher, H·W the positions of a map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.functional.divergence import kl_divergence
from limbeck.objectives.functional.elementary import (
    item_mean,
    l2_normalize,
    mean_squared_difference,
    per_channel,
    softened_log_probs,
    standardize,
)


class FeatureObjective(Objective):
    """Base class."""

    knowledge: ClassVar[Knowledge] = "feature"
    match: ClassVar[Match] = Match.EVERYTHING


@registry.register("hint")
class Hint(FeatureObjective):
    """Mean squared difference over all elements of an item; any shape [B, ...].

    Raises:
        ValueError: shapes that differ.

    Source: Romero et al. 2014 (FitNets), arXiv 1412.6550; its factor ½ is part of the weight.
    """

    name = "hint"
    formula = "mean (s − t)²"
    source = "Romero et al. 2014 (FitNets), arXiv 1412.6550"
    bibtex = """
        @inproceedings{romero2015fitnets,
            title = {{FitNets}: Hints for Thin Deep Nets},
            author = {Romero, Adriana and Ballas, Nicolas and Kahou, Samira Ebrahimi and Chassang, Antoine and Gatta,
                Carlo and Bengio, Yoshua},
            booktitle = {International Conference on Learning Representations},
            year = {2015},
            eprint = {1412.6550},
            archiveprefix = {arXiv},
        }
    """
    weight = 100.0

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return mean_squared_difference(student, teacher)


@registry.register("attention_transfer")
class AttentionTransfer(FeatureObjective):
    """Mean squared difference of L2-normalised attention maps Σ_c |F_c|^power. Maps; channel counts may differ.

    Args:
        power: exponent of the absolute activations.

    Raises:
        ValueError: power below 1 (its gradient at zero is infinite), heights or widths that differ.

    Source: Zagoruyko & Komodakis 2016 (AT), arXiv 1612.03928, in the mean-of-squares form of the authors' code.
    """

    name = "attention_transfer"
    formula = "mean_hw (Q_s/‖Q_s‖ − Q_t/‖Q_t‖)², Q = Σ_c |F_c|^power"
    source = "Zagoruyko & Komodakis 2016 (AT), arXiv 1612.03928"
    bibtex = """
        @inproceedings{zagoruyko2017paying,
            title = {Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via
                Attention Transfer},
            author = {Zagoruyko, Sergey and Komodakis, Nikos},
            booktitle = {International Conference on Learning Representations},
            year = {2017},
            eprint = {1612.03928},
            archiveprefix = {arXiv},
        }
    """
    weight = 1000.0
    match = Match.SPACE
    ndims = (4,)

    def __init__(self, *, power: float = 2.0) -> None:
        super().__init__()
        require(power >= 1, self.name, "power", power, "use 1 or more, such as 2")
        self.power = power

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return (self._attention(student) - self._attention(teacher)).square().mean(-1)

    def _attention(self, features: Tensor) -> Tensor:
        return l2_normalize(features.abs().pow(self.power).sum(1).flatten(1))


@registry.register("neuron_selectivity")
class NeuronSelectivity(FeatureObjective):
    """Maximum mean discrepancy between the channel maps of both sides, with the kernel k(x, y) = (x·y)².

    Maps; channel counts may differ. Since Σ_xy (x·y)² = ‖XYᵀ‖² = ⟨XᵀX, YᵀY⟩ for maps in rows, only one C×C or one HW×HW
    matrix per item is computed, whichever costs less.

    Raises:
        ValueError: heights or widths that differ.

    Source: Huang & Wang 2017 (NST), arXiv 1707.01219.
    """

    name = "neuron_selectivity"
    formula = "mean k(t,t') + mean k(s,s') − 2 mean k(s,t'), k(x,y) = (x·y)², maps L2-normalised over H·W"
    source = "Huang & Wang 2017 (NST), arXiv 1707.01219"
    bibtex = """
        @misc{huang2017like,
            title = {Like What You Like: Knowledge Distill via Neuron Selectivity Transfer},
            author = {Huang, Zehao and Wang, Naiyan},
            year = {2017},
            eprint = {1707.01219},
            archiveprefix = {arXiv},
        }
    """
    weight = 50.0
    match = Match.SPACE
    ndims = (4,)

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        s, t = l2_normalize(student.flatten(2)), l2_normalize(teacher.flatten(2))
        c_s, c_t, positions = s.shape[1], t.shape[1], s.shape[2]
        if positions * (c_s + c_t) < c_s**2 + c_t**2 + c_s * c_t:
            return (s.mT @ s / c_s - t.mT @ t / c_t).square().sum((1, 2))
        return self._kernel_mean(t, t) + self._kernel_mean(s, s) - 2 * self._kernel_mean(s, t)

    @staticmethod
    def _kernel_mean(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.mT).square().mean((1, 2))


@registry.register("flow")
class Flow(FeatureObjective):
    """Mean squared difference of the flow between two layers: the channel-wise inner products of their maps.

    Each side is a tuple (F₁, F₂) of maps; the larger map is max-pooled to the size of the smaller. F₁ of student and teacher
    must have equal channel counts, and so must F₂.

    Raises:
        ValueError: a side that is not two taps, channel counts that differ.

    Source: Yim et al., CVPR 2017 (FSP).
    """

    name = "flow"
    formula = "mean (G_s − G_t)², G = F₁F₂ᵀ / (H·W)"
    source = "Yim et al. 2017, A Gift from Knowledge Distillation (FSP), CVPR"
    bibtex = """
        @inproceedings{yim2017gift,
            title = {A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning},
            author = {Yim, Junho and Joo, Donggyu and Bae, Jihoon and Kim, Junmo},
            booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
            year = {2017},
        }
    """
    weight = 50.0
    match = Match.CHANNELS
    ndims = (4,)
    num_taps = 2
    hides_errors = True  # pooling passes over −∞

    def compare(
        self, student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], *, target: Any, mask: Any, index: Any
    ) -> Tensor:
        return (self._flow(*student) - self._flow(*teacher)).square().mean((1, 2))

    @staticmethod
    def _flow(first: Tensor, second: Tensor) -> Tensor:
        size = [min(sizes) for sizes in zip(first.shape[2:], second.shape[2:], strict=True)]
        x, y = (_max_pool(features, size).flatten(2) for features in (first, second))
        return x @ y.mT / x.shape[-1]


@registry.register("channelwise")
class Channelwise(FeatureObjective):
    """KL between the channels' softmax distributions over positions, the mean over channels. Maps of equal shapes.

    Args:
        temperature: T of both softmaxes.

    Raises:
        ValueError: temperature not above 0, shapes that differ.

    Source: Shu et al. 2020 (CWD), arXiv 2011.13256; weight 5 for segmentation, 10 for detection.
    """

    name = "channelwise"
    formula = "(T²/C) Σ_c KL(softmax_hw(t_c/T)‖softmax_hw(s_c/T))"
    source = "Shu et al. 2020 (CWD), arXiv 2011.13256"
    bibtex = """
        @inproceedings{shu2021channelwise,
            title = {Channel-wise Knowledge Distillation for Dense Prediction},
            author = {Shu, Changyong and Liu, Yifan and Gao, Jianfei and Yan, Zheng and Shen, Chunhua},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2021},
            eprint = {2011.13256},
            archiveprefix = {arXiv},
        }
    """
    weight = 5.0
    ndims = (4,)

    def __init__(self, *, temperature: float = 4.0) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 4")
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        log_p = softened_log_probs(teacher.flatten(2), self.temperature)
        log_q = softened_log_probs(student.flatten(2), self.temperature)
        return self.temperature**2 * kl_divergence(log_p, log_q).mean(1)


@registry.register("standardized_features")
class StandardizedFeatures(FeatureObjective):
    """Half the mean squared difference after each channel is standardised over the batch and all positions.

    Maps or vectors of equal shapes. A constant channel becomes zero. Equal to 1 − Pearson's correlation per channel.

    Raises:
        ValueError: shapes that differ.

    Source: Cao et al. 2022 (PKD), arXiv 2207.02039; weight 6 for two-stage detectors, 10 for one-stage ones.
    """

    name = "standardized_features"
    formula = "½ mean (z(s) − z(t))², z(x) = (x − mean_c) / σ_c over (B, H, W)"
    source = "Cao et al. 2022 (PKD), arXiv 2207.02039"
    bibtex = """
        @inproceedings{cao2022pkd,
            title = {{PKD}: General Distillation Framework for Object Detectors via {Pearson} Correlation Coefficient},
            author = {Cao, Weihan and Zhang, Yifan and Gao, Jianfei and Cheng, Anda and Cheng, Ke and Cheng, Jian},
            booktitle = {Advances in Neural Information Processing Systems},
            year = {2022},
            eprint = {2207.02039},
            archiveprefix = {arXiv},
        }
    """
    weight = 6.0
    over_batch = True

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        axes = (0, *range(2, student.ndim))
        return mean_squared_difference(standardize(student, axes), standardize(teacher, axes)) / 2


@registry.register("variational")
class Variational(FeatureObjective):
    """Negative Gaussian log-likelihood of the teacher's features, with a learned variance for each channel.

    Maps or vectors of equal shapes; the regressor μ is the adapter on the student's tap. At equality the gradient is zero and
    the value ½ log σ².

    Args:
        init_variance: initial σ².

    Raises:
        ValueError: init_variance not above 1e-5, shapes that differ.

    Source: Ahn et al., CVPR 2019 (VID), arXiv 1904.05835.
    """

    name = "variational"
    formula = "mean ½ (log σ_c² + (t − s)²/σ_c²), σ_c² = softplus(ρ_c) + 1e-5"
    source = "Ahn et al. 2019 (VID), CVPR, arXiv 1904.05835"
    bibtex = """
        @inproceedings{ahn2019variational,
            title = {Variational Information Distillation for Knowledge Transfer},
            author = {Ahn, Sungsoo and Hu, Shell Xu and Damianou, Andreas and Lawrence, Neil D. and Dai, Zhenwen},
            booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
            year = {2019},
            eprint = {1904.05835},
            archiveprefix = {arXiv},
        }
    """
    rho: nn.Parameter | None

    floor: ClassVar[float] = 1e-5

    def __init__(self, *, init_variance: float = 5.0) -> None:
        super().__init__()
        require(init_variance > self.floor, self.name, "init_variance", init_variance, "use a value above 1e-5, such as 5")
        self.init_variance = init_variance
        self.register_parameter("rho", None)

    @property
    def built(self) -> bool:
        return self.rho is not None

    def build(self, student: Any, teacher: Any, *, samples: int | None = None) -> None:
        start = self.init_variance - self.floor
        inverse_softplus = start + math.log(-math.expm1(-start))
        self.rho = nn.Parameter(torch.full((teacher[1],), inverse_softplus))

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.rho = nn.Parameter(torch.empty_like(state["rho"]))

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        assert self.rho is not None
        variance = per_channel(F.softplus(self.rho) + self.floor, student)
        return item_mean(variance.log() + (teacher - student).square() / variance) / 2


def _max_pool(features: Tensor, size: list[int]) -> Tensor:
    return features if list(features.shape[2:]) == size else F.adaptive_max_pool2d(features, size)
