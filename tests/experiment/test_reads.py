"""Actors of an experiment that say which field they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limbeck import Distillation, methods
from limbeck.core.actors import Actor, frozen
from limbeck.core.source import BatchPosition
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items, load_fields
from limbeck.data.sources import Mixture
from limbeck.engine import Stage, Update, epochs, steps
from limbeck.engine.training import Training
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.tasks import Classification
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


def test_a_domain_without_teacher_is_found_among_all_items_before_the_training() -> None:
    items = tensors(64)
    inputs = items.fetch(torch.arange(64))
    domain = torch.arange(64) % 2
    first = Dataset(items, batch_size=16).rows(BatchPosition(0, seed=0))
    domain[[row for row in range(64) if row not in first.tolist()][-2:]] = 2  # of no teacher
    given = Items.from_tensors({**inputs, "domain": domain[:, None].float()}, items.target)
    teachers = {name: frozen(classifier(4), reads="wave") for name in ("teachers.a", "teachers.b")}
    job = Distillation(
        actors={"student": Actor(classifier(4), reads="wave"), **teachers},
        **methods.call("domain_teachers", {}, task=Classification()),
        control=False,
        **QUICK,
    )
    with pytest.raises(ValueError, match=r"soft_targets.*domain: 2 of 64 items are of domain 2, and there are teachers for"):
        job.check(given)
    job.check(given.select(domain < 2))


@pytest.mark.parametrize("mixed", [False, True])
def test_a_domain_without_teacher_is_found_among_all_items_of_sources(mixed: bool) -> None:
    """The number of its source, which a mixture gives an item, goes before a field of the same name."""
    items = tensors(64)
    inputs = items.fetch(torch.arange(64))
    place = torch.arange(64) % 2
    first = Dataset(items, batch_size=16).rows(BatchPosition(0, seed=0))
    place[[row for row in range(64) if row not in first.tolist()][-1]] = 2  # of no teacher
    fields = {**inputs, "place": place[:, None].float(), "domain": torch.full((64, 1), 9.0)}
    given = Items.from_tensors(fields, items.target)
    source = Mixture([Dataset(given.select(place < 2), 16), Dataset(given, 16)]) if mixed else Dataset(given, 16)

    def job(field: str) -> Distillation:
        terms = methods.call("domain_teachers", {"field": field}, task=Classification())["terms"]
        return Distillation(
            actors={
                "student": Actor(classifier(4), reads="wave"),
                **{name: frozen(classifier(4), reads="wave") for name in ("teachers.a", "teachers.b")},
            },
            stages=[Stage([Update(terms, source=source)], steps(1))],
            control=False,
            **QUICK,
        )

    with pytest.raises(ValueError, match=r"domain: 1 of 64 items is of domain 2, and there are teachers for"):
        job("place").check(given)
    if mixed:
        job("domain").check(given)
