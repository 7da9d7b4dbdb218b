"""Measures the overhead of the engine in a TinyBERT stage: speed and peak memory against a loop written by hand.

    LIMBECK_DATA=… OMP_NUM_THREADS=1 python -m benchmarks.text_stage [--quick]

Teacher: all-MiniLM-L6-v2, 6 layers of 384. Student: 4 layers of 312, 12 heads, AdamW. Attention of the mapped layers and all
mapped hidden states, embeddings included, are compared by mean squared error over real tokens, through a linear map where
widths differ.

The loop by hand asks both models for `output_attentions` and `output_hidden_states` (eager attention) and compares what they
return: distributions. Limbeck compares scores before the softmax, as the paper does, and reads them through taps without
changing the models. Both read the same batches in turns within one process, so that the machine is in the same state for both;
the ratio is of tokens per second, the median over pairs of steps with its bootstrap interval. Before that both must give the
same loss where Limbeck compares distributions too, dropout off.

Peak memory is the growth of the resident memory of a fresh process over three steps on the longest batches, optimizer included,
the mean of two processes each. One pass of the teacher over such a batch is measured too, tapped and untapped.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import memory_growth, minilm
from benchmarks.bars import record
from benchmarks.relations import bootstrap
from limbeck import Criterion
from limbeck.core.actors import frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.core.taps.probe import Probe
from limbeck.core.terms import Term
from limbeck.data import Dataset, tokenize
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.models.loaders import import_package
from limbeck.models.shrink import layer_map, narrower
from limbeck.objectives import AttentionScores, HiddenStates

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.text_stage"
BATCH, WARM_UP, PROCESSES = 32, 3, 2
SIZES = {"layers": 4, "hidden": 312, "heads": 12, "feed_forward": 1200}
PAIRS = layer_map(4, 6)
Inputs = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Setting:
    """Which texts are read, and how many steps each side does."""

    file: str
    least: int  # tokens of a text
    steps: int

    def batches(self, count: int) -> list[Batch]:
        """Batches of like length, padded to their longest text."""
        found = tokenize(minilm.texts(self.file, 2_000), minilm.tokenizer(), 128)
        assert found.storage.lengths is not None
        source = Dataset(found.select((found.storage.lengths >= self.least).nonzero()[:, 0]), BATCH)
        return [source.batch(BatchPosition(number)) for number in range(count)]


SETTINGS = {"short": Setting("sst2/train", 3, 60), "long": Setting("agnews/train", 64, 24)}


def teacher(attention: str = "sdpa") -> nn.Module:
    model: nn.Module = import_package("transformers").AutoModel.from_pretrained(minilm.folder(), attn_implementation=attention)
    return model.eval()


def student(attention: str = "sdpa") -> nn.Module:
    torch.manual_seed(0)
    return narrower(teacher(attention), **SIZES)  # type: ignore[arg-type]


def terms(kind: str = "scores") -> list[Term]:
    attention = [Term(AttentionScores(), student=f"{kind}({m})", teacher=f"{kind}({n})") for m, n in PAIRS]
    return attention + [Term(HiddenStates(), student=f"hidden({m})", teacher=f"hidden({n})") for m, n in [(0, 0), *PAIRS]]


def stage(count: int) -> Stage:
    return Stage([Update(terms())], steps(count), Optimizer("adamw", lr=5e-5, options={"weight_decay": 0.01}))


class ByHand:
    """The same stage without Limbeck."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        self.student, self.teacher = student.train(), teacher.requires_grad_(False).eval()
        self.adapters = nn.ModuleList(nn.Linear(312, 384) for _ in range(len(PAIRS) + 1))
        parameters = [*student.parameters(), *self.adapters.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=5e-5, weight_decay=0.01)

    def loss(self, inputs: Inputs) -> Tensor:
        asked = {**inputs, "output_attentions": True, "output_hidden_states": True}
        with torch.no_grad():
            theirs = self.teacher(**asked)
        ours = self.student(**asked)
        real = inputs["attention_mask"].float()
        share = real / (real.sum(1, keepdim=True) * len(real))  # of each token in the loss
        total = torch.zeros(())
        for adapter, (m, n) in zip(self.adapters, [(0, 0), *PAIRS], strict=True):
            squares = (adapter(ours.hidden_states[m]) - theirs.hidden_states[n]).square().mean(2)
            total = total + (squares * share).sum()
        share = share / real.sum(1, keepdim=True)  # padded keys have no weight on either side
        for m, n in PAIRS:
            squares = (ours.attentions[m - 1] - theirs.attentions[n - 1]).square().sum(3).mean(1)
            total = total + (squares * share).sum()
        return total

    def step(self, inputs: Inputs) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(inputs).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


class Prepared(Source):
    """These batches, one after the other; `between` is called before each of them but that of the dry run."""

    def __init__(self, batches: list[Batch], between: Callable[[Inputs], None] = lambda inputs: None) -> None:
        self.batches, self.between = batches, between
        self.samples, self.steps_per_epoch = BATCH * len(batches), len(batches)
        self.dry = True

    def batch(self, place: BatchPosition) -> Batch:
        batch = self.batches[place.step % len(self.batches)]
        if not self.dry:
            self.between(dict(batch.inputs["default"]))
        self.dry = False
        return batch


class Turns:
    """One step by hand whenever the engine asks for its next batch, each side on a clock of its own."""

    def __init__(self, by_hand: ByHand) -> None:
        self.by_hand, self.bare, self.engine = by_hand, list[float](), list[float]()
        self.left: float | None = None

    def __call__(self, inputs: Inputs) -> None:
        arrived = time.perf_counter()
        if self.left is not None:
            self.engine.append(arrived - self.left)
        self.by_hand.step(inputs)
        self.left = time.perf_counter()
        self.bare.append(self.left - arrived)


def same_loss(batch: Batch) -> None:
    """Both sides on distributions, without dropout and with the same adapters."""
    by_hand = ByHand(student("eager"), teacher("eager"))
    by_hand.student.eval()
    criterion = Criterion(terms("attention"), student(), teacher(), example=batch)
    mine = iter(by_hand.adapters.parameters())
    for parameter in criterion.parameters():
        next(mine).data.copy_(parameter.data)
    criterion.actors["student"].model.eval()
    torch.testing.assert_close(criterion(batch)["loss"], by_hand.loss(dict(batch.inputs["default"])), rtol=1e-4, atol=0)
    criterion.close()


def through_engine(batches: list[Batch], count: int, between: Callable[[Inputs], None] = lambda inputs: None) -> Run:
    actors = {"student": trained(student()), "teacher": frozen(teacher())}
    settings = Settings(progress=False, device="cpu", threads=1)
    return Run(actors, [stage(count)], source=Prepared(batches, between), settings=settings)


def speed(name: str, quick: bool) -> None:
    count = 6 if quick else SETTINGS[name].steps
    batches = SETTINGS[name].batches(count)
    same_loss(batches[0])
    turns = Turns(ByHand(student("eager"), teacher("eager")))
    through_engine(batches, count, turns).fit()
    pairs = list(zip(turns.bare, turns.engine, strict=False))[WARM_UP:]
    value, interval = bootstrap([bare / engine for bare, engine in pairs])
    widths = [batch.inputs["default"]["input_ids"].shape[1] for batch in batches]
    real = statistics.mean(float(batch.inputs["default"]["attention_mask"].sum()) for batch in batches)
    by_hand, ours = (real / statistics.mean(side) for side in zip(*pairs, strict=True))
    data = (
        f"{SETTINGS[name].file}, batches of {BATCH} texts of {min(widths)} to {max(widths)} tokens, {len(pairs)} pairs of steps"
    )
    print(
        f"{data}: {ours:,.0f} tokens a second, {by_hand:,.0f} by hand; ratio {value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
    )
    if not quick:
        figure = f"TinyBERT stage through the engine ÷ a loop by hand, tokens per second, {name} texts"
        record("text", figure, "≥ 0.9", value, interval, value >= 0.9, COMMAND, f"{data}, one thread", [0])


# --- memory, in processes of their own -------------------------------------------------------------------------------


def longest(name: str) -> list[Batch]:
    batches = SETTINGS[name].batches(24)
    return sorted(batches, key=lambda batch: -batch.inputs["default"]["input_ids"].shape[1])[:3]


def work(kind: str, batches: list[Batch]) -> Callable[[], object]:
    """What is measured; models and libraries are loaded before."""
    if kind == "engine":
        return through_engine(batches, len(batches)).fit
    if kind == "by hand":
        by_hand = ByHand(student("eager"), teacher("eager"))
        return lambda: [by_hand.step(dict(batch.inputs["default"])) for batch in batches]
    model, inputs = teacher("eager" if kind == "eager" else "sdpa"), dict(batches[0].inputs["default"])
    taps = {"taps": [f"{read}({n})" for n in range(1, 7) for read in ("scores", "hidden")], "plain": ["hidden(6)"]}
    if kind == "eager":
        return torch.no_grad()(lambda: model(**inputs, output_attentions=True, output_hidden_states=True))
    return torch.no_grad()(lambda: Probe(model, taps[kind])(inputs))


def fresh_growth(kind: str, name: str) -> int:
    """The growth of a fresh process, in bytes."""
    command = [sys.executable, "-m", "benchmarks.text_stage", "--alone", kind, name]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back: peaks are of what is alive
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()[-1])


def memory(name: str, ours: str, theirs: str, figure: str, quick: bool) -> None:
    taken = {kind: [fresh_growth(kind, name) for _ in range(1 if quick else PROCESSES)] for kind in (ours, theirs)}
    mine, bare = (statistics.mean(taken[kind]) for kind in (ours, theirs))
    print(f"{figure}, {name} texts: {mine / 1e6:.1f} MB ÷ {bare / 1e6:.1f} MB = {mine / bare:.3f}")
    if not quick:
        ends = (min(taken[ours]) / max(taken[theirs]), max(taken[ours]) / min(taken[theirs]))
        note = f"{mine / 1e6:.0f} MB and {bare / 1e6:.0f} MB; growth of fresh processes, means and range of {PROCESSES} each"
        data = f"{SETTINGS[name].file}, the longest batches of {BATCH} texts, one thread"
        record("text", f"{figure}, {name} texts", "≤ 1", mine / bare, ends, mine <= bare, COMMAND, data, [0], note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps; nothing is recorded")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.alone:
        print(memory_growth.growth(work(given.alone[0], longest(given.alone[1]))))
        return
    for name in SETTINGS:
        speed(name, given.quick)
        memory(name, "engine", "by hand", "peak memory of a TinyBERT stage, engine ÷ loop by hand", given.quick)
    figure = "memory of a teacher's pass, scores and hidden states tapped ÷ output_attentions and output_hidden_states"
    memory("long", "taps", "eager", figure, given.quick)


if __name__ == "__main__":
    main()
