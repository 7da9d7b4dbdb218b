"""Overhaul of feature distillation (OFD): features before the activation, compared where they matter after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.objective import registry, require
from limbeck.objectives.features import FeatureObjective
from limbeck.objectives.functional.elementary import item_mean, per_channel


@registry.register("margin_features")
class MarginFeatures(FeatureObjective):
    """Mean squared difference of pre-activations, over the elements that matter after the activation.

    Both sides are PRE-activations, maps or vectors of equal shapes. The teacher's values are raised to at least the margin
    m_c, the mean negative value of the channel; elements with s ≤ t ≤ 0 contribute 0. The mean is over all elements of the
    item, these included.

    Args:
        margin: m_c per channel, ≤ 0, see `margin_from_batchnorm`. None: the mean of the teacher's negative values in the
            current batch, per channel (0 for a channel without any).

    Raises:
        ValueError: a margin above 0, a margin of another length than the channels, shapes that differ.

    Source: Heo et al. 2019 (OFD), arXiv 1904.01866; its weight 1e-3 multiplies a sum, the weight here a mean.
    """

    name = "margin_features"
    formula = "mean (s − t')² [not s ≤ t' ≤ 0], t' = max(t, m_c), m_c = E[t : t < 0]"
    source = "Heo et al. 2019 (OFD), arXiv 1904.01866"
    bibtex = """
        @inproceedings{heo2019comprehensive,
            title = {A Comprehensive Overhaul of Feature Distillation},
            author = {Heo, Byeongho and Kim, Jeesoo and Yun, Sangdoo and Park, Hyojin and Kwak, Nojun and Choi, Jin Young},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2019},
            eprint = {1904.01866},
            archiveprefix = {arXiv},
        }
    """
    exempt: ClassVar[Mapping[str, str]] = {"independence": "a margin that is not given is estimated from the batch"}
    margin: Tensor | None
    hides_errors = True  # elements that compare as false contribute 0

    def __init__(self, *, margin: Tensor | Sequence[float] | None = None) -> None:
        super().__init__()
        values = None if margin is None else torch.as_tensor(margin, dtype=torch.get_default_dtype()).detach().clone()
        lifted = values is not None and bool((values > 0).any())
        require(not lifted, self.name, "margin", margin, "use values of 0 or less, the mean of each channel's negatives")
        self.register_buffer("margin", values)

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        super().check(student, teacher, target)
        if self.margin is not None and self.margin.shape != teacher.shape[1:2]:
            margin = f"the margin {tuple(self.margin.shape)}"
            raise ValueError(f"{self.name}: {margin} does not fit the channels of teacher {tuple(teacher.shape)}")

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        margin = self._mean_negative(teacher) if self.margin is None else self.margin.to(teacher.dtype)
        lifted = torch.maximum(teacher, per_channel(margin, teacher))
        counted = (student > lifted) | (lifted > 0)
        return item_mean(torch.where(counted, student - lifted, 0.0).square())

    @staticmethod
    def _mean_negative(teacher: Tensor) -> Tensor:
        axes = (0, *range(2, teacher.ndim))
        return teacher.clamp_max(0).sum(axes) / (teacher < 0).sum(axes).clamp_min(1)


def margin_from_batchnorm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Tensor:
    """E[x : x < 0] per channel of the output of a batch norm, x ~ N(bias, weight²), for `MarginFeatures`.

    0 for a channel that is constant, or negative with a probability below 0.001.
    """
    if norm.weight is None or norm.bias is None:
        raise ValueError(f"margin_features: {norm} has no weight and bias; pass margin=None to estimate from the batch")
    mean, deviation = norm.bias.detach().double(), norm.weight.detach().double().abs()
    z = -mean / deviation.clamp_min(torch.finfo(torch.float64).tiny)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    below_zero = torch.special.ndtr(z)
    margin = mean - deviation * density / below_zero.clamp_min(torch.finfo(torch.float64).tiny)
    return torch.where(below_zero > 1e-3, margin, 0.0).clamp_max(0).to(norm.weight.dtype)
