"""A control draws from the labelled items, whatever the task: its objectives say that they need no teacher."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation
from limbeck.core.source import BatchPosition
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage, Update, steps
from limbeck.experiment.arm_stages import draws_labelled_items
from limbeck.objectives import Decoupled, SoftTargets
from limbeck.tasks import MultilabelClassification, QuestionAnswering, Regression, registry
from tests.experiment.tiny_classifiers import QUICK

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
NUMBERS = torch.where(torch.arange(64) < 8, X.sum(1), torch.nan)
INDEPENDENT = torch.where(torch.arange(64)[:, None] < 8, (X[:, :3] > 0).long(), -100)


@pytest.mark.parametrize("name", ["classification", "multilabel_classification", "question_answering", "regression"])
def test_hard_terms_of_every_task_draw_labelled_items_only(name: str) -> None:
    task = registry[name]()
    assert draws_labelled_items([Stage([Update(task.hard_terms())], steps(1))])
    assert not draws_labelled_items([Stage([Update([*task.hard_terms(), *task.soft_terms(2.0)])], steps(1))])


def test_a_term_that_needs_labels_and_a_teacher_draws_all_items() -> None:
    assert not draws_labelled_items([Stage([Update([Term(Decoupled())])], steps(1))])
    assert not draws_labelled_items([Stage([Update([Term(SoftTargets())])], steps(1))])


def rows_of_control(job: Distillation) -> set[int]:
    source = next(arm.run.source for arm in job.trained if arm.name == "control")
    assert source is not None
    batches = [source.batch(BatchPosition(step)) for step in range(16)]
    return {int(key) for batch in batches for key in batch.keys.tolist()}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("task", "target", "classes", "outputs"),
    [(Regression(), NUMBERS, None, 1), (MultilabelClassification(), INDEPENDENT, 3, 3)],
    ids=["regression", "multilabel"],
)
def test_the_control_of_numbers_and_independent_labels_sees_the_labelled_eight(
    task: Regression | MultilabelClassification, target: Tensor, classes: int | None, outputs: int
) -> None:
    items = Items.from_tensors(X, target, classes=classes)
    training = replace(QUICK, batch_size=4)
    job = Distillation(nn.Linear(6, outputs), nn.Linear(6, outputs), task=task, training=training)
    job.fit(items)
    assert rows_of_control(job) == set(items.keys[:8].tolist())


def test_the_control_of_spans_sees_the_labelled_eight() -> None:
    class Spans(nn.Module):
        """Logits of start and end at each of six positions."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x[..., None]).transpose(1, 2)

    target = torch.where(torch.arange(64)[:, None] < 8, torch.tensor([1, 3]), -100)
    items = Items.from_tensors(X, target)
    stage = Stage([Update(QuestionAnswering().hard_terms())], steps(4))
    assert draws_labelled_items([stage])
    training = QuestionAnswering().training_items(items)
    assert training.keys.tolist() == items.keys[:8].tolist()
    loss = stage.updates[0].terms[0].objective(Spans()(X), target=items.target)
    assert bool((loss[:8] > 0).all())
    assert not bool(loss[8:].any())
