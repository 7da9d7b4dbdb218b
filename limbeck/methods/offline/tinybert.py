"""TinyBERT: distilling BERT for natural language understanding (Jiao et al. 2020, arXiv 1909.10351)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import epochs
from limbeck.engine.training import Phase
from limbeck.methods.building_blocks import Initialise, adamw, depth, fine_tuning, heads_of, smaller, weighed
from limbeck.models import get
from limbeck.models.from_teacher import FromTeacher, ModelOrBuilder
from limbeck.models.shrink import layer_map
from limbeck.models.shrink.layer_map import Rule
from limbeck.objectives import AttentionScores, HiddenStates
from limbeck.tasks import Task

GENERAL = "general_teacher"


def tinybert(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    layers: int = 4,
    hidden: int = 312,
    heads: int | None = None,
    feed_forward: int | None = None,
    embedding: int | None = None,
    initialise: Initialise = "svd",
    mapping: Rule | Sequence[int] = "uniform",
    general: Items | None = None,
    general_teacher: nn.Module | str | None = None,
    general_epochs: float = 3.0,
    general_lr: float = 1e-4,
    layer_epochs: float = 20.0,
    layer_lr: float = 5e-5,
    prediction_epochs: float = 3.0,
    prediction_lr: float = 3e-5,
    temperature: float = 1.0,
    attention: float = 1.0,
    hard: float = 0.0,
) -> tuple[FromTeacher, list[Phase]]:
    """A narrow student that learns its layers first, its answers after that:

    1. with `general` texts: hidden states and attention of the mapped layers (general distillation);
    2. the same on the task's texts: L = Σ_m MSE(W h_s^m, h_t^g(m)) + attention · Σ_m MSE(A_s^m, A_t^g(m)), m = 0 being the
       embeddings, A the scores before the softmax, W a learned projection;
    3. the answers: T² KL(teacher‖student).

    Give the student altered copies of the texts besides (`data.augment`, or `limbeck.data.augment_texts`), as the
    paper does for the stages of the task.

    Args:
        teacher: an encoder of Transformers, fine-tuned; the student has its family and head.
        task: what it answers.
        items: some of the task's texts, on which `initialise: svd` chooses what to keep of the teacher.
        layers, hidden, heads, feed_forward: sizes. The paper's small student: 4 layers of 312, 12 heads, 1,200. Attention is
            compared head by head, so heads are the teacher's; feed_forward defaults to the teacher's proportion.
        embedding: width of the vocabulary's table, where a projection to `hidden` follows it (the student is an ELECTRA then):
            a small student is mostly table, and with a narrower one it knows more words. Not in the paper.
        initialise: random (after a general distillation, as in the paper), truncate or svd: the teacher's weights, cut.
        mapping: g, "uniform" as in the paper, "auto" (the nearest relative depth), "last", or the teacher's layers written out,
            from 1; see `limbeck.models.shrink.layer_map`.
        general: texts of all kinds, without labels, for a stage before those of the task.
        general_teacher: who answers them: the encoder before it was fine-tuned, as in the paper, itself or by its name or
            folder. None: the teacher; a recipe that fine-tunes its teacher takes what it started from.
        layer_epochs: 20 in the paper (10 for large data sets, 50 for CoLA).
        attention: weight of the attention terms; 0 leaves them out, and heads are then free.
        hard: weight of the labels in the last stage; 0 in the paper.

    Raises:
        ValueError: sizes larger than the teacher's, heads that do not divide the width, a mapping out of range.
    """
    pairs = layer_map(layers, depth(teacher), mapping)
    theirs = heads_of(teacher) if heads is None and attention else heads
    sizes = {"layers": layers, "hidden": hidden, "heads": theirs, "feed_forward": feed_forward}
    student = smaller(items, initialise=initialise, embedding=embedding, chosen=None, **sizes)

    def inner(who: str = "") -> list[Term]:
        states = [Term(HiddenStates(), f"hidden({m})", f"{who}hidden({n})", name=f"hidden.{m}") for m, n in [(0, 0), *pairs]]
        scores = [Term(AttentionScores(), f"scores({m})", f"{who}scores({n})", name=f"attention.{m}") for m, n in pairs]
        return weighed((1.0, lambda: states), (attention, lambda: scores))()

    stages = [Phase(inner, epochs(layer_epochs), adamw(layer_lr), name="layers")]
    if general is not None:
        other = {} if general_teacher is None else {GENERAL: _encoder(general_teacher)}
        terms = functools.partial(inner, "".join(f"{name}:" for name in other))
        stages.insert(0, Phase(terms, epochs(general_epochs), adamw(general_lr), name="general", data=general, actors=other))
    answers = fine_tuning(
        task, soft=1.0, hard=hard, temperature=temperature, count=prediction_epochs, lr=prediction_lr, name="prediction"
    )
    return student, [*stages, answers]


def _encoder(model: nn.Module | str) -> ModelOrBuilder:
    """What makes the encoder, without a head, anew for each training; a module is taken as it is."""
    return functools.partial(get, "transformers", name_or_path=model, task="AutoModel") if isinstance(model, str) else model
