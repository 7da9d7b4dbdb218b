"""Measures what a training step costs beside a loop by hand, where the networks take about a millisecond.

    OMP_NUM_THREADS=1 python -m benchmarks.real_sizes steps

A multilayer perceptron learns from labels alone, or from a larger one too, through the engine and by a loop by hand that does
the same: batches in memory, the teacher without gradient, momentum, the mean of every term over 50 steps for a log, and an end
if the loss is not finite. Both take turns of 100 steps on one thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.bars import record
from benchmarks.real_sizes.timing import median_with_interval, take_turns
from limbeck import Optimizer, Settings, Stage, Term, Update, frozen, steps, trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.engine import Run
from limbeck.objectives import HardTargets, SoftTargets

TOPIC, COMMAND = "real-sizes", "OMP_NUM_THREADS=1 python -m benchmarks.real_sizes steps"
BATCH, FEATURES, CLASSES, STUDENT, TEACHER = 128, 64, 10, 128, 256
BATCHES, STEPS, TURNS, LOGGED = 50, 100, 60, 50
MANY = (4.0, 2.0, 3.0, 5.0, 6.0)  # temperatures of terms, of which the first is that of a single one
RATE = 0.01


def perceptron(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES))


def models() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return perceptron(STUDENT), perceptron(TEACHER)


class Prepared(Source):
    """Batches in memory, so that only the step is measured."""

    samples, steps_per_epoch = BATCH * BATCHES, BATCHES

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.batches = [
            Batch(
                {"default": torch.randn(BATCH, FEATURES, generator=draw)},
                target=torch.randint(CLASSES, (BATCH,), generator=draw),
            )
            for _ in range(BATCHES)
        ]

    def batch(self, position: BatchPosition) -> Batch:
        return self.batches[position.step % BATCHES]


def through_the_engine(temperatures: Sequence[float]) -> Callable[[], object]:
    """A turn of steps of a `Run`."""
    student, teacher = models()
    terms = [Term(HardTargets())]
    terms += [Term(SoftTargets(temperature=each), weight=1.0, name=f"soft at {each}") for each in temperatures]
    optimizer = Optimizer("sgd", lr=RATE, options={"momentum": 0.9})
    settings = Settings(progress=False, device="cpu", threads=1, trackers=(), log_every=LOGGED)
    actors = {"student": trained(student), "teacher": frozen(teacher)}
    run = Run(actors, [Stage([Update(terms)], steps(10**6), optimizer)], source=Prepared(), settings=settings)
    return lambda: run.advance(STEPS)


def by_hand(temperatures: Sequence[float]) -> Callable[[], object]:
    """A turn of steps of a plain loop."""
    student, teacher = models()
    teacher.eval().requires_grad_(False)
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE, momentum=0.9)
    source, done, sums = Prepared(), 0, {}  # type: ignore[var-annotated]
    log: list[dict[str, float]] = []

    def turn() -> None:
        nonlocal done
        for _ in range(STEPS):
            batch = source.batch(BatchPosition(done))
            inputs, target = batch.inputs["default"], batch.target
            assert isinstance(target, Tensor)
            optimizer.zero_grad()
            ours = student(inputs)
            loss = F.cross_entropy(ours, target)
            values = {"hard": loss}
            if temperatures:
                with torch.no_grad():
                    theirs = teacher(inputs)
            for each in temperatures:
                log_q, log_p = F.log_softmax(ours / each, -1), F.log_softmax(theirs / each, -1)
                values[f"soft at {each}"] = each**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
                loss = loss + values[f"soft at {each}"]
            if not math.isfinite(loss.item()):
                raise FloatingPointError("the loss is not finite")
            loss.backward()
            optimizer.step()
            for name, value in (*values.items(), ("loss", loss)):
                sums[name] = sums.get(name, 0.0) + value.detach()
            done += 1
            if done % LOGGED == 0:
                log.append({name: float(total) / LOGGED for name, total in sums.items()})
                sums.clear()

    return turn


def main() -> None:
    parts = {
        f"{way}, {name}": make(temperatures)
        for name, temperatures in (("plain", ()), ("teacher", MANY[:1]), ("many", MANY))
        for way, make in (("hand", by_hand), ("engine", through_the_engine))
    }
    milliseconds = {name: [1e3 * t / STEPS for t in each] for name, each in take_turns(parts, TURNS).items()}
    data = (
        f"perceptrons of {FEATURES}, {STUDENT}, {STUDENT}, {CLASSES} (teacher: {TEACHER}), batches of {BATCH} in memory, one "
        f"thread, {TURNS} turns of {STEPS} steps in processor time"
    )
    note = "; ".join(f"{name}: {median_with_interval(each)[0]:.3f} ms" for name, each in milliseconds.items())
    ways = {name: (milliseconds[f"engine, {name}"], milliseconds[f"hand, {name}"]) for name in ("plain", "teacher", "many")}
    pairs = {name: list(zip(*both, strict=True)) for name, both in ways.items()}
    extra = {name: [ours - theirs for ours, theirs in each] for name, each in pairs.items()}
    terms = [(many - one) / (len(MANY) - 1) for many, one in zip(extra["many"], extra["teacher"], strict=True)]
    ratio = {name: [ours / theirs for ours, theirs in each] for name, each in pairs.items()}
    for figure, bar, limit, values in (
        ("tiny perceptron with a teacher: step through the engine ÷ by hand", "≤ 1.2", 1.2, ratio["teacher"]),
        ("tiny perceptron on labels: step through the engine ÷ by hand", "none", math.inf, ratio["plain"]),
        ("what the engine adds to a step with a teacher, ms", "≤ 0.25", 0.25, extra["teacher"]),
        ("what the engine adds for one more term, ms", "≤ 0.05", 0.05, terms),
    ):
        value, ci95 = median_with_interval(values)
        print(f"{figure}: {value:.3f} [{ci95[0]:.3f}, {ci95[1]:.3f}] ({bar})")
        record(TOPIC, figure, bar, value, ci95, value <= limit, COMMAND, data, [0], note)


if __name__ == "__main__":
    main()
