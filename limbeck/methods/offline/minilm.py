"""MiniLM: deep self-attention distillation (Wang et al. 2020, arXiv 2002.10957)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage, epochs
from limbeck.engine.stages import terms_stage
from limbeck.methods.registration import registry
from limbeck.methods.text_students import Initialise, head_count, hidden_size, kept_layers, layer_count, text_student
from limbeck.methods.training_stages import bert_adamw, fine_tuning
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import AttentionDistributions, ValueRelation
from limbeck.tasks import Task

ASSISTANT = "assistant"


@registry.register("minilm", cite=AttentionDistributions.bibtex)
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
) -> tuple[FromTeacher, list[Stage]]:
    """Trains the student's last layer on the attention of the teacher's last layer, then fine-tunes on the task.

    The first stage is KL of the attention distributions + KL of the value relations softmax(VVᵀ/√d), head by head. A student
    that is both much narrower and much shallower learns from an assistant, as deep as the teacher and as wide as the student.

    Args:
        teacher: an encoder of Transformers.
        task: of the fine-tuning: hard · labels + soft · T² KL(teacher‖student).
        items: texts on which `initialise="svd"` chooses what to keep of the teacher.
        layers: a number of layers, or their indices from 0. Default: half of the teacher's.
        hidden: width, divisible by the teacher's number of heads (`minilm_v2` needs none). Default: the teacher's.
        assistant: None: if the student has at most half of the teacher's layers and of its width, as in the paper.
        general: texts without labels for the first stages; None: those of the task.
        relation_epochs, relation_lr: of the first stages (400,000 steps of 1,024 texts at 5e-4 in the paper).
        fine_tuning_epochs: 0: no fine-tuning.

    Raises:
        ValueError: heads that do not divide `hidden`, more layers than the teacher has.
    """
    heads = _check_heads(teacher, hidden)
    student = text_student(teacher, items, layers=layers, hidden=hidden, initialise=initialise, heads=heads)
    if assistant is None:
        shallow = 2 * len(kept_layers(layers, teacher)) <= layer_count(teacher)
        assistant = hidden is not None and 2 * hidden <= hidden_size(teacher) and shallow
    length, optimizer = epochs(relation_epochs), bert_adamw(relation_lr)
    terms = _attention_terms("student", ASSISTANT if assistant else "teacher")
    stages = [terms_stage(terms, length, optimizer, name="attention", source=general)]
    if assistant:
        between = text_student(teacher, items, layers=layer_count(teacher), hidden=hidden, initialise=initialise, heads=heads)
        terms, actors = _attention_terms(ASSISTANT, "teacher"), {ASSISTANT: between}
        first = terms_stage(terms, length, optimizer, name=ASSISTANT, source=general, trains=ASSISTANT, actors=actors)
        stages.insert(0, first)
    if fine_tuning_epochs:
        stages.append(
            fine_tuning(task, soft=soft, hard=hard, temperature=temperature, length=fine_tuning_epochs, lr=fine_tuning_lr)
        )
    return student, stages


def _attention_terms(student: str, teacher: str) -> list[Term]:
    return [
        Term(kind(), f"{student}:{tap}(-1)", f"{teacher}:{tap}(-1)")
        for kind, tap in ((AttentionDistributions, "attention"), (ValueRelation, "values"))
    ]


def _check_heads(teacher: nn.Module, hidden: int | None) -> int | None:
    """Returns the number of heads of a narrower student: the teacher's."""
    heads = head_count(teacher)
    if hidden is None:
        return None
    if hidden % heads:
        raise ValueError(
            f"minilm: the teacher's {heads} heads do not divide hidden={hidden}, and heads are compared one by one; choose a "
            f"multiple of {heads}, or minilm_v2, which needs no equal heads"
        )
    return heads
