"""The student's own earlier predictions as target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.memory import PerSampleTable
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher, registry
from limbeck.utils.distributed import all_gather_rows

KIM_2021 = """
    @inproceedings{kim2021self,
        title = {Self-Knowledge Distillation with Progressive Refinement of Targets},
        author = {Kim, Kyungyul and Ji, ByeongMoon and Yoon, Doyoung and Hwang, Sangheum},
        booktitle = {International Conference on Computer Vision},
        year = {2021},
        eprint = {2006.12000},
        archiveprefix = {arXiv},
    }
"""


@registry.register("past_predictions", cite=KIM_2021)
class PastPredictions(Teacher):
    """The student's logits for each item when it last saw it (PS-KD, 2006.12000).

    The target of an item that was never seen is the student's own logits, detached, so its loss and gradient are zero. The
    table has one row for each item of the data set and is part of the checkpoint.

    Args:
        within: the most steps that a prediction may be old; what is older teaches nothing, as if never seen. 1: that of the
            step before only, as DLB (2203.16172) has it; in a loop of your own, pass the criterion the progress, by which it
            tells steps apart. None: of any age.

    Raises:
        ValueError: `within` below 1.
    """

    step: Tensor
    progress_of_step: Tensor
    written_at: Tensor

    def __init__(self, within: int | None = None) -> None:
        super().__init__()
        if within is not None and within < 1:
            raise ValueError(f"PastPredictions: within is {within}; expected at least 1 step, or leave it out")
        self.within = within
        self.table: PerSampleTable | None = None  # not a class attribute, which would hide the module of this name

    def build(self, student: tuple[int, ...], *, samples: int | None) -> None:
        if samples is None:
            raise ValueError("PastPredictions: needs a source with a data set, because it remembers every item")
        if len(student) != 2:
            raise ValueError(f"PastPredictions: needs logits [batch, classes]; the student's have shape {student}")
        if self.table is None:
            self.table = PerSampleTable(samples, student[-1])
            if self.within is not None:
                self.register_buffer("step", torch.zeros((), dtype=torch.long))
                self.register_buffer("progress_of_step", torch.full((), -1.0, dtype=torch.float64))
                self.register_buffer("written_at", torch.zeros(samples, dtype=torch.long))

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        assert isinstance(student, Tensor)
        if self.table is None or batch.index is None:
            raise ValueError("PastPredictions: needs batches with the index of each item")
        rows, written = self.table.read(batch.index)
        if self.within is not None:
            now = self.step + (self.progress_of_step != self.progress)
            written = written & (now - self.written_at[batch.index] <= self.within)
        return torch.where(written[:, None], rows.to(student.dtype), student.detach())

    def update(self, student: AnySignal, batch: Batch) -> None:
        assert isinstance(student, Tensor)
        assert self.table is not None
        assert batch.index is not None
        self.table.write(batch.index, student)
        if self.within is not None:
            # pieces of an accumulated batch have one progress, and are one step; compared on the device, without a sync
            self.step += self.progress_of_step != self.progress
            self.progress_of_step.fill_(self.progress)
            self.written_at[all_gather_rows(batch.index)] = self.step
