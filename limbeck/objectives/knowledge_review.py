"""Knowledge review (ReviewKD): deep student maps are fused into shallower ones before each level is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.objective import OWN_NETWORKS, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.features import FeatureObjective

Shape = tuple[int, ...]


@registry.register("review")
class Review(FeatureObjective):
    """Hierarchical context loss between each level of the teacher and the student's fusion of that level and all deeper ones.

    Each side is a tuple of two maps or more, shallow to deep, equal in height and width at each level; channel counts may
    differ. The fusion modules are learned and normalise over the batch. The hierarchical context loss of a level is the mean
    squared difference at full size and average-pooled to 4, 2 and 1 (if that is smaller than the map), weighted 1, ½, ¼, ⅛
    and divided by the sum of the weights; the levels are added. The arithmetic runs in the precision of the fusion modules.

    Args:
        mid_channels: channels in which levels are fused; None: the largest channel count of the teacher, at most 512.

    Raises:
        ValueError: mid_channels below 1, fewer than two levels, sides that do not fit.

    Source: Chen et al. 2021 (ReviewKD), arXiv 2104.09044.
    """

    name = "review"
    formula = "Σ_levels Σ_sizes w MSE(pool(fused s), pool(t)) / Σ w, sizes (full, 4, 2, 1), w = 1, ½, ¼, ⅛"
    source = "Chen et al. 2021 (ReviewKD), arXiv 2104.09044"
    bibtex = """
        @inproceedings{chen2021distilling,
            title = {Distilling Knowledge via Knowledge Review},
            author = {Chen, Pengguang and Liu, Shu and Zhao, Hengshuang and Jia, Jiaya},
            booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
            year = {2021},
            eprint = {2104.09044},
            archiveprefix = {arXiv},
        }
    """
    match = Match.SPACE
    ndims = (4,)
    num_taps = 0  # two or more
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), OWN_NETWORKS)

    def __init__(self, *, mid_channels: int | None = None) -> None:
        super().__init__()
        valid = mid_channels is None or mid_channels >= 1
        require(valid, self.name, "mid_channels", mid_channels, "use 1 or more, such as 256, or None")
        self.mid_channels = mid_channels
        self.fusions = nn.ModuleList()

    @property
    def built(self) -> bool:
        return len(self.fusions) > 0

    def build(self, student: tuple[Shape, ...], teacher: tuple[Shape, ...], *, samples: int | None = None) -> None:
        mid = self.mid_channels or min(512, max(shape[1] for shape in teacher))
        self._build([shape[1] for shape in student], [shape[1] for shape in teacher], mid)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        levels = range(sum(key.endswith("inward.0.weight") for key in state))
        inward = [state[f"fusions.{level}.inward.0.weight"] for level in levels]
        outward = [state[f"fusions.{level}.outward.0.weight"] for level in levels]
        if inward:
            self._build([w.shape[1] for w in inward], [w.shape[0] for w in outward], inward[0].shape[0])

    def _build(self, c_student: list[int], c_teacher: list[int], mid: int) -> None:
        deepest = len(c_student) - 1
        levels = enumerate(zip(c_student, c_teacher, strict=True))
        self.fusions.extend(Fusion(c_s, mid, c_t, deeper=level < deepest) for level, (c_s, c_t) in levels)

    def check(self, student: Any, teacher: Any, target: Tensor | None) -> None:
        super().check(student, teacher, target)
        if self.built and len(student) != len(self.fusions):
            raise ValueError(f"{self.name}: was built for {len(self.fusions)} levels and got {len(student)}")

    def _takes(self, taps: int) -> bool:
        return taps >= 2

    def _taps(self) -> str:
        return "two or more, shallow to deep"

    def compare(
        self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], *, target: Any, mask: Any, index: Any
    ) -> Tensor:
        dtype = next(self.fusions.parameters()).dtype
        loss = torch.zeros(len(student[0]), dtype=dtype, device=student[0].device)
        fused = None
        for fusion, s, t in reversed(list(zip(self.fusions, student, teacher, strict=True))):
            out, fused = fusion(s.to(dtype), fused)
            loss = loss + hierarchical_context(out, t)
        return loss


class Fusion(nn.Module):
    """Fuses the student's map of one level with the fused map of the next deeper level by learned attention."""

    def __init__(self, c_in: int, mid: int, c_out: int, *, deeper: bool) -> None:
        super().__init__()
        self.inward = nn.Sequential(nn.Conv2d(c_in, mid, kernel_size=1, bias=False), nn.BatchNorm2d(mid))
        self.attention = nn.Sequential(nn.Conv2d(2 * mid, 2, kernel_size=1), nn.Sigmoid()) if deeper else None
        self.outward = nn.Sequential(nn.Conv2d(mid, c_out, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the map to compare with the teacher, and the fused map for the next shallower level."""
        x = self.inward(x)
        if self.attention is not None and deeper is not None:
            deeper = F.interpolate(deeper, size=x.shape[2:], mode="nearest")
            share = self.attention(torch.cat([x, deeper], dim=1))
            x = x * share[:, :1] + deeper * share[:, 1:]
        return self.outward(x), x


def hierarchical_context(s: Tensor, t: Tensor) -> Tensor:
    """Mean squared difference per item at full size and after average pooling to 4, 2 and 1, weighted: [B]."""
    loss, weight, total = (s - t).square().mean((1, 2, 3)), 1.0, 1.0
    for size in (4, 2, 1):
        if size >= min(s.shape[2:]):
            continue
        weight /= 2
        total += weight
        pooled = F.adaptive_avg_pool2d(s - t, size)  # pooling is linear: the difference of the pools
        loss = loss + weight * pooled.square().mean((1, 2, 3))
    return loss / total
