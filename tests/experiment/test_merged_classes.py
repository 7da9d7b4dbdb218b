"""Class sets of teachers are compared with the classes of the data before the training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from limbeck import Distillation, Ensemble, frozen, methods
from limbeck.data import Items
from limbeck.tasks import Classification

NAMES = ["ant", "bee", "cat"]


def job(classes: dict[str, list[str]], **options: Any) -> Distillation:
    actors = {f"teachers.{name}": frozen(nn.Linear(4, 2)) for name in "ab"}
    made = methods.call("merged_classes", {"classes": classes}, task=Classification())
    return Distillation(nn.Linear(4, 3), actors=actors, control=False, terms=made["terms"], **options)


def data(names: list[str] | None) -> Items:
    inputs = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    return Items.from_tensors(inputs, torch.arange(12) % 3, classes=3, class_names=names)


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        (
            NAMES,
            {"a": ["cat", "bee"], "b": ["bee", "ant"]},
            "are cat, bee, ant, and those of the data ant, bee, cat: labels",
        ),
        (NAMES, {"a": ["ant", "bee"], "b": ["bee", "dog"]}, "'dog' is none of these; use the names of the data"),
        (None, {"a": ["2", "1"], "b": ["1", "0"]}, r"those of the data 0, 1, 2: .* classes: \{student: \[0, 1, 2\], …\}"),
    ],
)
def test_another_order_and_other_names_are_refused(
    names: list[str] | None, classes: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"terms\.0\.teacher: the classes of the teachers .*{message}"):
        job(classes).check(data(names))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (NAMES, {"a": ["cat", "bee"], "b": ["bee", "ant"], "student": NAMES}),
        (NAMES, {"a": ["Ant", "bee"], "b": ["bee", "cat"]}),
        (NAMES, {"a": ["Ameise", "Biene"], "b": ["Biene", "Katze"]}),  # other words for them
        (None, {"a": ["0", "1"], "b": ["1", "2"]}),
        (None, {"a": ["cat", "bee"], "b": ["bee", "ant"]}),  # numbers are not compared with names
    ],
)
def test_the_order_of_the_data_and_other_words_are_taken(names: list[str] | None, classes: dict[str, list[str]]) -> None:
    job(classes).check(data(names))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (None, r"combines teachers.a, teachers.b class by class, and terms\.0\.teacher merges .* same classes"),
        ({"a": ["cat", "bee"], "b": ["bee", "ant"]}, "the classes of the teachers together are cat, bee, ant"),
    ],
)
def test_what_the_verdict_compares_with_has_the_same_classes(classes: dict[str, list[str]] | None, message: str) -> None:
    compared = Ensemble("teachers.*", classes=classes)
    with pytest.raises(ValueError, match=rf"evaluate\.teacher: .*{message}"):
        job({"a": ["ant", "bee"], "b": ["bee", "cat"]}, evaluate={"student": "student", "teacher": compared}).check(data(NAMES))
