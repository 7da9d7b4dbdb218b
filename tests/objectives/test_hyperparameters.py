"""Hyperparameters: defaults as published, keyword-only, and refused with the field, the value and a remedy."""

from __future__ import annotations

import inspect

import pytest
import torch

from limbeck import Term, objectives

WRONG = [
    ("hard_targets", "label_smoothing", 1.5),
    ("soft_targets", "temperature", 0.0),
    ("soft_targets", "temperature", -1.0),
    ("soft_targets", "temperature", float("nan")),
    ("decoupled", "temperature", 0.0),
    ("decoupled", "alpha", -1.0),
    ("decoupled", "beta", -1.0),
    ("dist", "beta", -1.0),
    ("dist", "gamma", -1.0),
    ("dist", "temperature", 0.0),
    ("weighted_soft_labels", "temperature", 0.0),
    ("attention_transfer", "power", 0.5),
    ("channelwise", "temperature", 0.0),
    ("variational", "init_variance", 0.0),
    ("margin_features", "margin", [-1.0, 0.5]),
    ("review", "mid_channels", 0),
    ("masked_generative", "ratio", 1.0),
    ("correlation_congruence", "gamma", 0.0),
    ("correlation_congruence", "order", -1),
    ("contrastive", "temperature", 0.0),
    ("contrastive", "negatives", 0),
    ("contrastive", "momentum", 1.0),
    ("contrastive", "dim", 0),
    ("feature_map_transfer", "mean_weight", -1.0),
    ("feature_map_transfer", "variance_weight", -1.0),
    ("feature_map_transfer", "weight", -1.0),
    ("value_relation", "heads", 0),
    ("self_attention_relations", "heads", 2.5),
]

DEFAULTS = {
    "hard_targets": {"label_smoothing": 0},
    "soft_targets": {"temperature": 4, "standardize": False},
    "decoupled": {"alpha": 1, "beta": 8, "temperature": 4},
    "dist": {"beta": 1, "gamma": 1, "temperature": 1},
    "weighted_soft_labels": {"temperature": 2},
    "attention_transfer": {"power": 2},
    "channelwise": {"temperature": 4},
    "variational": {"init_variance": 5},
    "masked_generative": {"ratio": 0.65},
    "correlation_congruence": {"gamma": 0.4, "order": 2},
    "contrastive": {"temperature": 0.07, "negatives": 16384, "momentum": 0.5, "dim": 128},
    "feature_map_transfer": {"mean_weight": 5000, "variance_weight": 5, "weight": 100},
    "value_relation": {"heads": None},
    "self_attention_relations": {"heads": 48},
}


@pytest.mark.parametrize(("name", "field", "value"), WRONG)
def test_a_wrong_value_names_field_value_and_remedy(name, field, value):
    said = rf"^{name}: {field} is .*; use |'{name}': {field}=.*: expected |'{name}': {field} is nan; expected a finite number"
    with pytest.raises(ValueError, match=said) as error:
        objectives.get(name, **{field: value})
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_the_published_ones(name):
    parameters = inspect.signature(objectives.registry[name]).parameters.values()
    assert {p.name: p.default for p in parameters} == DEFAULTS[name]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters)


def test_unknown_names_are_a_value_error():
    with pytest.raises(ValueError, match="soft_targets"):
        objectives.get("soft_target")
    with pytest.raises(ValueError, match="temprature"):
        objectives.get("soft_targets", temprature=2)
    assert "soft_targets" in objectives.names()


def test_a_scheduled_temperature_reaches_every_objective_that_has_one():
    s, t, y = torch.randn(3, 4), torch.randn(3, 4), torch.tensor([0, 1, 2])
    for name in ("soft_targets", "decoupled", "dist", "weighted_soft_labels"):
        objective = objectives.get(name)
        objective.temperature = 3.0
        assert torch.equal(objective(s, t, target=y), objectives.get(name, temperature=3.0)(s, t, target=y))


@pytest.mark.parametrize("name", objectives.names())
def test_a_term_schedules_the_temperature_of_an_objective_that_has_one_alone(name):
    takes = inspect.signature(objectives.registry[name]).parameters
    objective = objectives.get(name, **({"distance": "kl"} if name == "disagreement" else {}))
    if "temperature" in takes:
        Term(objective, temperature=2)
    else:
        with pytest.raises(ValueError, match=f"{name!r}: it has no temperature to schedule; leave temperature out"):
            Term(objective, temperature=2)


def test_the_absolute_difference_of_logits_has_no_temperature():
    with pytest.raises(ValueError, match="'disagreement': it has no temperature"):
        Term(objectives.get("disagreement"), temperature=2)
