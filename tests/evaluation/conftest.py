"""A run's verdict, made from simulated answers."""

import numpy as np
import pytest

from limbeck.evaluation import Latency, ModelCost, Predictions, RunCost, build_verdict

CLASSES = ["cat", "<script>alert(1)</script>", "a & b"]


def answers(accuracy, labels, seeds, rng):
    """Logits that are right on the first `accuracy` of the items, in every seed."""
    right = np.arange(len(labels)) < round(accuracy * len(labels))
    logits = rng.normal(scale=0.1, size=(seeds, len(labels), 3))
    logits[:, np.arange(len(labels)), np.where(right, labels, (labels + 1) % 3)] += 3
    return Predictions(logits.astype(np.float32), labels)


def make(student=0.80, control=0.75, teacher=0.90, items=1000, **changes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, items)
    arms = {"teacher": (teacher, 1), "control": (control, 2), "student": (student, 2)}
    predictions = {name: answers(rate, labels, seeds, rng) for name, (rate, seeds) in arms.items() if rate is not None}
    settings = {
        "name": "pets",
        "task": "classification",
        "seeds": [0, 1],
        "classes": CLASSES,
        "model_costs": {
            "teacher": ModelCost(11_000_000, 44_000_000, 10**9, Latency(10.0, 12.0), 60_000_000),
            "student": ModelCost(1_000_000, 4_000_000, 10**8, Latency(2.5, 3.0), 6_000_000),
        },
        "cost": RunCost(student_steps=100, teacher_items=1000, wall_s=3.5),
    }
    return build_verdict(predictions, **{**settings, **changes})


def with_result(verdict, **fields):
    """The verdict with other fields in its result."""
    return verdict.model_copy(update={"results": {"student": verdict.result.model_copy(update=fields)}})


@pytest.fixture
def verdict():
    return make()


RATES = {"a/student": 0.80, "a/control": 0.75, "b/student": 0.70, "b/control": 0.70, "both/student": 0.85, "both/control": 0.80}


def make_several(rates=RATES, **changes):
    """The verdict of arms that are right on these shares of the items: two peers and their ensemble, without a teacher."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 1000)
    predictions = {name: answers(rate, labels, 1 if name == "teacher" else 2, rng) for name, rate in rates.items()}
    settings = {"name": "peers", "task": "classification", "seeds": [0, 1], "classes": CLASSES}
    return build_verdict(predictions, **{**settings, **changes})
