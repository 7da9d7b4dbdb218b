"""TinyBERT: distilling BERT for natural language understanding (Jiao et al. 2020, arXiv 1909.10351).

The paper augments the texts of the task: `data.augment` in a recipe, or `limbeck.data.augment_texts`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage, epochs
from limbeck.engine.stages import terms_stage
from limbeck.methods.registration import registry
from limbeck.methods.text_students import Initialise, head_count, layer_count, resized_student
from limbeck.methods.training_stages import bert_adamw, fine_tuning, weighted_terms
from limbeck.models import get
from limbeck.models.from_teacher import FromTeacher, ModelOrBuilder
from limbeck.models.shrink import layer_map
from limbeck.models.shrink.layer_map import Rule
from limbeck.objectives import AttentionScores, HiddenStates
from limbeck.tasks import Task

GENERAL = "general_teacher"


@registry.register("tinybert", cite=AttentionScores.bibtex)
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
) -> tuple[FromTeacher, list[Stage]]:
    """Trains a narrow student on the teacher's layers first, then on its outputs.

    1. With `general` texts: the loss of stage 2 (general distillation).
    2. On the task's texts: Σ_m MSE(W h_s^m, h_t^g(m)) + attention · Σ_m MSE(A_s^m, A_t^g(m)); m = 0 are the embeddings, A the
       scores before the softmax, W a learned projection.
    3. T² KL(teacher‖student) + hard · labels.

    Args:
        teacher: a fine-tuned encoder of Transformers; the student has its family and head.
        task: of the last stage.
        items: texts on which `initialise="svd"` chooses what to keep of the teacher.
        layers, hidden, heads, feed_forward: sizes; in the paper 4, 312, 12 and 1,200. Attention is compared head by head, so
            heads default to the teacher's; feed_forward defaults to the teacher's proportion.
        embedding: width of the embedding table, if it is projected to `hidden` (an ELECTRA); not in the paper.
        initialise: "random" (after a general distillation, as in the paper), "truncate" or "svd" of the teacher's weights.
        mapping: g: "uniform" as in the paper, "auto", "last", or the teacher's layers from 1; see `layer_map`.
        general: texts without labels for a stage before those of the task.
        general_teacher: of that stage: the encoder before its fine-tuning, as in the paper, as a module, name or folder. None:
            the teacher; in a recipe that fine-tunes its teacher, the model that this started from.
        layer_epochs: 20 in the paper (10 for large data sets, 50 for CoLA).
        attention: weight of the attention terms; 0 leaves them out, and heads are free then.
        hard: weight of the labels in the last stage; 0 in the paper.

    Raises:
        ValueError: sizes larger than the teacher's, heads that do not divide the width, a mapping out of range.
    """
    terms = functools.partial(_layer_terms, layer_map(layers, layer_count(teacher), mapping), attention)
    heads = head_count(teacher) if heads is None and attention else heads
    stages = [terms_stage(terms(), epochs(layer_epochs), bert_adamw(layer_lr), name="layers")]
    if general is not None:
        stages.insert(0, _general_stage(terms, general, general_teacher, general_epochs, general_lr))
    options = {"temperature": temperature, "length": prediction_epochs, "lr": prediction_lr}
    stages.append(fine_tuning(task, soft=1.0, hard=hard, name="prediction", **options))
    sizes = {"layers": layers, "hidden": hidden, "heads": heads, "feed_forward": feed_forward}
    student = resized_student(items, sizes, initialise=initialise, embedding=embedding)
    return student, stages


def _layer_terms(pairs: Sequence[tuple[int, int]], attention: float, actor: str = "") -> list[Term]:
    """The terms of the mapped layers; `actor` is the prefix of the teacher's references."""
    states = [Term(HiddenStates(), f"hidden({m})", f"{actor}hidden({n})", name=f"hidden.{m}") for m, n in [(0, 0), *pairs]]
    scores = [Term(AttentionScores(), f"scores({m})", f"{actor}scores({n})", name=f"attention.{m}") for m, n in pairs]
    return weighted_terms((1.0, lambda: states), (attention, lambda: scores))()


def _general_stage(
    terms: Callable[..., list[Term]], texts: Items, teacher: nn.Module | str | None, length: float, lr: float
) -> Stage:
    actors = {} if teacher is None else {GENERAL: _encoder(teacher)}
    general = terms(f"{GENERAL}:" if actors else "")
    return terms_stage(general, epochs(length), bert_adamw(lr), name="general", source=texts, actors=actors)


def _encoder(model: nn.Module | str) -> ModelOrBuilder:
    """A builder of the encoder without a head; a module is returned as it is."""
    return functools.partial(get, "transformers", name_or_path=model, task="AutoModel") if isinstance(model, str) else model
