"""MiniLM: deep self-attention distillation (Wang et al. 2020, arXiv 2002.10957)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import epochs
from limbeck.engine.training import Phase
from limbeck.methods.building_blocks import Initialise, adamw, depth, fine_tuning, heads_of, spread, student_of, width
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import AttentionDistributions, ValueRelation
from limbeck.tasks import Task

ASSISTANT = "assistant"


def minilm(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    layers: int | Sequence[int] | None = None,
    hidden: int | None = None,
    initialise: Initialise = "svd",
    assistant: bool | None = None,
    general: Items | None = None,
    relation_epochs: float = 3.0,
    relation_lr: float = 5e-4,
    fine_tuning_epochs: float = 3.0,
    fine_tuning_lr: float = 5e-5,
    soft: float = 0.5,
    hard: float = 0.5,
    temperature: float = 2.0,
) -> tuple[FromTeacher, list[Phase]]:
    """A student that imitates how the teacher's last layer attends: KL of the attention distributions plus KL of the value
    relations softmax(VVᵀ/√d), head by head; then fine-tuning on the task.

    A student that is both much thinner and much shallower learns by way of an assistant: as deep as the teacher, as wide as
    the student.

    Args:
        teacher: an encoder of Transformers.
        task: what it answers; fine-tuning is hard · labels + soft · T² KL(teacher‖student).
        items: some texts, on which `initialise: svd` chooses what to keep of the teacher.
        layers: a number, or which of the teacher's, from 0. Default: half of them.
        hidden: width. Default: the teacher's. The heads are the teacher's, and must divide it; `minilm_v2` is free in that.
        assistant: None: where the student has at most half of the teacher's layers and half of its width, as in the paper.
        general: texts without labels for the first stages; None: those of the task.
        relation_epochs, relation_lr: of the first stages (400,000 steps of 1,024 texts at 5e-4 in the paper).
        fine_tuning_epochs: 0 leaves the stage out, as for a student that is to be fine-tuned by others.

    Raises:
        ValueError: heads that do not divide `hidden`, with the advice to use minilm_v2; more layers than the teacher has.
    """
    heads = _heads(teacher, hidden)
    student = student_of(teacher, items, layers=layers, hidden=hidden, initialise=initialise, heads=heads)
    if assistant is None:
        ours = len(spread(layers, teacher))
        assistant = hidden is not None and 2 * hidden <= width(teacher) and 2 * ours <= depth(teacher)

    def imitate(student: str, teacher: str) -> Any:
        return lambda: [
            Term(kind(), f"{student}:{tap}(-1)", f"{teacher}:{tap}(-1)")
            for kind, tap in ((AttentionDistributions, "attention"), (ValueRelation, "values"))
        ]

    length, rate = epochs(relation_epochs), adamw(relation_lr)
    guide = ASSISTANT if assistant else "teacher"
    stages = [Phase(imitate("student", guide), length, rate, name="attention", data=general)]
    if assistant:
        between = student_of(teacher, items, layers=depth(teacher), hidden=hidden, initialise=initialise, heads=heads)
        first = Phase(imitate(ASSISTANT, "teacher"), length, rate, name=ASSISTANT, data=general)
        stages.insert(0, replace(first, trains=ASSISTANT, actors={ASSISTANT: between}))
    if fine_tuning_epochs:
        stages.append(
            fine_tuning(task, soft=soft, hard=hard, temperature=temperature, count=fine_tuning_epochs, lr=fine_tuning_lr)
        )
    return student, stages


def _heads(teacher: nn.Module, hidden: int | None) -> int | None:
    theirs = heads_of(teacher)
    if hidden is None:
        return None
    if hidden % theirs:
        raise ValueError(
            f"minilm: the teacher's {theirs} heads do not divide hidden={hidden}, and heads are compared one by one; choose a "
            f"multiple of {theirs}, or minilm_v2, which needs no equal heads"
        )
    return theirs
