"""Actors of an experiment that say which field they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limbeck import Distillation
from limbeck.core.actors import Actor, frozen
from limbeck.core.terms import Term
from limbeck.data import Items, load_fields
from limbeck.engine import Stage, Update, epochs
from limbeck.engine.training import Training
from limbeck.objectives import HardTargets, SoftTargets
from tests.data.loading.files import parquet
from tests.runs.test_field_runs import columns

QUICK: dict[str, Any] = {"allow_shared_items": True, "training": Training(length=epochs(2), batch_size=16)}


def classifier(inputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 2))


def tensors(count: int = 48) -> Items:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(count) % 2
    wave = torch.randn(count, 4, generator=generator) + 4 * label[:, None]
    image = torch.randn(count, 1, 3, 3, generator=generator) + 4 * label[:, None, None, None]
    return Items.from_tensors({"wave": wave, "image": image}, label)


def test_options_say_which_field_student_and_teacher_read() -> None:
    job = Distillation(
        lambda: classifier(4), classifier(9), student_options={"reads": "wave"}, teacher_options={"reads": "image"}, **QUICK
    )
    job.fit(tensors(), tensors())
    verdict = job.evaluate(tensors())
    assert verdict.student is not None
    assert set(verdict.arms) == {"teacher", "student", "control"}


def test_any_actor_says_which_field_it_reads(tmp_path: Path) -> None:
    path = parquet(tmp_path / "pairs.parquet", **columns())
    items = load_fields(path, {"wave": "audio", "image": "image"}, {}, size=8)
    sizes = {name: items.for_actor(name).fetch(torch.tensor([0]))[0].numel() for name in ("wave", "image")}
    peer = SoftTargets(temperature=2)
    terms = [Term(HardTargets(), student="peers.*"), Term(peer, student="peers.*", teacher="peers.*")]
    job = Distillation(
        actors={
            "peers.ear": Actor(None, reads="wave", factory=lambda: classifier(sizes["wave"])),
            "peers.eye": Actor(None, reads="image", factory=lambda: classifier(sizes["image"])),
        },
        stages=[Stage([Update(terms, trains="peers.*")], epochs(2))],
        evaluate={"ear": "peers.ear", "eye": "peers.eye"},
        **QUICK,
    )
    job.fit(items)
    assert set(job.evaluate(items).results) == {"ear", "eye"}


def test_a_field_that_no_item_has_is_refused() -> None:
    job = Distillation(
        lambda: classifier(4),
        frozen(classifier(9)).model,
        student_options={"reads": "wav"},
        teacher_options={"reads": "image"},
        **QUICK,
    )
    with pytest.raises(ValueError, match="student reads 'wav', which is none of the fields wave, image"):
        job.fit(tensors())
