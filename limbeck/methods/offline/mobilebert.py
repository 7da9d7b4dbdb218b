"""MobileBERT: a compact task-agnostic BERT for resource-limited devices (Sun et al. 2020, arXiv 2004.02984)."""

from __future__ import annotations

import functools
import warnings

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage, epochs
from limbeck.engine.stages import entry_events, terms_stage
from limbeck.methods.registration import registry
from limbeck.methods.text_students import head_count, hidden_size, layer_count
from limbeck.methods.training_stages import bert_adamw, fine_tuning
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import layer_map
from limbeck.models.shrink import mobilebert as bottleneck_student
from limbeck.objectives import AttentionDistributions, FeatureMapTransfer
from limbeck.tasks import Task

LAYERS = "mobilebert.encoder.layer"
EMBEDDINGS = "mobilebert.embeddings"


@registry.register("mobilebert", cite=FeatureMapTransfer.bibtex)
def mobilebert(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    layers: int | None = None,
    intra: int | None = None,
    heads: int | None = None,
    feed_forward: int | None = None,
    feed_forward_networks: int = 4,
    embedding: int | None = None,
    trigram: bool = True,
    feature_map: float = 1.0,
    attention: float = 1.0,
    layer_epochs: float = 1.0,
    layer_lr: float = 1e-3,
    earlier: float = 0.1,
    fine_tuning_epochs: float = 3.0,
    fine_tuning_lr: float = 1e-4,
    soft: float = 0.5,
    hard: float = 0.5,
    temperature: float = 1.0,
) -> tuple[FromTeacher, list[Stage]]:
    """Trains a student with bottlenecks layer by layer (progressive knowledge transfer), then on the task.

    Stage m = 1, …, M: layer m learns the feature map and the attention of its teacher layer, and earlier layers are trained at
    a tenth of the learning rate. Last stage: hard · labels + soft · T² KL(teacher‖student) trains all layers.

    Args:
        teacher: an encoder of Transformers with token embeddings.
        task: of the last stage.
        layers: M. Default: the teacher's number; fewer ones learn from evenly spaced layers.
        intra, heads, feed_forward, feed_forward_networks, embedding, trigram: see `limbeck.models.shrink.mobilebert`.
        feature_map, attention: weights. Attention is compared head by head, and left out if the numbers of heads differ, as
            they do if the teacher's does not divide `intra`.
        layer_epochs: of each layer (10,000 steps of 2,048 texts in the paper).
        earlier: factor of the learning rate of earlier layers; 0 freezes them, as the paper describes.
        soft, hard: a half each, as in the paper.

    Raises:
        ValueError: sizes that do not fit (see there), more layers than the teacher has, `earlier` outside 0 to 1.
    """
    if not 0 <= earlier <= 1:
        raise ValueError(f"mobilebert: earlier is {earlier}; expected a number from 0 (frozen) to 1 (at the full rate)")
    sizes = {"layers": layers, "intra": intra, "heads": heads, "feed_forward": feed_forward, "embedding": embedding}
    student = functools.partial(bottleneck_student, **sizes, feed_forward_networks=feed_forward_networks, trigram=trigram)
    count, length, optimizer = layer_count(teacher), epochs(layer_epochs), bert_adamw(layer_lr)
    attention = attention if _equal_heads(teacher, intra, heads, warn=attention != 0) else 0.0
    stages = []
    for ours, theirs in layer_map(layers or count, count):
        terms = _layer_terms(ours, theirs, feature_map, attention)
        held = {"lr_scale": dict.fromkeys(_below(ours), earlier)} if earlier else {"freeze": _below(ours)}
        stages.append(terms_stage(terms, length, optimizer, name=f"layer {ours}", **held))
    last = fine_tuning(task, soft=soft, hard=hard, temperature=temperature, length=fine_tuning_epochs, lr=fine_tuning_lr)
    last.on_enter = entry_events("student", unfreeze=[""])
    return FromTeacher(student), [*stages, last]


def _equal_heads(teacher: nn.Module, intra: int | None, heads: int | None, *, warn: bool) -> bool:
    """Whether student and teacher have equal numbers of heads, so that attention can be compared."""
    theirs, inside = head_count(teacher), intra or max(1, hidden_size(teacher) // 4)
    equal = (heads or (theirs if inside % theirs == 0 else 0)) == theirs
    if warn and not equal:
        warnings.warn(
            f"mobilebert: attention is compared head by head, and the student does not have the teacher's {theirs} heads "
            f"(intra={inside}); its term is left out. A multiple of {theirs} keeps it, and attention: 0 hides this warning",
            stacklevel=3,
        )
    return equal


def _layer_terms(ours: int, theirs: int, feature_map: float, attention: float) -> list[Term]:
    maps = [Term(FeatureMapTransfer(), f"hidden({ours})", f"hidden({theirs})", weight=feature_map)]
    heads = [Term(AttentionDistributions(), f"attention({ours})", f"attention({theirs})", weight=attention)]
    return maps + (heads if attention else [])


def _below(layer: int) -> list[str]:
    """The parts below a layer, counted from 1; none below the first, whose stage trains the embeddings too."""
    return [EMBEDDINGS, *(f"{LAYERS}.{earlier}" for earlier in range(layer - 1))] if layer > 1 else []
