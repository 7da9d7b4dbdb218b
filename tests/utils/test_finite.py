"""Numbers that are infinite or NaN are refused by name, in Python as in recipes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from limbeck import methods, models, objectives
from limbeck.core import Actor, PerSampleTable, Term, teachers, weighers
from limbeck.core.schedules import Cosine, Linear, Step, Warmup
from limbeck.data import AudioOptions, partition
from limbeck.data.image.transform import transforms
from limbeck.data.sources import synthesis_targets
from limbeck.engine import LearningRateScale, Length, Optimizer, Settings, epochs, steps
from limbeck.methods import federated
from limbeck.tasks import Classification, MaskedLanguageModelling
from limbeck.utils.finite import find_not_finite
from limbeck.utils.registry import Registry

REFUSED = (math.nan, math.inf, -math.inf)
LINEAR = torch.nn.Linear(2, 2)


def numbers(registry: Registry) -> Iterator[tuple[str, str]]:
    """Each part with each of its arguments that may be a float."""
    for name in registry.names():
        for parameter in inspect.signature(registry[name]).parameters.values():
            if isinstance(parameter.default, float) or "float" in str(parameter.annotation):
                yield name, parameter.name


@pytest.mark.parametrize(("name", "field"), numbers(objectives.registry))
def test_objectives(name: str, field: str) -> None:
    for value in REFUSED:
        with pytest.raises(ValueError, match=rf"^{name}: .*\b{field} is {value}"):
            objectives.registry[name](**{field: value})


@pytest.mark.parametrize(("name", "field"), numbers(methods.registry))
def test_methods(name: str, field: str) -> None:
    for value in REFUSED:
        with pytest.raises(ValueError, match=rf"^{name}: {field} is {value}; expected a finite number"):
            methods.registry[name](**{field: value})


GIVEN: dict[str, Any] = {"of": "teachers.*", "shape": [4], "actor": "maker", "terms": [{"one_hot": {"student": "teacher"}}]}
GIVEN |= {"count": 2, "size": 8}
REGISTRIES = (
    federated.registry,
    teachers.registry,
    weighers.registry,
    partition.registry,
    transforms,
    synthesis_targets.registry,
)


@pytest.mark.parametrize(
    ("registry", "name", "field"),
    [(registry, *each) for registry in (*REGISTRIES, transforms) for each in numbers(registry)],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_other_parts_that_are_made_without_their_registry(registry: Registry, name: str, field: str) -> None:
    parameters = inspect.signature(registry[name]).parameters
    given = {each: GIVEN[each] for each, one in parameters.items() if one.default is one.empty and each in GIVEN}
    given |= {"of": "noise"} if name == "pool" else {}
    several = field in ("weights", "scales", "scale", "ratio")
    for value in REFUSED:
        with pytest.raises(ValueError, match=rf"\b{field}\b.*{value}"):
            registry[name](**given, **{field: [1.0, value] if several else value})


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda value: Actor(LINEAR, decay=value), "decay is"),
        (lambda value: Term(objectives.SoftTargets(), weight=value), "Constant: value is"),
        (lambda value: Term(objectives.SoftTargets(), temperature=value), "Constant: value is"),
        (lambda value: LearningRateScale("student", factor=value), "factor is"),
        (lambda value: Optimizer(lr=value), "lr is"),
        (lambda value: Optimizer(options={"betas": (0.9, value)}), r"options\.betas\.1 is"),
        (lambda value: Settings(clip=value), "clip is"),
        (lambda value: epochs(value), "epochs"),
        (lambda value: steps(value), "steps"),
        (lambda value: Length(value, "epochs"), "epochs"),
        (lambda value: AudioOptions(seconds=value), "audio.seconds="),
        (lambda value: MaskedLanguageModelling(share=value), "share="),
        (lambda value: PerSampleTable(2, 2, fill=value), "fill is"),
        (lambda value: Linear(start=value), "Linear: start is"),
        (lambda value: Step(at=(0.1, value)), r"Step: at\.1 is"),
        (lambda value: models.get("mlp", inputs=2, dropout=value), "dropout is"),
        (lambda value: methods.call("hinton", {"temperature": value}, task=Classification()), "temperature is"),
    ],
)
def test_what_trainings_are_made_of(make: Callable[[float], Any], said: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{said}.*(nan|inf)"):
        make(value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Warmup(until=500), "Warmup: until is 500; expected a share of the stage, from 0 at its first step to 1"),
        (lambda: Cosine(finish=1.5), r"Cosine: finish is 1\.5"),
        (lambda: Linear(begin=-0.1), r"Linear: begin is -0\.1"),
        (lambda: Step(at=(0.5, 30)), "Step: at is 30"),
        (lambda: Linear(begin=0.5, finish=0.2), r"begin is 0\.5 and finish 0\.2"),
    ],
)
def test_schedules_take_shares_of_the_stage(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_the_path_of_the_number_is_found() -> None:
    assert find_not_finite({"a": [1, {"b": math.nan}]}) == "a.1.b is nan"
    assert find_not_finite({"a": [1, "nan", None], "b": 10**400}) is None
    assert find_not_finite({"a": np.float32("inf")}) == "a is inf"
