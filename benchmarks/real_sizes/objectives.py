"""Measures every objective at sensible shapes against its formula written straight in torch (`plain_objectives`).

    OMP_NUM_THREADS=1 python -m benchmarks.real_sizes objectives
    OMP_NUM_THREADS=1 python -m benchmarks.real_sizes.objectives hint flow     # some, printed and not recorded

Forward and backward pass, processor time of one thread, both forms in turns; the figure is the median of the ratios.
Peaks of memory are those of the allocator above what the inputs take. The table of all is `results/objectives.json`.
Both forms must give the same value, except where they draw at random or remember.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.bars import RESULTS, record
from benchmarks.real_sizes.plain_objectives import PLAIN
from benchmarks.real_sizes.timing import take_turns
from limbeck import objectives
from limbeck.core.objective import Objective
from limbeck.core.signals import detach, shape_of
from limbeck.utils.atomic_files import write_text_atomic

TOPIC, COMMAND = "real-sizes", "OMP_NUM_THREADS=1 python -m benchmarks.real_sizes objectives"
TURNS, LEAST_MS, LIMIT, SAMPLES = 5, 20.0, 1.5, 50_000
TABLE = RESULTS.parent / "objectives.json"
Shape = tuple[int, ...]

LOGITS, MAPS, VECTORS, HIDDEN = (64, 1000), (64, 256, 14, 14), (256, 768), (32, 128, 768)
TOKENS, ATTENTION, HEADS = (8, 128, 8192), (32, 12, 128, 128), (32, 12, 128, 64)
SHAPES: dict[str, Any] = {
    **dict.fromkeys(("forward_kl", "reverse_kl", "masked_kl", "jensen_shannon", "skew_kl", "skew_reverse_kl"), TOKENS),
    **dict.fromkeys(("total_variation", "universal_logit"), TOKENS),
    **dict.fromkeys(("span_targets", "span_soft_targets"), (64, 2, 384)),
    "squared_error": (64, 1),
    "flow": ((32, 64, 28, 28), (32, 128, 14, 14)),
    "review": ((8, 64, 28, 28), (8, 128, 14, 14)),
    "masked_generative": (8, 128, 14, 14),
    "partial_cross_attention": (HEADS,) * 3,
    "contrastive": (64, 768),
    "contrastive_memory": (64, 768),
    "attention_scores": ATTENTION,
    "attention_distributions": ATTENTION,
    "value_relation": HEADS,
    "self_attention_relations": (HEADS,) * 3,
    "margin_mse": (64, 8),
    "smoothness": (64, 3, 224, 224),
    "activation": MAPS,
    "batchnorm_statistics": (64, 3, 256),
    **dict.fromkeys(("cross_similarity", "info_nce", "embedding_mse", "embedding_cosine"), VECTORS),
}
OPTIONS: dict[str, dict[str, Any]] = {"adaptive_target": {"gamma": 1.4}, "contrastive": {"negatives": 16384}}
DRAWN = {"masked_generative", "partial_cross_attention", "contrastive", "contrastive_memory"}  # each form for itself


@dataclass
class Case:
    """An objective with inputs at its shape."""

    objective: Objective
    student: Any
    teacher: Any
    target: Tensor
    index: Tensor

    def loss(self) -> Tensor:
        given = {"target": self.target, "index": self.index}
        return self.objective(self.student, self.teacher, **given).mean()  # type: ignore[no-any-return]

    def plain(self) -> Tensor:
        return PLAIN[self.objective.name](self.objective, self.student, self.teacher, self.target, self.index)

    def backward(self, loss: Callable[[], Tensor]) -> None:
        loss().backward()
        for part in self.student if isinstance(self.student, tuple) else (self.student,):
            part.grad = None
        self.objective.zero_grad(set_to_none=True)


def case_of(name: str) -> Case:
    kind = objectives.registry[name]
    shape = SHAPES.get(name) or _shape_of(kind)
    torch.manual_seed(0)
    objective = objectives.get(name, **OPTIONS.get(name, {}))
    student, teacher = (_signal(shape, distributions=name == "attention_distributions") for _ in range(2))
    if not objective.built:
        objective.build(shape_of(student), shape_of(teacher), samples=SAMPLES)
    for part in student if isinstance(student, tuple) else (student,):
        part.requires_grad_()
    index = torch.randperm(SAMPLES)[: _parts(student)[0].shape[0]]
    made = Case(objective.train(), student, detach(teacher), _target(name, _parts(student)[0].shape), index)
    made.loss()  # the first call looks at the values
    return made


def _shape_of(kind: type[Objective]) -> Shape:
    if kind.expects and "hidden" in kind.expects[0]:
        return HIDDEN
    return LOGITS if kind.knowledge == "output" else MAPS if kind.ndims == (4,) or kind.knowledge == "feature" else VECTORS


def _parts(signal: Any) -> tuple[Tensor, ...]:
    return signal if isinstance(signal, tuple) else (signal,)


def _signal(shape: Any, *, distributions: bool) -> Any:
    if isinstance(shape[0], tuple):
        return tuple(torch.randn(part) for part in shape)
    return torch.randn(shape).softmax(-1) if distributions else torch.randn(shape)


def _target(name: str, shape: Shape) -> Tensor:
    if name == "squared_error":
        return torch.randn(shape[0])
    if name == "binary_cross_entropy":
        return torch.randint(2, shape)
    if name == "masked_kl":
        return torch.where(torch.rand(shape[:2]) < 0.15, torch.randint(shape[2], shape[:2]), -100)
    if name == "span_targets":
        return torch.randint(shape[2], shape[:2])
    return torch.randint(shape[-1], shape[:1])


def peak(run: Callable[[], object]) -> int:
    """Bytes above those that are allocated before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted(((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"), key=lambda pair: pair[0])
    now, most = 0, 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def measure(name: str) -> tuple[float, float, str]:
    """The ratios of time and of memory, and a line of text."""
    case = case_of(name)
    ours, theirs = case.loss(), case.plain()
    if name not in DRAWN and not torch.allclose(ours, theirs, rtol=2e-3, atol=1e-6):
        raise AssertionError(f"{name}: {float(ours)} is not {float(theirs)}")

    def repeated(loss: Callable[[], Tensor], times: int) -> Callable[[], None]:
        return lambda: [case.backward(loss) for _ in range(times)] and None

    began = time.process_time()
    case.backward(case.plain)
    times = max(1, round(LEAST_MS / 1e3 / max(time.process_time() - began, 1e-5)))
    seconds = take_turns({"ours": repeated(case.loss, times), "plain": repeated(case.plain, times)}, TURNS)
    ratio = statistics.median(a / b for a, b in zip(seconds["ours"], seconds["plain"], strict=True))
    memory = [peak(lambda loss=loss: case.backward(loss)) for loss in (case.loss, case.plain)]  # type: ignore[misc]
    milliseconds = {way: 1e3 * statistics.median(each) / times for way, each in seconds.items()}
    line = (
        f"{name}: {milliseconds['ours']:.3g} ms ÷ {milliseconds['plain']:.3g} ms = {ratio:.2f}; "
        f"{memory[0] / 1e6:.3g} MB ÷ {memory[1] / 1e6:.3g} MB = {memory[0] / max(memory[1], 1):.2f}"
    )
    print(line, flush=True)
    return ratio, memory[0] / max(memory[1], 1), line


def main() -> None:
    found = {name: measure(name) for name in objectives.names()}
    table = {
        name: {"time": round(seconds, 2), "memory": round(memory, 2), "measured": line.partition(": ")[2]}
        for name, (seconds, memory, line) in found.items()
    }
    rows = (f'"{name}":{json.dumps(row, ensure_ascii=False, separators=(",", ":"))}' for name, row in table.items())
    write_text_atomic(TABLE, "{\n" + ",\n".join(rows) + "\n}\n")  # a line for each
    data = (
        f"all {len(found)} objectives, logits {LOGITS}, maps {MAPS}, embeddings {VECTORS}, hidden states {HIDDEN}, token "
        f"logits {TOKENS}, 16,384 negatives of 50,000 items; forward and backward pass"
    )
    for figure, place in (("processor time", 0), ("peak of memory", 1)):
        worst = max(found, key=lambda name: found[name][place])
        value = found[worst][place]
        above = [name for name in found if found[name][place] > LIMIT]
        note = f"the largest is {found[worst][2]}; above the bar: {', '.join(above) or 'none'}"
        title = f"the slowest objective ÷ straightforward torch: {figure}"
        record(TOPIC, title, f"≤ {LIMIT}", value, None, value <= LIMIT, COMMAND, data, [0], note)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        measure(each)
