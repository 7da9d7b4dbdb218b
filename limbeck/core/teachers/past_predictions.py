"""The student's predictions of the previous epoch as target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.memory import PerSampleTable
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher, registry


@registry.register(
    "past_predictions",
    cite="""
        @inproceedings{kim2021self,
            title = {Self-Knowledge Distillation with Progressive Refinement of Targets},
            author = {Kim, Kyungyul and Ji, ByeongMoon and Yoon, Doyoung and Hwang, Sangheum},
            booktitle = {International Conference on Computer Vision},
            year = {2021},
            eprint = {2006.12000},
            archiveprefix = {arXiv},
        }
    """,
)
class PastPredictions(Teacher):
    """The student's logits for each item when it last saw it (PS-KD, 2006.12000).

    The target of an item that was never seen is the student's own logits, detached, so its loss and gradient are zero. The
    table has one row for each item of the data set and is part of the checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table: PerSampleTable | None = None  # not a class attribute, which would hide the module of this name

    def build(self, student: tuple[int, ...], *, samples: int | None) -> None:
        if samples is None:
            raise ValueError("PastPredictions: needs a source with a data set, because it remembers every item")
        if len(student) != 2:
            raise ValueError(f"PastPredictions: needs logits [batch, classes]; the student's have shape {student}")
        if self.table is None:
            self.table = PerSampleTable(samples, student[-1])

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        assert isinstance(student, Tensor)
        if self.table is None or batch.index is None:
            raise ValueError("PastPredictions: needs batches with the index of each item")
        rows, written = self.table.read(batch.index)
        return torch.where(written[:, None], rows.to(student.dtype), student.detach())

    def update(self, student: AnySignal, batch: Batch) -> None:
        assert isinstance(student, Tensor)
        assert self.table is not None
        assert batch.index is not None
        self.table.write(batch.index, student)
