"""Recipes of runs with several results, on digits, trained for a few steps."""

from __future__ import annotations

from typing import Any

from limbeck.recipe import Recipe

DATA = {"train": {"path": "digits", "split": "train", "limit": 200}, "test": {"path": "digits", "split": "test", "limit": 100}}
TRAINING = {"steps": 6, "batch_size": 32, "log_every": 3, "checkpoint_every": 2, "trackers": [], "device": "cpu"}
PEERS: dict[str, Any] = {
    "name": "peers",
    "data": DATA,
    "actors": {
        "peers.a": {"model": "tiny_cnn", "args": {"width": 2, "size": 8}},
        "peers.b": {"model": "tiny_cnn", "args": {"width": 3, "size": 8}},
    },
    "stages": [
        {
            "steps": 6,
            "updates": [
                {
                    "trains": "peers.*",
                    "terms": [
                        {"hard_targets": {"student": "peers.*"}},
                        {"soft_targets": {"student": "peers.*", "teacher": "peers.*"}},
                    ],
                }
            ],
        }
    ],
    "evaluate": {"a": "peers.a", "b": "peers.b", "both": {"ensemble": {"of": "peers.*"}}},
    "training": TRAINING,
}
EXITS: dict[str, Any] = {
    "name": "exits",
    "data": DATA,
    "student": {"model": "resnet_cifar", "args": {"depth": 8, "widths": [4, 8, 16]}, "exits": ["layer1", "layer2"]},
    "terms": ["hard_targets", {"soft_targets": {"student": "student:exits.*", "teacher": "student"}}],
    "evaluate": {"student": "student", "early": "student:exits.*"},
    "training": TRAINING,
}


def recipe(content: dict[str, Any], **changes: Any) -> Recipe:
    return Recipe.from_dict({**content, **changes})


def cached_teachers() -> dict[str, Any]:
    """A student of two trained teachers with a cache each."""
    teacher = {"training": {"steps": 4, "batch_size": 32}, "cache": "auto"}
    return {
        "name": "cached",
        "data": DATA,
        "actors": {
            f"teachers.{name}": {"model": "tiny_cnn", "args": {"width": width, "size": 8}, **teacher}
            for name, width in (("a", 3), ("b", 4))
        },
        "student": {"model": "tiny_cnn", "args": {"width": 2, "size": 8}},
        "terms": ["hard_targets", {"soft_targets": {"teacher": {"ensemble": {"of": "teachers.*"}}}}],
        "training": TRAINING,
    }
