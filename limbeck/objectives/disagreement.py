"""How far two models disagree: what an adversarial generator raises, and a student lowers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.functional.divergence import kl_divergence
from limbeck.objectives.functional.elementary import softened_log_probs

FANG_2019 = """
    @misc{fang2019data,
        title = {Data-Free Adversarial Distillation},
        author = {Fang, Gongfan and Song, Jie and Shen, Chengchao and Wang, Xinchao and Chen, Da and Song, Mingli},
        year = {2019},
        eprint = {1912.11006},
        archiveprefix = {arXiv},
    }
"""


def _absolute(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return (student - teacher).abs().mean(-1)


def _kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return temperature**2 * kl_divergence(softened_log_probs(teacher, temperature), softened_log_probs(student, temperature))


def _js(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_q, log_p = softened_log_probs(student, temperature), softened_log_probs(teacher, temperature)
    log_m = torch.logaddexp(log_q, log_p) - math.log(2)
    return temperature**2 * (kl_divergence(log_p, log_m) + kl_divergence(log_q, log_m)) / 2


DISTANCES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"l1": _absolute, "kl": _kl, "js": _js}


@registry.register("disagreement")
class Disagreement(Objective):
    """Distance of the student's outputs from the teacher's. [B, C] gives [B].

    A generator raises it, with a negative weight, and the student lowers it on the same inputs. The absolute difference of
    logits still has a gradient where both models are certain; that of a divergence vanishes there, and a squared difference
    lets the generator win by large logits alone.

    Args:
        distance: `l1`, mean absolute difference of the logits; `kl`, T² KL(p_T(t)‖p_T(s)); `js`, T² times the Jensen-Shannon
            divergence, at most T² log 2.
        temperature: T of `kl` and `js`; `l1` has none.

    Raises:
        ValueError: an unknown distance, temperature not above 0, or other than 1 with `l1`; shapes that differ.

    Source: l1: Fang et al. 2019, arXiv 1912.11006; kl: Micaelli & Storkey 2019, arXiv 1905.09768; js: Yin et al. 2020.
    """

    name = "disagreement"
    knowledge: ClassVar[Knowledge] = "output"
    formula = "(1/C) Σ_c |s_c − t_c|, or T² KL(p_T(t) ‖ p_T(s)), or T² JS(p_T(t), p_T(s))"
    source = "Fang et al. 2019 (DFAD), arXiv 1912.11006; kl: 1905.09768; js: 1912.08795"
    bibtex = FANG_2019
    match: ClassVar[Match] = Match.EVERYTHING
    ndims: ClassVar[tuple[int, ...]] = (2,)

    def __init__(self, *, distance: str = "l1", temperature: float = 1.0) -> None:
        super().__init__()
        require(distance in DISTANCES, self.name, "distance", distance, f"use one of {', '.join(DISTANCES)}")
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 1")
        softened = distance != "l1"
        require(softened or temperature == 1, self.name, "temperature", temperature, "l1 has none; use kl or js, or 1")
        self.distance, self.temperature, self.reads_classes = distance, temperature, softened

    @property
    def softens(self) -> bool:
        return self.distance != "l1"

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        return DISTANCES[self.distance](student, teacher, self.temperature)
