"""Masked generative distillation (MGD): the teacher's map is generated from the student's with positions masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.memory import CountedGenerator
from limbeck.core.objective import OWN_NETWORKS, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.features import FeatureObjective


@registry.register("masked_generative")
class MaskedGenerative(FeatureObjective):
    """Mean squared difference between the teacher's map and one generated from the student's map with positions masked.

    Maps of equal height and width; channel counts may differ. The generator (3×3 convolution, ReLU, 3×3 convolution) is
    learned. In training mode each position of each item is masked, in all channels, with probability `ratio`; in evaluation
    mode none is. The sequence of masks is resumed from a checkpoint. The arithmetic runs in the precision of the generator.

    Args:
        ratio: probability that a position is masked.

    Raises:
        ValueError: ratio outside [0, 1), heights or widths that differ.

    Source: Yang et al. 2022 (MGD), arXiv 2205.01529; its weights (2e-5 detection, 7e-5 classification) multiply a sum, the
    weight here a mean.
    """

    name = "masked_generative"
    formula = "mean (G(mask · s) − t)², G = conv3×3, ReLU, conv3×3"
    source = "Yang et al. 2022 (MGD), arXiv 2205.01529"
    bibtex = """
        @inproceedings{yang2022masked,
            title = {Masked Generative Distillation},
            author = {Yang, Zhendong and Li, Zhe and Shao, Mingqi and Shi, Dachuan and Yuan, Zehuan and Yuan, Chun},
            booktitle = {European Conference on Computer Vision},
            year = {2022},
            eprint = {2205.01529},
            archiveprefix = {arXiv},
        }
    """
    match = Match.SPACE
    ndims = (4,)
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), OWN_NETWORKS)

    def __init__(self, *, ratio: float = 0.65) -> None:
        super().__init__()
        require(0 <= ratio < 1, self.name, "ratio", ratio, "use a share from 0 to below 1, such as 0.65")
        self.ratio = ratio
        self.draws = CountedGenerator()
        self.generator: nn.Sequential | None = None

    @property
    def built(self) -> bool:
        return self.generator is not None

    def build(self, student: Any, teacher: Any, *, samples: int | None = None) -> None:
        self.generator = _generator(student[1], teacher[1])

    def restore(self, state: Mapping[str, Tensor]) -> None:
        if "generator.0.weight" in state:
            c_t, c_s = state["generator.0.weight"].shape[:2]
            self.generator = _generator(c_s, c_t)

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        assert self.generator is not None
        student = student.to(next(self.generator.parameters()).dtype)
        kept = student * self._mask(student) if self.training else student
        generated: Tensor = self.generator(kept)
        return (generated - teacher).square().flatten(1).mean(1)

    def _mask(self, student: Tensor) -> Tensor:
        batch, _, height, width = student.shape
        generator = self.draws.next(student.device)
        drawn = torch.rand(batch, 1, height, width, generator=generator, device=student.device)
        return (drawn >= self.ratio).to(student.dtype)


def _generator(c_s: int, c_t: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_s, c_t, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(c_t, c_t, kernel_size=3, padding=1),
    )
