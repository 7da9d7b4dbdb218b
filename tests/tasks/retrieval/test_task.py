"""The task of retrieval: its metrics, its control, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation, Training, methods, steps
from limbeck.data import Items
from limbeck.data.fields import with_reads
from limbeck.engine import Settings
from limbeck.tasks import Retrieval

COUNT = 24
READS: dict[str, str | None] = {"student": "image", "teacher": "text"}


def pairs(count: int = COUNT, seed: int = 0, **labels: Any) -> Items:
    """Texts [N, 4], and images [N, 6] that are a linear map of them."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(count, 4, generator=generator)
    image = text @ torch.randn(4, 6, generator=torch.Generator().manual_seed(9))
    return with_reads(Items.from_tensors({"image": image, "text": text}, **labels), READS)


class Counting(nn.Module):
    """Embeds a text as it is, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def test_a_query_finds_the_item_that_it_belongs_to() -> None:
    items = pairs()
    task, teacher = Retrieval("recall_at_1"), Counting()
    task.prepare(teacher, items, [items], control=False)
    texts = task.outputs(teacher, items.for_actor("teacher"))
    as_read = items.for_actor("student")
    assert task.compute_metrics(texts, as_read) == {"recall_at_1": 1}
    shifted = texts.roll(1, 0)
    found = task.to_predictions([texts, shifted], as_read)["scores"]
    assert found.shape == (2, COUNT)
    assert (found[0].mean(), found[1].mean()) == (1, 0)
    assert teacher.calls == 1


@pytest.mark.parametrize(("metric", "expected"), [("recall_at_1", 0.0), ("recall_at_10", 1.0), ("mean_reciprocal_rank", 0.5)])
def test_metrics_of_the_second_place(metric: str, expected: float) -> None:
    text = torch.eye(12)
    items = with_reads(Items.from_tensors({"image": text, "text": text}), READS)
    task, teacher = Retrieval(metric), Counting()
    task.prepare(teacher, items, [items], control=False)
    second = text + 1.1 * text.roll(-1, 0)  # every image is nearer to the text before
    assert task.compute_metrics(second, items.for_actor("student"))[metric] == pytest.approx(expected)


def test_the_control_learns_labels_and_is_then_placed_among_the_texts() -> None:
    train, test = pairs(40, targets=torch.arange(40) % 2), pairs(12, seed=3)
    settings = Settings(progress=False, trackers=(), threads=1, device="cpu")
    task = Retrieval("recall_at_1")
    job = Distillation(
        lambda: nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 4)),
        Counting(),
        task=task,
        student_options={"reads": "image"},
        teacher_options={"reads": "text"},
        training=Training(steps(2), 8, settings=settings),
        terms=methods.cmkd(task=task, soft=1.0),
    )
    job.fit(train)
    verdict = job.evaluate(test)
    assert verdict.control is not None
    assert verdict.control.metric == 1  # two steps on labels leave a linear map, which ridge regression inverts
    assert verdict.student is not None
    assert verdict.student.metric < 1
    assert verdict.teacher is not None
    assert verdict.teacher.metric == 1


def test_what_does_not_fit_is_named() -> None:
    items = pairs()
    task = Retrieval()
    with pytest.raises(ValueError, match="queries are embedded by the teacher, and there is none"):
        task.prepare(None, items, [items], control=False)
    with pytest.raises(ValueError, match="control learns from labels, and there are none; set control: false"):
        task.prepare(Counting(), items, [items], control=True)
    with pytest.raises(ValueError, match="a single item is always found"):
        task.prepare(Counting(), items, [items.select(torch.tensor([0]))], control=False)
    task.prepare(Counting(), items, [items], control=False)
    images = items.for_actor("student")
    with pytest.raises(ValueError, match=r"student gives embeddings of 6 numbers, and the teacher of 4.*classes: 4"):
        task.check(nn.Identity(), images, "student", "data")
    with pytest.raises(ValueError, match=r"outputs of shape \(8, 2, 3\); retrieval needs one vector per item"):
        task.check(nn.Unflatten(1, (2, 3)), images, "student", "data")
    labelled = pairs(targets=torch.arange(COUNT) % 2)
    task.prepare(Counting(), labelled, [labelled], control=True)
    with pytest.raises(ValueError, match="Sequential does not end in one; set control: false"):
        task.check(nn.Sequential(nn.Linear(6, 4), nn.ReLU()), labelled.for_actor("student"), "student", "data")
    with pytest.raises(ValueError, match="the number of classes is unknown"):
        Retrieval().hard_terms()
    with pytest.raises(ValueError, match="'recall' is no metric of retrieval; choose one of recall_at_10"):
        Retrieval("recall")
