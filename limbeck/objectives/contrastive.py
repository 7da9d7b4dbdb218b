"""Contrastive representation distillation (CRD)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.memory import CountedGenerator
from limbeck.core.objective import OWN_NETWORKS, Knowledge, Objective, registry, require
from limbeck.objectives.functional.elementary import l2_normalize

PRODUCT = 8  # items of the data set for each drawn row, up to which all of them are scored


@registry.register("contrastive")
class Contrastive(Objective):
    """Noise-contrastive estimation: both sides' embeddings of an item against those of other items, from memory banks.

    Features [B, ...] are flattened; a learned linear layer on each side maps them to `dim` numbers, which are L2-normalised.
    The student's embedding is scored against the teacher's bank and the teacher's against the student's; the two losses are
    added. Negatives are drawn on the device, uniformly over the data set and with replacement. Banks are updated in training
    mode only, after the loss; with several processes from the gathered batch, so that all have the same banks. `index` (the
    row of each item in the data set) is required. Banks, normalisers and the count of draws are in the state dict. The
    arithmetic runs in the precision of the linear layers. Call `build(..., samples=n)` before the first use.

    Args:
        temperature: τ of the scores.
        negatives: K, the number of negatives for each item.
        momentum: share of the old entry when a bank is updated.
        dim: length of the embeddings.

    Raises:
        ValueError: temperature not above 0, negatives or dim below 1, momentum outside [0, 1); index missing or out of
            range; samples missing.

    Source: Tian et al. 2019 (CRD), arXiv 1910.10699.
    """

    name = "contrastive"
    knowledge: ClassVar[Knowledge] = "relation"
    formula = "−log h(s, t⁺) − Σ_k log(1 − h(s, t_k)) and with s, t swapped, h = e^{s·t/τ}/Z / (e^{s·t/τ}/Z + K/n)"
    source = "Tian et al. 2019 (CRD), arXiv 1910.10699"
    bibtex = """
        @inproceedings{tian2020contrastive,
            title = {Contrastive Representation Distillation},
            author = {Tian, Yonglong and Krishnan, Dilip and Isola, Phillip},
            booktitle = {International Conference on Learning Representations},
            year = {2020},
            eprint = {1910.10699},
            archiveprefix = {arXiv},
        }
    """
    weight = 0.8
    over_batch = True  # the banks must see the items of all processes
    exempt: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("minimum", "stationary"), OWN_NETWORKS),
        **dict.fromkeys(("permutation", "independence"), "negatives are drawn by position in the batch"),
    }
    student_bank: Tensor
    teacher_bank: Tensor
    log_normalizer: Tensor
    hides_errors = True  # a negative index reads a row from the end of the bank

    def __init__(self, *, temperature: float = 0.07, negatives: int = 16384, momentum: float = 0.5, dim: int = 128) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 0.07")
        require(negatives >= 1, self.name, "negatives", negatives, "use 1 or more, such as 16384")
        require(0 <= momentum < 1, self.name, "momentum", momentum, "use a share from 0 to below 1, such as 0.5")
        require(dim >= 1, self.name, "dim", dim, "use 1 or more, such as 128")
        self.temperature = temperature
        self.negatives = negatives
        self.momentum = momentum
        self.dim = dim
        self.draws = CountedGenerator()
        self.student_embedding: nn.Linear | None = None
        self.teacher_embedding: nn.Linear | None = None
        # log Z of (student, teacher) scores; NaN until the first training batch estimates them
        self.register_buffer("log_normalizer", torch.full((2,), math.nan))

    @property
    def built(self) -> bool:
        return self.student_embedding is not None

    def build(self, student: Any, teacher: Any, *, samples: int | None = None) -> None:
        if samples is None:
            raise ValueError(f"{self.name}: needs the number of training items; call build(student, teacher, samples=n)")
        self._build(math.prod(student[1:]), math.prod(teacher[1:]), samples, self.dim)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        if "student_bank" in state:
            samples, dim = state["student_bank"].shape
            self._build(state["student_embedding.weight"].shape[1], state["teacher_embedding.weight"].shape[1], samples, dim)

    def _build(self, d_student: int, d_teacher: int, samples: int, dim: int) -> None:
        self.student_embedding, self.teacher_embedding = nn.Linear(d_student, dim), nn.Linear(d_teacher, dim)
        bound = math.sqrt(3 / dim)  # the expected length of an entry is 1
        for side in ("student_bank", "teacher_bank"):
            self.register_buffer(side, torch.empty(samples, dim).uniform_(-bound, bound))

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        assert self.student_embedding is not None
        assert self.teacher_embedding is not None
        self._check_index(index, student)
        dtype = self.student_embedding.weight.dtype
        s = l2_normalize(self.student_embedding(student.flatten(1).to(dtype)))
        t = l2_normalize(self.teacher_embedding(teacher.flatten(1).to(dtype)))
        rows = self._rows(index.long())
        scores = torch.stack([self._scores(s, self.teacher_bank, rows), self._scores(t, self.student_bank, rows)])
        loss = self._estimate(scores, self._normalizer(scores.detach())).sum(0)
        if self.training:
            self._remember(self.student_bank, s, index)
            self._remember(self.teacher_bank, t, index)
        return loss

    def _rows(self, index: Tensor) -> Tensor:
        """[B, 1 + K]: each item's own row of the banks, then its negatives."""
        generator = self.draws.next(index.device)
        size = (len(index), self.negatives)
        drawn = torch.randint(len(self.student_bank), size, generator=generator, device=index.device)
        return torch.cat([index.unsqueeze(1), drawn], dim=1)

    def _scores(self, embedding: Tensor, bank: Tensor, rows: Tensor) -> Tensor:
        # Both ways copy what they read, so the update of the bank does not affect the graph of this step.
        if len(bank) <= PRODUCT * rows.shape[1]:  # one product with the whole bank is faster than a copy of its rows per item
            return (embedding @ bank.clone().T).gather(1, rows) / self.temperature
        return torch.bmm(bank[rows], embedding.unsqueeze(-1)).squeeze(-1) / self.temperature

    def _normalizer(self, scores: Tensor) -> Tensor:
        """log Z of both directions [2, 1, 1]: n times the mean of e^score on the first training batch, then constant."""
        estimate = scores.flatten(1).logsumexp(1) + math.log(len(self.student_bank) / scores[0].numel())
        known = torch.where(self.log_normalizer.isnan(), estimate, self.log_normalizer)
        if self.training:
            self.log_normalizer.copy_(known)
        return known.view(2, 1, 1)

    def _estimate(self, scores: Tensor, log_z: Tensor) -> Tensor:
        noise = math.log(self.negatives / len(self.student_bank))
        odds = scores - log_z - noise  # log-ratio of data to noise
        return -F.logsigmoid(odds[..., 0]) - F.logsigmoid(-odds[..., 1:]).sum(-1)

    @torch.no_grad()
    def _remember(self, bank: Tensor, embedding: Tensor, index: Tensor) -> None:
        bank[index] = l2_normalize(self.momentum * bank[index] + (1 - self.momentum) * embedding)

    def _check_index(self, index: Tensor | None, student: Tensor) -> None:
        if index is None:
            raise ValueError(f"{self.name}: needs index, each item's row in the data set, and got none")
        if index.shape != student.shape[:1]:
            raise ValueError(f"{self.name}: index {tuple(index.shape)} does not fit student {tuple(student.shape)}")
        samples = len(self.student_bank)
        if self.validate and bool(((index < 0) | (index >= samples)).any()):
            raise ValueError(f"{self.name}: index exceeds the {samples} rows of build(samples={samples})")
