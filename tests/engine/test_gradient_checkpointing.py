"""Blocks that are computed again give the same weights, statistics and signals, and keep less."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.actors import frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.core.terms import Term
from limbeck.engine import Run, Settings, Stage, Update, steps
from limbeck.objectives import HardTargets, Hint, SoftTargets
from limbeck.objectives.transformers import AttentionDistributions

transformers = pytest.importorskip("transformers")


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Linear(width, 8 * width), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.norm = nn.BatchNorm1d(8 * width, momentum=None)
        self.narrow = nn.Linear(8 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.norm(self.wide(x)))


def residual(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Sequential(*(Block(8) for _ in range(4))), nn.Linear(8, 3))


def bert(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, num_labels=3
    )
    return transformers.BertForSequenceClassification(config)


class Inputs(Source):
    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs

    def batch(self, position: BatchPosition) -> Batch:
        return Batch({"default": self.inputs}, torch.arange(6) % 3)


VECTORS = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
TOKENS = {"input_ids": torch.arange(60).reshape(6, 10) % 20, "attention_mask": torch.ones(6, 10, dtype=torch.int64)}
HINTS = [Term(HardTargets()), Term(SoftTargets()), Term(Hint(), student="1.1.norm", teacher="1.2.norm")]
ATTENTION = [Term(HardTargets()), Term(AttentionDistributions(), student="attention(-1)", teacher="attention(-1)")]
CASES = {"residual": (residual, VECTORS, HINTS), "bert": (bert, TOKENS, ATTENTION)}


@functools.cache
def fit(case: str, *, checkpointed: bool) -> tuple[nn.Module, int]:
    """Returns the trained student, and the most bytes that autograd has kept of a forward pass outside of its blocks."""
    build, inputs, terms = CASES[case]
    settings = Settings(progress=False, trackers=(), device="cpu", gradient_checkpointing=checkpointed)
    student = build(0)
    run = Run(
        {"student": trained(student), "teacher": frozen(build(1))},
        [Stage([Update(terms)], steps(3))],
        source=Inputs(inputs),
        settings=settings,
    )
    kept = 0

    def note(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        run.fit()
    return student, kept


@pytest.mark.parametrize("case", CASES)
def test_weights_and_statistics_are_the_same_and_less_is_kept(case: str) -> None:
    (plain, all_bytes), (checkpointed, bytes_kept) = (fit(case, checkpointed=given) for given in (False, True))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(checkpointed.state_dict()[name], tensor), name
    assert bytes_kept < 0.6 * all_bytes


def test_nothing_is_left_on_the_model() -> None:
    student, _ = fit("residual", checkpointed=True)
    assert all("forward" not in vars(module) for module in student.modules())
    student, _ = fit("bert", checkpointed=True)
    assert not any(getattr(module, "gradient_checkpointing", False) for module in student.modules())


def test_a_model_without_blocks_is_refused() -> None:
    student = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(ValueError, match=r"gradient_checkpointing: 'student' \(Sequential\) has no repeated blocks"):
        Run(
            {"student": trained(student)},
            [Stage([Update([Term(HardTargets())])], steps(1))],
            source=Inputs(VECTORS),
            settings=Settings(progress=False, trackers=(), device="cpu", gradient_checkpointing=True),
        )


def test_compilation_is_refused() -> None:
    with pytest.raises(ValueError, match="gradient_checkpointing: true does not work with compile: true"):
        Settings(gradient_checkpointing=True, compile=True)
