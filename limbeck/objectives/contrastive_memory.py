"""Contrast of made inputs with each other and with those made before, so that new ones are different (CMI)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.objective import OWN_NETWORKS, Knowledge, Objective, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.functional.elementary import l2_normalize

FANG_2021 = """
    @inproceedings{fang2021contrastive,
        title = {Contrastive Model Inversion for Data-Free Knowledge Distillation},
        author = {Fang, Gongfan and Song, Jie and Wang, Xinchao and Shen, Chengchao and Wang, Xingen and Song, Mingli},
        booktitle = {Proceedings of the Thirtieth International Joint Conference on Artificial Intelligence},
        year = {2021},
        eprint = {2105.08584},
        archiveprefix = {arXiv},
    }
"""


@registry.register("contrastive_memory")
class ContrastiveMemory(Objective):
    """Each item should be told from all others of the batch and of the memory: InfoNCE between two views of it.

    Both sides are features of one frozen model, of an input and of another view of it (`teacher:input(linear)` and
    `teacher@augmented:input(linear)`); maps are flattened. A learned head of two linear layers maps both to `dim` numbers,
    which are L2-normalised to u and v. The negatives of u_i are v_j of the other items of the batch and the rows of the memory.
    In training mode every `every`-th call puts its u into the memory, in place of the oldest. Give `every` the steps of a round
    of synthesis: the memory then holds finished samples, not the same ones in all their stages.

    Args:
        temperature: τ of the scores.
        size: rows of the memory.
        dim: length of the embeddings.
        every: calls between two additions to the memory.

    Raises:
        ValueError: temperature not above 0, sizes below 1; signals of different shapes.

    Source: Fang et al. 2021 (CMI), arXiv 2105.08584.
    """

    name = "contrastive_memory"
    knowledge: ClassVar[Knowledge] = "relation"
    formula = "−log (e^{u_i·v_i/τ} / (Σ_j e^{u_i·v_j/τ} + Σ_m e^{u_i·m/τ})), m in the memory"
    source = "Fang et al. 2021 (CMI), arXiv 2105.08584"
    bibtex = FANG_2021
    weight = 0.8
    over_batch = True
    match = Match.EVERYTHING
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(("minimum", "stationary"), OWN_NETWORKS)
    memory: Tensor
    counts: Tensor
    hides_errors = True  # its head turns −∞ into 0

    def __init__(self, *, temperature: float = 0.2, size: int = 4096, dim: int = 64, every: int = 1) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 0.2")
        for field, value in (("size", size), ("dim", dim), ("every", every)):
            require(value >= 1, self.name, field, value, "use 1 or more")
        self.temperature, self.size, self.dim, self.every = temperature, size, dim, every
        self.head: nn.Sequential | None = None
        self.register_buffer("memory", torch.zeros(size, dim))
        self.register_buffer("counts", torch.zeros(2, dtype=torch.long))  # of calls, of rows that were ever added

    @property
    def built(self) -> bool:
        return self.head is not None

    def build(self, student: Any, teacher: Any, *, samples: int | None = None) -> None:
        self._build(math.prod(student[1:]))

    def restore(self, state: Mapping[str, Tensor]) -> None:
        if "head.0.weight" in state:
            self._build(state["head.0.weight"].shape[1])

    def _build(self, width: int) -> None:
        self.head = nn.Sequential(nn.Linear(width, self.dim), nn.ReLU(), nn.Linear(self.dim, self.dim))

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        assert self.head is not None
        dtype = next(self.head.parameters()).dtype
        u, v = (l2_normalize(self.head(side.flatten(1).to(dtype))) for side in (student, teacher))
        # a copy: the memory may change before the backward pass; its values are detached
        kept = self.memory[: min(int(self.counts[1]), self.size)].detach().to(dtype, copy=True)
        scores = u @ torch.cat([v, kept]).T / self.temperature
        if self.training:
            self._remember(u)
        return F.cross_entropy(scores, torch.arange(len(u), device=u.device), reduction="none")

    @torch.no_grad()
    def _remember(self, rows: Tensor) -> None:
        self.counts[0] += 1
        if int(self.counts[0]) % self.every:
            return
        rows = rows[-self.size :]
        places = (self.counts[1] + torch.arange(len(rows), device=rows.device)) % self.size
        self.memory[places] = rows.to(self.memory.dtype)
        self.counts[1] += len(rows)
