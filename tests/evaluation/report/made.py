"""Runs that were never carried out: verdicts, logs and recipes made up to fill a page, hostile names among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck import Term
from limbeck.core.batch import as_batch
from limbeck.core.criterion import Criterion
from limbeck.data import Items
from limbeck.evaluation import (
    Export,
    Latency,
    ModelCost,
    Predictions,
    RunCost,
    TermGraph,
    Verdict,
    build_term_graph,
    build_verdict,
    choose_examples,
)
from limbeck.models import get
from limbeck.objectives import AttentionTransfer, HardTargets, Hint, SoftTargets

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "</svg><b>a & b", "$x_{1}$", "cat"]
SEEDS = (0, 1, 2)


def logits(labels: NDArray[np.int64], classes: int, seeds: int, right: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Answers that are right on about so many of the items, the same items by and large in every seed."""
    found = rng.normal(scale=1.0, size=(seeds, len(labels), classes))
    hard = rng.random(len(labels))
    for seed in range(seeds):
        good = hard + rng.normal(scale=0.05, size=len(labels)) < right
        chosen = np.where(good, labels, rng.integers(0, classes, len(labels)))
        found[seed, np.arange(len(labels)), chosen] += 3 + 3 * rng.random(len(labels))
    return found.astype(np.float32)


def answers(classes: int, items: int = 600, seed: int = 0) -> dict[str, Predictions]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, items)
    rates = {"teacher": (0.93, 1), "control": (0.80, len(SEEDS)), "student": (0.88, len(SEEDS))}
    return {arm: Predictions(logits(labels, classes, many, rate, rng), labels) for arm, (rate, many) in rates.items()}


def pictures(count: int, side: int = 32) -> Items:
    """Smooth random pictures in colour."""
    small = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, (side, side), mode="bicubic").clamp(0, 1)
    return Items.from_tensors((large * 255).to(torch.uint8))


def texts(count: int) -> Items:
    """Sentences, some of which are attacks and some whole pages."""
    words = "The film was slow, but its last half hour is as good as anything that I have seen this year."
    made = [words[: 20 + place % 70] for place in range(count)]
    made[::3] = [f"<script>alert('{place}')</script> & more" for place in range(0, count, 3)]
    made[1::9] = ["A long one. " * 60] * len(made[1::9])
    return Items.from_tensors(made)


EXPORTS = [
    Export(format=kind, precision=precision, model=model, path=f"exports/{model}-{precision}", bytes=size, metric=metric,
           ci95=(metric - 0.01, metric + 0.01), latency_ms=Latency(ms, 1.3 * ms), peak_memory_bytes=6 * size, max_abs_diff=diff)
    for kind, precision, model, size, metric, ms, diff in (
        ("onnx", "fp32", "teacher", 3_400_000, 0.93, 3.1, 2e-6),
        ("onnx", "fp32", "student", 310_000, 0.88, 0.42, 1e-6),
        ("onnx", "int8", "teacher", 930_000, 0.925, 1.9, 0.8),
        ("onnx", "int8", "student", 96_000, 0.876, 0.31, 0.7),
        ("executorch", "fp32", "teacher", 3_450_000, 0.93, 3.6, 3e-6),
        ("executorch", "fp32", "student", 320_000, 0.88, 0.39, 2e-6),
    )
]  # fmt: skip
FAILED = Export(
    format="executorch", precision="int8", error="line 12: if x.sum() > 0: <b>depends on the data</b>", remedy="use torch.where"
)


def wired() -> TermGraph:
    """Two real networks with an output term, a hint through an adapter and attention at every stage."""
    student, teacher = get("resnet_cifar", depth=8), get("resnet_cifar", depth=20)
    terms = [
        Term(HardTargets(), weight=0.1),
        Term(SoftTargets(), weight=0.9),
        Term(Hint(), student="layer2", teacher="layer3", adapter="conv_bn", weight={"linear": {"start": 1, "end": 0}}),
        Term(AttentionTransfer(), student="auto", weight=1000),
    ]
    batch = as_batch((torch.rand(2, 3, 32, 32), torch.tensor([0, 1])))
    criterion = Criterion(terms, student, teacher)
    criterion.build(batch)
    criterion.close()
    return build_term_graph([("", criterion)], batch)


def verdict(count: int = 5, items: Items | None = None, **changes: Any) -> Verdict:
    """A run with everything in it: three arms, three seeds, targets, exports of which one failed, and hostile names."""
    found = answers(count)
    shown = pictures(600) if items is None else items
    settings: dict[str, Any] = {
        "name": "a <b>run</b>",
        "task": "classification",
        "seeds": SEEDS,
        "classes": [*HOSTILE, *(f"class {place}" for place in range(len(HOSTILE), count))][:count],
        "model_costs": {
            "teacher": ModelCost(853_018, 3_430_000, 126_000_000, Latency(4.1, 4.9), 7_900_000),
            "student": ModelCost(75_290, 306_000, 12_700_000, Latency(0.62, 0.81), 1_300_000),
        },
        "targets": {"gain": 5, "retention": 0.9, "compression": 8, "parameters": 100_000, "speedup": 20},
        "cost": RunCost(student_steps=23_400, teacher_items=2_995_200, wall_s=4210.5),
        "exports": [*EXPORTS, FAILED],
        "examples": choose_examples(found, shown, SEEDS),
        "term_graph": wired(),
    }
    return build_verdict(found, **{**settings, **changes})


def several(rates: dict[str, float], **changes: Any) -> Verdict:
    """A run of several results or further controls: arms by name that are right on these shares of the items."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    found = {
        arm: Predictions(logits(labels, 3, 1 if arm == "teacher" else len(SEEDS), rate, rng), labels)
        for arm, rate in rates.items()
    }
    settings: dict[str, Any] = {
        "name": "several <b>",
        "task": "classification",
        "seeds": SEEDS,
        "classes": HOSTILE[:3],
        "examples": choose_examples(found, pictures(600), SEEDS),
        "cost": RunCost(student_steps=23_400, teacher_items=0, wall_s=420.5),
    }
    return build_verdict(found, **{**settings, **changes})


PEERS = {
    "a/student": 0.88, "a/control": 0.82, "b/student": 0.85, "b/control": 0.85, "both/student": 0.91, "both/control": 0.87,
}  # fmt: skip


def peers() -> Verdict:
    """Two peers and their ensemble, without a teacher."""
    costs = {
        "a/student": ModelCost(75_290, 306_000, 12_700_000, Latency(0.62, 0.81), 1_300_000),
        "b/student": ModelCost(290_000, 1_180_000, 31_000_000, Latency(1.9, 2.4), 2_900_000),
        "both/student": ModelCost(365_290, 1_486_000, 43_700_000, Latency(2.6, 3.3), 4_200_000),
    }
    return several(PEERS, model_costs=costs, targets={"gain": 2, "both.metric": 0.95})


LONG = "layer1 exit <b> of the network"


def exits() -> Verdict:
    """A student with a teacher, and two of its exits."""
    rates = {"teacher": 0.93, "student": 0.89, "control": 0.83}
    rates |= {f"{LONG}/student": 0.62, f"{LONG}/control": 0.60, "layer2/student": 0.80, "layer2/control": 0.74}
    costs = {
        "teacher": ModelCost(853_018, 3_430_000, 126_000_000, Latency(4.1, 4.9), 7_900_000),
        "student": ModelCost(75_290, 306_000, 12_700_000, Latency(0.62, 0.81), 1_300_000),
        f"{LONG}/student": ModelCost(12_000, 50_000, 3_700_000, Latency(0.21, 0.3), 700_000),
        "layer2/student": ModelCost(31_000, 126_000, 7_900_000, Latency(0.39, 0.5), 990_000),
    }
    return several(rates, model_costs=costs, targets={"gain": 2, "layer2.latency_ms": 0.4})


def controlled() -> Verdict:
    """A student with two controls besides that on labels."""
    costs = {
        "teacher": ModelCost(853_018, 3_430_000, 126_000_000, Latency(4.1, 4.9), 7_900_000),
        "student": ModelCost(75_290, 306_000, 12_700_000, Latency(0.62, 0.81), 1_300_000),
    }
    rates = {"teacher": 0.93, "student": 0.88, "control": 0.80, "smoothing": 0.84, "noise <i>": 0.88}
    return several(rates, model_costs=costs)


CLASS_WEIGHTS = {
    "soft_targets.teachers.good": {"0": 0.9, "1": 0.6, "4": 0.75},
    "soft_targets.teachers.random": {"0": 0.1, "1": 0.4, "4": 0.25},
}


def weights(progress: float) -> dict[str, dict[str, float]]:
    """What two teachers, of which the second is bad, and a weigher of items gave up to here."""
    share = 0.5 + 0.42 * min(1.0, 2 * progress)
    return {
        "soft_targets.teachers.good": {"mean": share, "spread": 0.05},
        "soft_targets.teachers.random": {"mean": 1 - share, "spread": 0.05},
        "<b>$x_.item_weight": {"mean": 1.2 - progress / 2, "spread": 0.3},
    }


def log(seeds: tuple[int, ...] = SEEDS, updates: int = 2000, every: int = 50, *, weighed: bool = False) -> str:
    """A training log as runs leave it, its last line torn off; `weighed`: with the weights of an ensemble and of items."""
    lines = [
        {"seed": 0, "arm": "teacher", "stage": 0, "step": at, "values": {"loss": 2 / (1 + at / 99)}}
        for at in range(50, 900, 50)
    ]
    for arm in ("student", "control"):
        terms = ["loss", "hard_targets", "soft_targets", "<b>$x_"] if arm == "student" else ["loss"]
        for seed in seeds:
            for at in range(every, updates + 1, every):
                value = (2.3 + 0.1 * seed) * np.exp(-at / 500) + (0.3 if arm == "student" else 0.2)
                values = {term: value * (1 + place) for place, term in enumerate(terms)}
                lines.append({"seed": seed, "arm": arm, "stage": 0, "step": at, "values": values})
                if arm == "student" and weighed:
                    lines[-1] |= {"weights": weights(at / updates), "class_weights": CLASS_WEIGHTS}
                if at % 250 == 0:
                    accuracy = 0.9 - 0.5 * np.exp(-at / 400) - (0.05 if arm == "control" else 0)
                    lines.append({"seed": seed, "arm": arm, "step": at, "validation": {"accuracy": accuracy}})
    return "".join(json.dumps(line) + "\n" for line in lines) + '{"seed": 0, "arm": "stud'


RECIPE = """name: made
teacher: {model: resnet_cifar, args: {depth: 20}}
student: {model: resnet_cifar, args: {depth: 8}}
terms:
- {objective: soft_targets, hyperparameters: {}}
note: '</pre><script>alert(3)</script>'
"""


def write(folder: Path, found: Verdict | None = None) -> Path:
    """A run directory with everything that a page is made of."""
    folder.mkdir(parents=True, exist_ok=True)
    (found or verdict()).save(folder / "verdict.json")
    (folder / "log.jsonl").write_text(log(weighed=True))
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder
