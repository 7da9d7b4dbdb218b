"""A cached teacher reads one field, and views change another: its outputs are computed once, and the views need not repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation
from limbeck.data import Items
from limbeck.engine import epochs
from limbeck.engine.training import Training
from limbeck.teacher_cache import CacheConfig

COUNT, EPOCHS, REPEATED = 32, 24, 16  # items, epochs, and the views that repeat where the teacher reads what views change
CHECKED = 2 * COUNT  # the checks before the training ask the teacher of all items, and of a few again


class Seen(nn.Module):
    """A classifier that notes on how many items it ran, and which different ones it was trained on."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.items, self.different = nn.Linear(inputs, 2), 0, set[bytes]()

    def forward(self, inputs: Tensor) -> Tensor:
        self.items += len(inputs)
        if self.training:
            self.different |= {row.numpy().tobytes() for row in inputs}
        out: Tensor = self.linear(inputs.flatten(1))
        return out


CROP = {"random_crop": {"padding": 4}}


def trained(
    folder: Path, teacher: Seen, reads: str, cache: CacheConfig, views: tuple[Any, ...] = (CROP, "horizontal_flip")
) -> Seen:
    """The student of a teacher that reads this field; it reads images, which the views change."""
    generator = torch.Generator().manual_seed(0)
    fields = {"wave": torch.randn(COUNT, 4, generator=generator), "image": torch.rand(COUNT, 3, 8, 8, generator=generator)}
    job = Distillation(
        Seen(192),
        teacher,
        student_options={"reads": "image"},
        teacher_options={"reads": reads},
        training=Training(epochs(EPOCHS), 16, {"image": list(views)}),
        cache=cache,
        control=False,
        folder=folder / str(len(views)),
    )
    model = job.fit(Items.from_tensors(fields, torch.arange(COUNT) % 2))
    assert isinstance(model, Seen)
    return model


def test_teacher_runs_once_on_each_item_and_the_student_sees_new_views(tmp_path: Path) -> None:
    student = trained(tmp_path, teacher := Seen(4), "wave", CacheConfig())
    assert COUNT <= teacher.items <= COUNT + CHECKED
    assert len(student.different) > REPEATED * COUNT + COUNT


@pytest.mark.parametrize(("reads", "cache"), [("image", CacheConfig()), ("wave", CacheConfig(views=REPEATED))])
def test_views_repeat_if_the_teacher_reads_what_they_change_or_if_told_so(
    tmp_path: Path, reads: str, cache: CacheConfig
) -> None:
    teacher = Seen(192 if reads == "image" else 4)
    student = trained(tmp_path, teacher, reads, cache)
    computed = REPEATED * COUNT if reads == "image" else COUNT
    assert computed <= teacher.items <= computed + CHECKED
    assert len(student.different) <= REPEATED * COUNT + COUNT  # the checks look at each item as it is


def test_runs_in_other_views_share_the_outputs(tmp_path: Path) -> None:
    trained(tmp_path, Seen(4), "wave", CacheConfig())
    trained(tmp_path, teacher := Seen(4), "wave", CacheConfig(), (CROP,))
    assert teacher.items <= CHECKED
