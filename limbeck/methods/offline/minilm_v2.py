"""MiniLM v2: multi-head self-attention relation distillation (Wang et al. 2021, arXiv 2012.15828)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage, epochs
from limbeck.engine.stages import terms_stage
from limbeck.methods.registration import registry
from limbeck.methods.text_students import Initialise, layer_count, model_type, text_student
from limbeck.methods.training_stages import bert_adamw, fine_tuning
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import SelfAttentionRelations
from limbeck.tasks import Task

LARGE = 24  # layers of what the paper calls a large teacher
UPPER_MIDDLE = {"roberta": 19, "xlm-roberta": 19}  # the layer of a large teacher that is imitated, by family; else 21


@registry.register("minilm_v2", cite=SelfAttentionRelations.bibtex)
def minilm_v2(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    layers: int | Sequence[int] | None = None,
    hidden: int | None = None,
    heads: int | None = None,
    feed_forward: int | None = None,
    initialise: Initialise = "svd",
    relation_heads: int | None = None,
    teacher_layer: int | None = None,
    general: Items | None = None,
    relation_epochs: float = 3.0,
    relation_lr: float = 6e-4,
    fine_tuning_epochs: float = 3.0,
    fine_tuning_lr: float = 5e-5,
    soft: float = 0.5,
    hard: float = 0.5,
    temperature: float = 2.0,
) -> tuple[FromTeacher, list[Stage]]:
    """Trains the student's last layer on the self-attention relations of one layer of the teacher, then fine-tunes on the task.

    The first stage is KL of softmax(QQᵀ/√d), softmax(KKᵀ/√d) and softmax(VVᵀ/√d), where all heads are concatenated and split
    into relation heads, so that neither widths nor numbers of heads have to agree.

    Args:
        teacher: an encoder of Transformers.
        task: of the fine-tuning: hard · labels + soft · T² KL(teacher‖student).
        items: texts on which `initialise="svd"` chooses what to keep of the teacher.
        layers: a number of layers, or their indices from 0. Default: half of the teacher's.
        hidden, heads, feed_forward: sizes. Default: the teacher's.
        relation_heads: a divisor of both widths. None: as in the paper, 48, and 64 for teachers of 24 layers.
        teacher_layer: from 1. None: as in the paper, the last; of 24 layers the 21st, for RoBERTa and XLM-RoBERTa the 19th.
        general: texts without labels for the first stage; None: those of the task.
        relation_epochs, relation_lr: of the first stage (400,000 steps of 256 texts at 6e-4 in the paper).
        fine_tuning_epochs: 0: no fine-tuning.

    Raises:
        ValueError: more layers than the teacher has; relation heads that do not divide the widths (with those that do).
    """
    large = layer_count(teacher) == LARGE
    layer = teacher_layer or (UPPER_MIDDLE.get(model_type(teacher), 21) if large else layer_count(teacher))
    split = relation_heads or (64 if large else 48)
    sizes = {"hidden": hidden, "heads": heads, "feed_forward": feed_forward}
    student = text_student(teacher, items, layers=layers, initialise=initialise, **sizes)

    def relations() -> list[Term]:
        ours, theirs = ([f"{part}({number})" for part in ("queries", "keys", "values")] for number in (-1, layer))
        return [Term(SelfAttentionRelations(heads=split), ours, theirs)]

    stages = [terms_stage(relations(), epochs(relation_epochs), bert_adamw(relation_lr), name="relations", source=general)]
    if fine_tuning_epochs:
        stages.append(
            fine_tuning(task, soft=soft, hard=hard, temperature=temperature, length=fine_tuning_epochs, lr=fine_tuning_lr)
        )
    return student, stages
