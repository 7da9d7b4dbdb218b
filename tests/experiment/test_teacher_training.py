"""Training a teacher on labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from limbeck.data import Items
from limbeck.engine import steps
from limbeck.experiment.teacher_training import train_teacher
from limbeck.tasks import Classification
from tests.experiment.tiny_classifiers import QUICK, Own, equal


def test_it_learns_and_depends_on_its_seed_only(train: Items, tmp_path: Path) -> None:
    longer = replace(QUICK, length=steps(150))
    first = train_teacher(lambda: Own(32), train, longer, seed=1, folder=tmp_path / "teacher")
    torch.manual_seed(99)
    assert equal(first, train_teacher(lambda: Own(32), train, longer, seed=1))
    assert equal(first, train_teacher(lambda: Own(32), train, longer, seed=1, folder=tmp_path / "teacher", resume=True))
    assert not equal(first, train_teacher(lambda: Own(32), train, longer, seed=2))
    assert not first.training
    task = Classification()
    assert task.compute_metrics(task.outputs(first, train), train)["accuracy"] > 0.7


def test_its_average_is_returned(train: Items) -> None:
    plain = train_teacher(lambda: Own(8), train, QUICK)
    averaged = train_teacher(lambda: Own(8), train, replace(QUICK, ema=0.9))
    assert not equal(plain, averaged)
