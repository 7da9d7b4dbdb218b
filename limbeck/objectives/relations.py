"""Objectives on relations between the items of a batch, or between the channels of a map.

Features [N, ...] are flattened to [N, D]; D may differ between student and teacher. The loss of item i is the mean over the
pairs ij (or triplets ijk), so that the mean over items is the mean over all pairs, the diagonal included.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.functional.elementary import huber, l2_normalize
from limbeck.objectives.functional.pairwise_distances import pairwise_distances
from limbeck.objectives.functional.triplet_angles import angle_losses


class RelationObjective(Objective):
    """Base class of relations between items."""

    knowledge: ClassVar[Knowledge] = "relation"
    over_batch: ClassVar[bool] = True


@registry.register("rkd_distance")
class RKDDistance(RelationObjective):
    """Huber loss of pairwise Euclidean distances, each side divided by its mean positive distance.

    Raises:
        ValueError: batches that differ.

    Source: Park et al. 2019 (RKD), arXiv 1904.05068.
    """

    name = "rkd_distance"
    formula = "mean_ij h(d_ij^s/μ_s − d_ij^t/μ_t), h Huber with δ = 1, μ the mean of the positive d"
    source = "Park et al. 2019 (RKD), arXiv 1904.05068"
    bibtex = """
        @inproceedings{park2019relational,
            title = {Relational Knowledge Distillation},
            author = {Park, Wonpyo and Kim, Dongju and Lu, Yan and Cho, Minsu},
            booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
            year = {2019},
            eprint = {1904.05068},
            archiveprefix = {arXiv},
        }
    """
    weight = 25.0

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return huber(self._distances(student) - self._distances(teacher)).mean(1)

    @staticmethod
    def _distances(features: Tensor) -> Tensor:
        distances = pairwise_distances(features.flatten(1))
        mean = distances.sum() / (distances > 0).sum().clamp_min(1)
        return distances / torch.where(mean > 0, mean, 1.0)


@registry.register("rkd_angle")
class RKDAngle(RelationObjective):
    """Huber loss of the angles at item i between items j and k, for all triplets.

    Computed from the N×N inner products of the centred items: neither the N×N×D differences nor all N³ angles are in memory.

    Raises:
        ValueError: batches that differ.

    Source: Park et al. 2019 (RKD), arXiv 1904.05068.
    """

    name = "rkd_angle"
    formula = "mean_ijk h(cos_ijk^s − cos_ijk^t), cos_ijk = ⟨e_ij, e_ik⟩, e_ij = (x_j − x_i)/‖x_j − x_i‖"
    source = "Park et al. 2019 (RKD), arXiv 1904.05068"
    bibtex = RKDDistance.bibtex
    weight = 50.0

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return angle_losses(student.flatten(1), teacher.flatten(1))


@registry.register("rkd_cosine")
class RKDCosine(RelationObjective):
    """Huber loss of pairwise cosines; the cosines of a zero vector are 0.

    Raises:
        ValueError: batches that differ.

    Source: the cosine form of Park et al. 2019 (RKD), arXiv 1904.05068.
    """

    name = "rkd_cosine"
    formula = "mean_ij h(cos(x_i, x_j)^s − cos(x_i, x_j)^t), h Huber with δ = 1"
    source = "cosine form of Park et al. 2019 (RKD), arXiv 1904.05068"
    bibtex = RKDDistance.bibtex

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return huber(_cosines(student) - _cosines(teacher)).mean(1)


@registry.register("similarity_preserving")
class SimilarityPreserving(RelationObjective):
    """Mean squared difference of the matrices of inner products with L2-normalised rows.

    Raises:
        ValueError: batches that differ.

    Source: Tung & Mori 2019 (SP), arXiv 1907.09682.
    """

    name = "similarity_preserving"
    formula = "mean_ij (G_s − G_t)², G = XXᵀ with rows L2-normalised"
    source = "Tung & Mori 2019 (SP), arXiv 1907.09682"
    bibtex = """
        @inproceedings{tung2019similarity,
            title = {Similarity-Preserving Knowledge Distillation},
            author = {Tung, Frederick and Mori, Greg},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2019},
            eprint = {1907.09682},
            archiveprefix = {arXiv},
        }
    """
    weight = 3000.0

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return (self._similarities(student) - self._similarities(teacher)).square().mean(1)

    @staticmethod
    def _similarities(features: Tensor) -> Tensor:
        x = features.flatten(1)
        return l2_normalize(x @ x.mT)


@registry.register("probabilistic_transfer")
class ProbabilisticTransfer(RelationObjective):
    """KL of the probabilities of each item to be the neighbour of another, which are cosines shifted to [0, 1].

    Raises:
        ValueError: batches that differ.

    Source: Passalis & Tefas 2018 (PKT), arXiv 1803.10837.
    """

    name = "probabilistic_transfer"
    formula = "mean_ij P_t log((P_t + 1e-7)/(P_s + 1e-7)), P = rows of (1 + cos)/2, each summing to 1"
    source = "Passalis & Tefas 2018 (PKT), arXiv 1803.10837"
    bibtex = """
        @inproceedings{passalis2018learning,
            title = {Learning Deep Representations with Probabilistic Knowledge Transfer},
            author = {Passalis, Nikolaos and Tefas, Anastasios},
            booktitle = {European Conference on Computer Vision},
            year = {2018},
            eprint = {1803.10837},
            archiveprefix = {arXiv},
        }
    """
    weight = 30000.0

    epsilon: ClassVar[float] = 1e-7

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        p_s, p_t = self._neighbours(student), self._neighbours(teacher)
        return (p_t * ((p_t + self.epsilon).log() - (p_s + self.epsilon).log())).mean(1)

    @staticmethod
    def _neighbours(features: Tensor) -> Tensor:
        similarity = (1 + _cosines(features)) / 2
        return similarity / similarity.sum(1, keepdim=True)


@registry.register("correlation_congruence")
class CorrelationCongruence(RelationObjective):
    """Mean squared difference of Gaussian kernels between L2-normalised items, as a Taylor series.

    Args:
        gamma: the kernel is exp(−γ ‖x_i − x_j‖²).
        order: highest power of the series.

    Raises:
        ValueError: gamma not above 0, a negative order, batches that differ.

    Source: Peng et al. 2019 (CC), ICCV, arXiv 1904.01802.
    """

    name = "correlation_congruence"
    formula = "mean_ij (K_s − K_t)², K_ij = Σ_{p=0..order} e^{−2γ} (2γ)^p/p! (x_i·x_j)^p, x L2-normalised"
    source = "Peng et al. 2019 (CC), ICCV, arXiv 1904.01802"
    bibtex = """
        @inproceedings{peng2019correlation,
            title = {Correlation Congruence for Knowledge Distillation},
            author = {Peng, Baoyun and Jin, Xiao and Liu, Jiaheng and Zhou, Shunfeng and Wu, Yichao and Liu, Yu and Li,
                Dongsheng and Zhang, Zhaoning},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2019},
            eprint = {1904.01802},
            archiveprefix = {arXiv},
        }
    """
    weight = 0.02

    def __init__(self, *, gamma: float = 0.4, order: int = 2) -> None:
        super().__init__()
        require(gamma > 0, self.name, "gamma", gamma, "use a value above 0, such as 0.4")
        require(order >= 0 and order == int(order), self.name, "order", order, "use a whole number from 0, such as 2")
        self.gamma = gamma
        self.order = int(order)

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return (self._kernel(student) - self._kernel(teacher)).square().mean(1)

    def _kernel(self, features: Tensor) -> Tensor:
        cosines = _cosines(features)
        kernel = torch.zeros_like(cosines)
        for power in reversed(range(self.order + 1)):  # Horner's scheme
            kernel = kernel * cosines + (2 * self.gamma) ** power / math.factorial(power)
        return math.exp(-2 * self.gamma) * kernel


@registry.register("channel_correlation")
class ChannelCorrelation(Objective):
    """Mean squared difference of the correlations between channels. Maps of equal channel counts; sizes may differ.

    Raises:
        ValueError: channel counts or batches that differ.

    Source: Liu et al. 2021 (ICKD), ICCV.
    """

    name = "channel_correlation"
    knowledge: ClassVar[Knowledge] = "relation"
    formula = "mean over C² of (G_s − G_t)², G = FFᵀ over H·W with rows L2-normalised"
    source = "Liu et al. 2021 (ICKD), Exploring Inter-Channel Correlation for Diversity-preserved KD, ICCV"
    bibtex = """
        @inproceedings{liu2021exploring,
            title = {Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation},
            author = {Liu, Li and Huang, Qingle and Lin, Sihao and Xie, Hongwei and Wang, Bing and Chang, Xiaojun and
                Liang, Xiaodan},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2021},
            eprint = {2202.03680},
            archiveprefix = {arXiv},
        }
    """
    weight = 500.0
    match = Match.CHANNELS
    ndims = (4,)

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return (self._correlations(student) - self._correlations(teacher)).square().mean((1, 2))

    @staticmethod
    def _correlations(features: Tensor) -> Tensor:
        channels = features.flatten(2)
        return l2_normalize(channels @ channels.mT)


def _cosines(features: Tensor) -> Tensor:
    x = l2_normalize(features.flatten(1))
    return x @ x.mT
