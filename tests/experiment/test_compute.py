"""Controls that train for as much computation as what is distilled."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation, Term, steps
from limbeck.data import Items
from limbeck.engine import Stage, Update
from limbeck.evaluation.flops import count_flops
from limbeck.experiment.arm_stages import arm_stages
from limbeck.experiment.compute import training_flops
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.teacher_cache import CacheConfig
from tests.experiment.tiny_classifiers import QUICK, Own

WIDTH, TEACHER, BATCH = 4, 32, 32
PASS = 2 * BATCH * (64 + 10)  # multiplications and additions of one forward pass, per unit of width


class AttentionNet(nn.Module):
    """Self-attention over the rows of an image of 64 values."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens, self.width = tokens, width
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.out = nn.Linear(tokens * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(len(x), self.tokens, self.width)
        return self.out(self.attention(rows, rows, rows, need_weights=False)[0].flatten(1))  # type: ignore[no-any-return]


def job(teacher: nn.Module, **options: object) -> Distillation:
    stages = [Stage([Update([Term(SoftTargets())])], steps(10))]
    controls = {"longer": {"terms": [Term(HardTargets())], "equal": "compute"}}
    return Distillation(Own(WIDTH), teacher, stages=stages, training=QUICK, controls=controls, **options)  # type: ignore[arg-type]


def test_forward_and_backward_passes_are_counted(teacher: nn.Module, train: Items) -> None:
    experiment = job(teacher).experiment
    source = experiment.source(train, experiment.plan)
    stages = arm_stages(experiment, experiment.plan, source)
    first = 2 * BATCH * 64 * WIDTH  # no gradient with respect to the inputs
    student = PASS * WIDTH * 3 - first
    assert training_flops(experiment, experiment.plan, stages, source) == 10 * (student + PASS * TEACHER)


def test_a_control_of_equal_compute_takes_the_steps_that_the_teacher_costs(teacher: nn.Module, train: Items) -> None:
    trained = job(teacher, control=False)
    trained.fit(train)
    student = PASS * WIDTH * 3 - 2 * BATCH * 64 * WIDTH
    assert [run.clock.updates for run in trained.runs] == [10, round(10 * (student + PASS * TEACHER) / student)]


def test_attention_is_counted(train: Items) -> None:
    """It is a fused kernel on a CPU, which the counter of torch does not see."""
    tokens, width = 8, 8
    teacher = AttentionNet(tokens, width)
    with count_flops() as counter:
        teacher(torch.rand(BATCH, 1, 8, 8))
    products = 2 * BATCH * (tokens * width * width * 4 + 2 * tokens * tokens * width + tokens * width * 10)
    assert counter.get_total_flops() == products
    experiment = job(teacher).experiment
    source = experiment.source(train, experiment.plan)
    stages = arm_stages(experiment, experiment.plan, source)
    student = PASS * WIDTH * 3 - 2 * BATCH * 64 * WIDTH
    assert training_flops(experiment, experiment.plan, stages, source) == 10 * (student + products)


def test_outputs_from_a_cache_cost_nothing(teacher: nn.Module, train: Items, tmp_path) -> None:  # type: ignore[no-untyped-def]
    cached = job(teacher, control=False, cache=CacheConfig(tmp_path / "cache"))
    cached.fit(train)
    assert [run.clock.updates for run in cached.runs] == [10, 10]


def test_other_words_are_refused(teacher: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"controls\.x: equal is 'time'; expected 'steps' or 'compute'"):
        Distillation(Own(4), teacher, controls={"x": {"terms": [Term(HardTargets())], "equal": "time"}})
