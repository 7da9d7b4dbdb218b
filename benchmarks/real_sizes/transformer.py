"""Measures a distillation of a Transformer at 32 × 128 tokens against Transformers' `Trainer` with the loss written by hand.

    OMP_NUM_THREADS=1 python -m benchmarks.real_sizes transformer

A BERT classifier of 4 layers of 256 learns from labels and from one of 6 layers of 384, both with random weights and
without dropout. The Trainer's `compute_loss` is what its documentation shows. Its default optimizer is torch's fused
AdamW, which Limbeck is told to use too. Both take turns of a step, on one thread, and their weights must agree at the
end.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from benchmarks.bars import record
from benchmarks.real_sizes.timing import median_with_interval
from benchmarks.turns import Turns, TurnSource
from limbeck import Optimizer, Settings, Stage, Term, Update, frozen, steps, trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.engine import Run
from limbeck.objectives import HardTargets, SoftTargets

TOPIC, COMMAND = "real-sizes", "OMP_NUM_THREADS=1 python -m benchmarks.real_sizes transformer"
BATCH, TOKENS, VOCABULARY, CLASSES = 32, 128, 8192, 4
STEPS, WARM_UP, TEMPERATURE, RATE, CLIP = 16, 2, 2.0, 1e-4, 1.0
OURS, THEIRS = "limbeck", "trainer"


def bert(layers: int, width: int) -> nn.Module:
    config = BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        num_labels=CLASSES,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(width)
    return BertForSequenceClassification(config)


def batches() -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    return [
        {
            "input_ids": torch.randint(VOCABULARY, (BATCH, TOKENS), generator=draw),
            "attention_mask": torch.ones(BATCH, TOKENS, dtype=torch.int64),
            "labels": torch.randint(CLASSES, (BATCH,), generator=draw),
        }
        for _ in range(4)
    ]


class Prepared(Source):
    """The batches, in memory."""

    samples, steps_per_epoch = 4 * BATCH, 4

    def __init__(self) -> None:
        self.made = [self._batch(dict(each)) for each in batches()]

    @staticmethod
    def _batch(inputs: dict[str, Tensor]) -> Batch:
        target = inputs.pop("labels")
        return Batch({"default": inputs}, target=target)

    def batch(self, position: BatchPosition) -> Batch:
        return self.made[position.step % len(self.made)]


class Loader:
    """The same batches for a Trainer, which asks for each in its turn."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.batches = turns, batches()

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for step in range(STEPS):
            self.turns.next(THEIRS, step)
            yield dict(self.batches[step % len(self.batches)])


class ByHand(Trainer):
    """A Trainer with a teacher."""

    def __init__(self, teacher: nn.Module, loader: Loader, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.teacher, self.loader = teacher.eval(), loader

    def get_train_dataloader(self) -> Any:
        return self.loader

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **options: Any) -> Tensor:
        labels = inputs.pop("labels")
        ours = model(**inputs).logits
        with torch.no_grad():
            theirs = self.teacher(**inputs).logits
        log_q, log_p = F.log_softmax(ours / TEMPERATURE, -1), F.log_softmax(theirs / TEMPERATURE, -1)
        soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * TEMPERATURE**2
        return F.cross_entropy(ours, labels) + soft


def through_limbeck(student: nn.Module, teacher: nn.Module, turns: Turns) -> None:
    terms = [Term(HardTargets()), Term(SoftTargets(temperature=TEMPERATURE), weight=1.0)]
    stage = Stage([Update(terms)], steps(STEPS), Optimizer("adamw", lr=RATE, options={"weight_decay": 0.0, "fused": True}))
    settings = Settings(progress=False, device="cpu", threads=1, trackers=(), clip=CLIP)
    actors = {"student": trained(student), "teacher": frozen(teacher)}
    Run(actors, [stage], source=TurnSource(Prepared(), turns, OURS), settings=settings).fit()


def through_the_trainer(student: nn.Module, teacher: nn.Module, turns: Turns) -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=CLIP,
            logging_steps=50,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        ByHand(teacher, Loader(turns), student, arguments).train()


def main() -> None:
    torch.set_num_threads(1)
    start, teacher = bert(4, 256), bert(6, 384)
    students = {name: copy.deepcopy(start) for name in (OURS, THEIRS)}
    turns = Turns((OURS, THEIRS))
    turns.run(
        {
            OURS: lambda: through_limbeck(students[OURS], teacher, turns),
            THEIRS: lambda: through_the_trainer(students[THEIRS], copy.deepcopy(teacher), turns),
        }
    )
    for one, other in zip(students[OURS].parameters(), students[THEIRS].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=2e-4)
    report({name: each[WARM_UP:] for name, each in turns.seconds.items()})


def report(seconds: dict[str, Sequence[float]]) -> None:
    ratios = [theirs / ours for ours, theirs in zip(seconds[OURS], seconds[THEIRS], strict=False)]
    value, ci95 = median_with_interval(ratios)
    a_second = {name: BATCH * TOKENS / median_with_interval(each)[0] for name, each in seconds.items()}
    note = f"{a_second[OURS]:,.0f} against {a_second[THEIRS]:,.0f} tokens in a second of processor time"
    figure = f"Transformer student, {BATCH} × {TOKENS} tokens: tokens per second ÷ Trainer with the loss by hand"
    print(f"{figure}: {value:.3f} [{ci95[0]:.3f}, {ci95[1]:.3f}] (≥ 1.0); {note}")
    data = f"BERT of 4 layers of 256 from one of 6 of 384, random weights and tokens, one thread, {len(ratios)} pairs of steps"
    record(TOPIC, figure, "≥ 1.0", value, ci95, value >= 1.0, COMMAND, data, [0], note)


if __name__ == "__main__":
    main()
