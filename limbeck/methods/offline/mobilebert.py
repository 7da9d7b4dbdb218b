"""MobileBERT: a compact task-agnostic BERT for resource-limited devices (Sun et al. 2020, arXiv 2004.02984)."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import epochs
from limbeck.engine.training import Phase
from limbeck.methods.building_blocks import adamw, depth, fine_tuning, heads_of, width
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import layer_map
from limbeck.models.shrink import mobilebert as bottleneck
from limbeck.objectives import AttentionDistributions, FeatureMapTransfer
from limbeck.tasks import Task

LAYERS = "mobilebert.encoder.layer"
EMBEDDINGS = "mobilebert.embeddings"


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
) -> tuple[FromTeacher, list[Phase]]:
    """A student with bottlenecks that grows layer by layer, then learns the task (progressive knowledge transfer):

    for m = 1, …, M: layer m learns the teacher's feature map and its attention, while the layers before it follow at a tenth
    of the rate; after that all layers learn hard · labels + soft · T² KL(teacher‖student).

    Args:
        teacher: an encoder of Transformers with token embeddings.
        task: what it answers.
        layers: M. Default: the teacher's number; fewer ones learn from evenly spaced layers.
        intra, heads, feed_forward, feed_forward_networks, embedding, trigram: see `limbeck.models.shrink.mobilebert`.
        feature_map, attention: weights. Attention is compared head by head and left out where the heads differ, which they do
            where the teacher's number does not divide `intra`.
        layer_epochs: of each layer (10,000 steps of 2,048 texts in the paper).
        earlier: the share of the rate at which earlier layers follow; 0 freezes them, as the paper describes.
        soft, hard: a half each, as in the paper.

    Raises:
        ValueError: sizes that do not fit (see there), more layers than the teacher has, `earlier` outside 0 to 1.
    """
    if not 0 <= earlier <= 1:
        raise ValueError(f"mobilebert: earlier is {earlier}; expected a number from 0 (frozen) to 1 (at the full rate)")
    count = depth(teacher)
    pairs = layer_map(layers or count, count)
    theirs = heads_of(teacher)
    inside = intra or max(1, width(teacher) // 4)
    compared = attention
    if attention and (heads or (theirs if inside % theirs == 0 else 0)) != theirs:
        compared = 0.0
        warnings.warn(
            f"mobilebert: attention is compared head by head, and the student does not have the teacher's {theirs} heads "
            f"(intra={inside}); its term is left out. A multiple of {theirs} keeps it, and attention: 0 says that you know",
            stacklevel=2,
        )
    student = FromTeacher(
        functools.partial(
            bottleneck,
            layers=layers,
            intra=intra,
            heads=heads,
            feed_forward=feed_forward,
            feed_forward_networks=feed_forward_networks,
            embedding=embedding,
            trigram=trigram,
        )
    )
    stages = [
        Phase(
            _terms(ours, theirs, feature_map, compared),
            epochs(layer_epochs),
            adamw(layer_lr),
            name=f"layer {ours}",
            freeze=[] if ours == 1 or earlier else _before(ours),
            lr_scale=dict.fromkeys(_before(ours), earlier) if ours > 1 and earlier else {},
        )
        for ours, theirs in pairs
    ]
    last = fine_tuning(task, soft=soft, hard=hard, temperature=temperature, count=fine_tuning_epochs, lr=fine_tuning_lr)
    last.unfreeze = [""]
    return student, [*stages, last]


def _terms(ours: int, theirs: int, feature_map: float, attention: float) -> Callable[[], list[Term]]:
    def make() -> list[Term]:
        maps = [Term(FeatureMapTransfer(), f"hidden({ours})", f"hidden({theirs})", weight=feature_map)]
        heads = [Term(AttentionDistributions(), f"attention({ours})", f"attention({theirs})", weight=attention)]
        return maps + (heads if attention else [])

    return make


def _before(layer: int) -> list[str]:
    """Parts below layer `layer`, counted from 1."""
    return [EMBEDDINGS, *(f"{LAYERS}.{earlier}" for earlier in range(layer - 1))]
