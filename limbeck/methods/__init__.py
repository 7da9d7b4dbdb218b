"""Published methods: functions that return the terms, or a student and its stages, with the defaults of the paper.

    from limbeck import methods

    student, stages = methods.tinybert(teacher, task=task, items=train, layers=4, hidden=312)
    job = Distillation(student, teacher, stages=stages, task=task)

In a recipe: `method: {tinybert: {layers: 4, hidden: 312}}`.
"""

from typing import Any

from limbeck.evaluation.citations import method_registries
from limbeck.methods.offline.bert_pkd import BIBTEX as BERT_PKD_BIBTEX
from limbeck.methods.offline.bert_pkd import bert_pkd
from limbeck.methods.offline.distilbert import distilbert
from limbeck.methods.offline.embeddings import embeddings
from limbeck.methods.offline.hinton import hinton
from limbeck.methods.offline.minilm import minilm
from limbeck.methods.offline.minilm_v2 import minilm_v2
from limbeck.methods.offline.mobilebert import mobilebert
from limbeck.methods.offline.static_embeddings import static_embeddings
from limbeck.methods.offline.tinybert import tinybert
from limbeck.objectives import (
    AttentionDistributions,
    AttentionScores,
    EmbeddingMSE,
    FeatureMapTransfer,
    HiddenCosine,
    SelfAttentionRelations,
)
from limbeck.utils.registry import Registry

registry = Registry("method")
method_registries.append(registry)
_PAPERS: dict[Any, str] = {
    bert_pkd: BERT_PKD_BIBTEX,
    distilbert: HiddenCosine.bibtex,
    embeddings: EmbeddingMSE.bibtex,
    minilm: AttentionDistributions.bibtex,
    minilm_v2: SelfAttentionRelations.bibtex,
    mobilebert: FeatureMapTransfer.bibtex,
    static_embeddings: "",
    tinybert: AttentionScores.bibtex,
}
for _method, _paper in _PAPERS.items():
    registry.register(_method.__name__, cite=_paper)(_method)

__all__ = [
    "bert_pkd",
    "distilbert",
    "embeddings",
    "hinton",
    "minilm",
    "minilm_v2",
    "mobilebert",
    "registry",
    "static_embeddings",
    "tinybert",
]
