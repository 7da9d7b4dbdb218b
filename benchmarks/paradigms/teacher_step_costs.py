"""What a step of each method with several teachers, and of each dynamic one, costs against plain distillation.

    python -m benchmarks.paradigms.teacher_step_costs     # needs LIMBECK_DATA

fashion_mnist, a student and teachers of 24,000 parameters, batches of 128, one thread, float32. Logits of teachers are cached.
The methods take turns, 20 steps at a time; the medians of processor time are compared with those of `hinton` with one cached
teacher. The steps in which `balanced` measures gradients, every tenth, do not show in the median.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.bars import record
from benchmarks.paradigms.small_images import SETTINGS, Bench, load, rows, seeded
from limbeck import methods, models
from limbeck.core.actors import trained
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset
from limbeck.engine import Optimizer, Run, Stage, Update, steps

NET = functools.partial(models.get, "tiny_cnn", width=16)
SEVERAL: dict[str, dict[str, Any]] = {
    "averaged_teachers": {},
    "eb_kd": {},
    "agreeing_teachers": {},
    "ca_mkd": {"hint": 0},
    "gated_teachers": {},
    "drawn_teacher": {},
    "teachers_by_uncertainty": {},
}
ONE: dict[str, dict[str, Any]] = {
    "hinton": {},
    "wsld": {},
    "easy_by_labels": {},
    "uncertain_items": {},
    "dynamic_temperature": {},
    "ctkd": {},
    "annealed": {},
    "balanced": {},
}
TURNS, COUNT = 4, 20


class Timed(Dataset):
    """A data set that records the processor time of each request for a batch."""

    moments: list[float]

    def batch(self, position: BatchPosition) -> Any:
        self.moments.append(time.process_time())
        return super().batch(position)


def update_of(method: str, given: dict[str, Any]) -> Update:
    """The one update that a method makes."""
    made = methods.call(method, given, length=steps(COUNT))
    return made["stages"][0].updates[0] if "stages" in made else Update(list(made["terms"]))


def measure(
    bench: Bench, method: str, given: dict[str, Any], nets: list[torch.nn.Module], items: Any, seed: int
) -> list[float]:
    """Seconds of processor time of the steps of a short training."""
    source = Timed(items, 128, view_count=1, view_seed=0)
    source.moments = []
    names = ["teacher"] if method in ONE else [f"teachers.{k}" for k in range(len(nets))]
    actors = {name: bench.cached(net, items) for name, net in zip(names, nets, strict=False)}
    stage = Stage([update_of(method, given)], steps(COUNT + 4), Optimizer("adamw", 1e-3))
    Run({"student": trained(seeded(NET, seed)), **actors}, [stage], source=source, seed=seed, settings=SETTINGS).fit()
    return [after - before for before, after in zip(source.moments, source.moments[1:], strict=False)][4:]


def main() -> None:
    torch.set_num_threads(1)
    items = rows(load("fashion_mnist", "train"), 0, 4_000)
    nets = [seeded(NET, seed).eval() for seed in range(3)]
    seconds: dict[str, list[float]] = {name: [] for name in (*ONE, *SEVERAL)}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), items)
        for turn in range(TURNS):
            for name, given in (*ONE.items(), *SEVERAL.items()):
                seconds[name] += measure(bench, name, given, nets, items, turn)
        bench.open.close()
    plain = statistics.median(seconds["hinton"])
    for name, found in seconds.items():
        if name == "hinton":
            continue
        ratio = statistics.median(found) / plain
        print(f"{name}: {1e3 * statistics.median(found):.1f} ms, {ratio:.3f} of {1e3 * plain:.1f} ms", flush=True)
        teachers = "three cached teachers" if name in SEVERAL else "a cached teacher"
        record(
            "paradigms",
            f"step of {name} with {teachers} ÷ step of plain distillation from one",
            "none; what it costs",
            ratio,
            None,
            True,
            "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.teacher_step_costs",
            f"fashion_mnist, 24k-parameter networks, batches of 128, processor time, medians of {len(found)} steps in turns",
            [0],
        )


if __name__ == "__main__":
    main()
