"""Measures what the general form of a distillation gives: ensembles, supernets, peers, stages. Handwritten digits, one thread.

    python -m benchmarks.core                # all
    python -m benchmarks.core ensemble       # one of ensemble, supernet, peers, stages

- ensemble: three frozen teachers, one of them with random weights. The student learns from their mean, from the mean that
  trusts each teacher on each item as far as it is right there, or from the better of the two trained ones.
- supernet: a network of several widths that share weights and BatchNorm layers; its smallest width before and after its
  statistics are measured again.
- peers: the time of two networks that learn from each other, divided by the time of both trained alone.
- stages: hints for one layer after the other, with adapters that go on in the next stage or are built anew in each, against all
  hints from the start.

Differences have 95 % intervals of the paired bootstrap over test items and seeds. A seed stands for new teachers, new
labels and a new student.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.bars import record
from benchmarks.turns import Turns, TurnSource
from limbeck import (
    Dataset,
    Distillation,
    Ensemble,
    Optimizer,
    Settings,
    Stage,
    Term,
    Training,
    Update,
    Variant,
    epochs,
    frozen,
    load_items,
    steps,
)
from limbeck.data import Items, to_float
from limbeck.engine import Length
from limbeck.evaluation.statistics import Gain, interval, paired_gain
from limbeck.models import tiny_cnn
from limbeck.objectives import HardTargets, Hint, SoftTargets

SEEDS: dict[str, Sequence[int]] = {
    "ensemble": range(8, 24),  # its settings were chosen on seeds 0 to 7
    "supernet": range(5),
    "stages": range(3, 9),  # likewise on seeds 0 to 2
    "peers": range(1),
}
TURN = 8  # steps
TEACHER, STUDENT = 32, 8  # widths of the networks
Scores = dict[str, list[list[float]]]  # of each arm: by seed, 1 for each test item that it classifies correctly, otherwise 0


def training(length: Length, batch_size: int = 64) -> Training:
    """How all models here are trained."""
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    optimizer = Optimizer("adamw", lr=3e-3, options={"weight_decay": 0.01})
    return Training(length, batch_size, optimizer=optimizer, settings=settings)


def student() -> nn.Module:
    return tiny_cnn(STUDENT, size=8)


def images(items: Items) -> Tensor:
    return to_float(items.fetch(torch.arange(len(items))))


def correct(model: nn.Module, items: Items) -> list[float]:
    """1 for each item that the model classifies correctly, otherwise 0."""
    assert isinstance(items.target, Tensor)
    with torch.no_grad():
        return (model.eval()(images(items)).argmax(-1) == items.target).float().tolist()


def trained_teacher(items: Items, seed: int, length: Length) -> nn.Module:
    """A teacher that has learned from labels."""
    terms = [Term(HardTargets())]
    job = Distillation(lambda: tiny_cnn(TEACHER, size=8), terms=terms, control=False, training=training(length), seeds=[seed])
    return job.fit(items)


def few_labels(items: Items, count: int, seed: int) -> Items:
    """This many items, as evenly over the classes as possible."""
    return items.keep_labels(count, seed=seed).labelled()


def points(gain: Gain) -> tuple[float, tuple[float, float]]:
    """A difference of accuracies and its interval, in points."""
    return 100 * gain.value, (100 * gain.ci95[0], 100 * gain.ci95[1])


def report(command: str, figure: str, bar: str, value: float, ci95: Sequence[float], met: bool, data: str, note: str) -> None:
    print(f"{figure}: {value:.4g} [{ci95[0]:.4g}, {ci95[1]:.4g}] ({bar}: {'met' if met else 'not met'}); {note}")
    record("core", figure, bar, value, ci95, met, f"python -m benchmarks.core {command}", data, list(SEEDS[command]), note)


# --- ensemble -----------------------------------------------------------------------------------------------------------


def random_teacher(inputs: Tensor, seed: int) -> nn.Module:
    """A network with random weights, whose BatchNorm statistics are those of the inputs."""
    torch.manual_seed(seed)
    model = tiny_cnn(TEACHER, size=8).train()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        model(inputs)
    return model.eval()


def ensemble_seed(
    train: Items, test: Items, seed: int, *, teacher_length: Length, length: Length
) -> tuple[dict[str, list[float]], float]:
    """Returns which test items each arm of a seed gets right, and the mean weight that confidence gave the random teacher."""
    found = {
        n: trained_teacher(few_labels(train, 300, 100 * seed + k), 10 * seed + k, teacher_length) for k, n in enumerate("ab")
    }
    best = max(found, key=lambda name: float(np.mean(correct(found[name], train))))
    found["random"] = random_teacher(images(train), seed)
    actors = {"student": student, **{f"teachers.{name}": frozen(model) for name, model in found.items()}}
    targets = {
        "confidence": Ensemble("teachers.*", by="confidence", combine="probabilities"),
        "mean": Ensemble("teachers.*", combine="probabilities"),
        "mean of logits": Ensemble("teachers.*"),
        "best teacher": f"teachers.{best}",
    }
    items, scores, weight = few_labels(train, 100, 1000 + seed), {}, float("nan")
    for name, target in targets.items():
        stage = Stage([Update([Term(SoftTargets(temperature=1), teacher=target)])], length)
        with tempfile.TemporaryDirectory() as folder:
            how = {"control": False, "training": training(length, 32), "seeds": [seed], "folder": folder}
            scores[name] = correct(Distillation(actors=actors, stages=[stage], **how).fit(items), test)
            if name == "confidence":
                weight = random_weight(Path(folder) / "log.jsonl")
    return scores, weight


def random_weight(log: Path) -> float:
    """The mean weight of the random teacher over a training, from its log."""
    entries = [json.loads(line).get("weights", {}) for line in log.read_text(encoding="utf-8").splitlines()]
    return float(np.mean([own["mean"] for entry in entries for name, own in entry.items() if "teachers.random" in name]))


def ensemble() -> None:
    train, test = load_items("digits", split="train"), load_items("digits", split="test")
    lengths = {"teacher_length": epochs(30), "length": steps(200)}
    by_seed = [ensemble_seed(train, test, seed, **lengths) for seed in SEEDS["ensemble"]]
    scores = {name: [one[0][name] for one in by_seed] for name in by_seed[0][0]}
    accuracy = ", ".join(f"{name} {100 * np.mean(own):.1f}" for name, own in scores.items())
    data = "digits, student on 100 labelled images, two teachers on 300 each and one with random weights"
    for other, bar in (
        ("mean", "> 0, interval above 0"),
        ("best teacher", "> 0, interval above 0"),
        ("mean of logits", "none"),
    ):
        value, ci95 = points(paired_gain(scores["confidence"], scores[other]))
        figure = f"ensemble by confidence: accuracy gained over the {other}, points"
        report("ensemble", figure, bar, value, ci95, bar == "none" or ci95[0] > 0, data, f"accuracy: {accuracy}")
    weights = np.array([one[1] for one in by_seed])
    spread = (float(weights.min()), float(weights.max()))
    figure = "ensemble by confidence: weight of the random teacher"
    report("ensemble", figure, "≤ 0.1", weights.mean(), spread, weights.mean() <= 0.1, data, "least and most")


# --- supernet -----------------------------------------------------------------------------------------------------------


class Slimmable(nn.Module):
    """A supernet for images of 8×8 pixels: the first channels of its layers are networks of their own; BatchNorm is shared."""

    def __init__(self, widths: Sequence[int] = (8, 16, 24, 32), classes: int = 10) -> None:
        super().__init__()
        width, self.widths = max(widths), tuple(widths)
        shapes = [(1, width), (width, width), (width, width)]
        self.layers = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o in shapes)
        self.linear = nn.Linear(width, classes)
        self.variants = {
            "max": Variant(AtWidth([max(widths)])),
            "min": Variant(AtWidth([min(widths)])),
            "recalibrated": Variant(AtWidth([min(widths)]), recalibrate=True),
            "random.a": Variant(AtWidth(widths)),
            "random.b": Variant(AtWidth(widths)),
        }

    def forward(self, x: Tensor, width: int | None = None) -> Tensor:
        width = width or max(self.widths)
        for layer, norm, stride in zip(self.layers, self.norms, (1, 2, 1), strict=True):
            x = F.conv2d(x, layer.weight[:width, : x.shape[1]], stride=stride, padding=1)
            mean, variance = norm.running_mean[:width], norm.running_var[:width]
            x = F.relu(F.batch_norm(x, mean, variance, norm.weight[:width], norm.bias[:width], self.training, norm.momentum))
        return F.linear(x.mean((2, 3)), self.linear.weight[:, :width], self.linear.bias)


class AtWidth:
    """Runs the first channels of a supernet, at one of some widths."""

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = tuple(widths)

    def __call__(self, model: nn.Module, inputs: Tensor, generator: torch.Generator) -> Tensor:
        return model(inputs, self.widths[int(torch.randint(len(self.widths), (), generator=generator))])


def supernet_scores(train: Items, test: Items, seeds: Sequence[int], length: Length) -> Scores:
    """Trains by the sandwich rule: the largest width on labels, the smallest and two at random on the largest one's outputs."""
    others = [f"student@{name}" for name in ("min", "random.a", "random.b")]
    terms = [Term(HardTargets(), student="student@max")]
    terms += [Term(SoftTargets(temperature=1), student=name, teacher="student@max") for name in others]
    results = {"before": "student@min", "after": "student@recalibrated", "whole": "student@max"}
    job = Distillation(Slimmable, terms=terms, evaluate=results, control=False, training=training(length), seeds=seeds)
    job.fit(train)
    return {name: [correct(model, test) for model in job.arms[f"{name}/student"]] for name in results}


def supernet() -> None:
    train, test = load_items("digits", split="train"), load_items("digits", split="test")
    scores = supernet_scores(train, test, SEEDS["supernet"], epochs(30))
    data = f"digits, {len(train):,} images; widths 8 to 32, sandwich rule, shared BatchNorm"
    accuracy = ", ".join(f"{name} {100 * np.mean(own):.1f}" for name, own in scores.items())
    value, ci95 = interval(scores["after"])
    figure = "supernet: accuracy of the smallest width after its BatchNorm statistics are measured again"
    in_points = (100 * ci95[0], 100 * ci95[1])
    report("supernet", figure, "≥ 93", 100 * value, in_points, value >= 0.93, data, f"accuracy: {accuracy}")
    gained, around = points(paired_gain(scores["after"], scores["before"]))
    figure = "supernet: what measuring them again gives the smallest width, points"
    report("supernet", figure, "> 0, interval above 0", gained, around, around[0] > 0, data, f"accuracy: {accuracy}")


# --- peers --------------------------------------------------------------------------------------------------------------


def peer_job(turns: Turns, names: Sequence[str], items: Items, length: Length) -> Distillation:
    """Networks trained alone, or as peers that also learn from each other, on batches that they take in turns with others."""
    terms = [Term(HardTargets(), student="peers.*")]
    if len(names) > 1:
        terms.append(Term(SoftTargets(temperature=1), student="peers.*", teacher="peers.*"))
    source = TurnSource(Dataset(items, 128), turns, "+".join(names))
    stage = Stage([Update(terms, trains="peers.*", source=source)], length)
    actors = {f"peers.{name}": lambda: tiny_cnn(TEACHER, size=8) for name in names}
    return Distillation(actors=actors, stages=[stage], control=False, training=training(length, 128))


def peer_ratios(items: Items, length: Length, warm_up: int = 1) -> np.ndarray:
    """For each turn, the time of two peers divided by that of both alone; the three trainings take turns of `TURN` steps."""
    turns = Turns(("a+b", "a", "b"), TURN)
    turns.run({party: peer_job(turns, party.split("+"), items, length).fit for party in turns.parties})
    both, a, b = (np.array(turns.seconds[party][warm_up:]) for party in turns.parties)
    step = [1e3 * float(np.median(seconds)) / TURN for seconds in (both, a, b)]
    print(f"two peers {step[0]:.2f} ms a step, alone {step[1]:.2f} and {step[2]:.2f} ms")
    return both / (a + b)


def peers() -> None:
    items = load_items("digits", split="train")
    ratios = peer_ratios(items, steps(24 * TURN))
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    value, (low, high) = float(np.median(ratios)), np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    data = f"digits, tiny_cnn of width {TEACHER}, batches of 128, one thread"
    note = (
        f"processor time, median of {len(ratios)} turns of {TURN} steps that the three trainings take in turns, in one process"
    )
    figure = "mutual learning of two peers ÷ both trained alone, time"
    report("peers", figure, "≤ 1.05", value, (low, high), value <= 1.05, data, note)


# --- stages -------------------------------------------------------------------------------------------------------------

LAYERS = ("layer1", "layer2", "layer3")


def hint_stages(kind: str, length: Length) -> list[Stage]:
    """Stages of equal length in all: `one shot`, or a hint more in each, with adapters `carried` on or built `anew`.

    Adapters go on in terms of the same name; a name of its own in each stage makes the adapters new.
    """
    count = len(LAYERS)
    found = []
    for number in range(count):
        layers = LAYERS if kind == "one shot" else LAYERS[: number + 1]
        of = f" of stage {'abc'[number]}" if kind == "anew" else ""
        hints = [Term(Hint(), student=layer, teacher=layer, weight=10.0, name=f"hint {layer}{of}") for layer in layers]
        found.append(Stage([Update([Term(HardTargets()), *hints])], steps(round(length.count / count))))
    return found if kind != "one shot" else [Stage(found[0].updates, steps(count * round(length.count / count)))]


def stage_scores(train: Items, test: Items, seed: int, *, teacher_length: Length, length: Length) -> dict[str, list[float]]:
    """Returns which test items each arm of a seed gets right."""
    teacher = trained_teacher(train, seed, teacher_length)
    items, scores = few_labels(train, 200, 1000 + seed), {}
    for kind in ("carried", "anew", "one shot"):
        how: Mapping[str, Any] = {"control": False, "training": training(length, 32), "seeds": [seed]}
        scores[kind] = correct(Distillation(student, teacher, stages=hint_stages(kind, length), **how).fit(items), test)
    return scores


def stages() -> None:
    train, test = load_items("digits", split="train"), load_items("digits", split="test")
    lengths = {"teacher_length": epochs(20), "length": steps(360)}
    by_seed = [stage_scores(train, test, seed, **lengths) for seed in SEEDS["stages"]]
    scores = {name: [one[name] for one in by_seed] for name in by_seed[0]}
    accuracy = ", ".join(f"{name} {100 * np.mean(own):.1f}" for name, own in scores.items())
    data = "digits, student on 200 labelled images, teacher on all; a hint more in each of three stages"
    for other, against in (("anew", "adapters built anew in each stage"), ("one shot", "all hints from the start")):
        value, ci95 = points(paired_gain(scores["carried"], scores[other]))
        figure = f"progressive hints with adapters that go on: accuracy gained over {against}, points"
        bar, met = ("> 0, interval above 0", ci95[0] > 0) if other == "anew" else ("interval not below 0", ci95[1] >= 0)
        report("stages", figure, bar, value, ci95, met, data, f"accuracy: {accuracy}")


PARTS = {"ensemble": ensemble, "supernet": supernet, "peers": peers, "stages": stages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    torch.set_num_threads(1)
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
