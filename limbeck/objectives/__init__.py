"""Objectives: how student and teacher signals are compared, one loss per item, by name.

>>> from limbeck import objectives
>>> soft = objectives.get("soft_targets", temperature=2.0)
>>> soft(student_logits, teacher_logits)  # [batch]

All modules of this package are imported, so an objective in a new file is found by its name.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any, cast

from limbeck.core.labels import UNLABELLED
from limbeck.core.objective import Objective, registry
from limbeck.core.signals import Match
from limbeck.objectives.adaptive_target import AdaptiveTarget
from limbeck.objectives.batch_statistics import BatchNormStatistics
from limbeck.objectives.contrastive import Contrastive
from limbeck.objectives.contrastive_memory import ContrastiveMemory
from limbeck.objectives.cross_attention import PartialCrossAttention
from limbeck.objectives.cross_similarity import CrossSimilarity, InfoNCE
from limbeck.objectives.disagreement import Disagreement
from limbeck.objectives.embeddings import EmbeddingCosine, EmbeddingMSE, MarginMSE
from limbeck.objectives.features import (
    AttentionTransfer,
    Channelwise,
    Flow,
    Hint,
    NeuronSelectivity,
    StandardizedFeatures,
    Variational,
)
from limbeck.objectives.knowledge_review import Review
from limbeck.objectives.logits import Decoupled, Dist, HardTargets, LogitMSE, SoftTargets, TeacherArgmax, WeightedSoftLabels
from limbeck.objectives.margin_features import MarginFeatures, margin_from_batchnorm
from limbeck.objectives.masked_generative import MaskedGenerative
from limbeck.objectives.multilabel import BinaryCrossEntropy, BinarySoftTargets
from limbeck.objectives.regression import SquaredError
from limbeck.objectives.relations import (
    ChannelCorrelation,
    CorrelationCongruence,
    ProbabilisticTransfer,
    RKDAngle,
    RKDCosine,
    RKDDistance,
    SimilarityPreserving,
)
from limbeck.objectives.self_attention import SelfAttentionRelations, ValueRelation
from limbeck.objectives.spans import SpanSoftTargets, SpanTargets
from limbeck.objectives.synthesis import Activation, ClassBalance, ClassImpression, OneHot, Smoothness
from limbeck.objectives.token_divergences import JensenShannon, SkewKL, SkewReverseKL, TotalVariation, UniversalLogit
from limbeck.objectives.tokens import ForwardKL, MaskedKL, ReverseKL
from limbeck.objectives.transformers import (
    AttentionDistributions,
    AttentionScores,
    FeatureMapTransfer,
    HiddenCosine,
    HiddenStates,
)

register = registry.register

__all__ = [
    "UNLABELLED",
    "Activation",
    "AdaptiveTarget",
    "AttentionDistributions",
    "AttentionScores",
    "AttentionTransfer",
    "BatchNormStatistics",
    "BinaryCrossEntropy",
    "BinarySoftTargets",
    "ChannelCorrelation",
    "Channelwise",
    "ClassBalance",
    "ClassImpression",
    "Contrastive",
    "ContrastiveMemory",
    "CorrelationCongruence",
    "CrossSimilarity",
    "Decoupled",
    "Disagreement",
    "Dist",
    "EmbeddingCosine",
    "EmbeddingMSE",
    "FeatureMapTransfer",
    "Flow",
    "ForwardKL",
    "HardTargets",
    "HiddenCosine",
    "HiddenStates",
    "Hint",
    "InfoNCE",
    "JensenShannon",
    "LogitMSE",
    "MarginFeatures",
    "MarginMSE",
    "MaskedGenerative",
    "MaskedKL",
    "Match",
    "NeuronSelectivity",
    "Objective",
    "OneHot",
    "PartialCrossAttention",
    "ProbabilisticTransfer",
    "RKDAngle",
    "RKDCosine",
    "RKDDistance",
    "ReverseKL",
    "Review",
    "SelfAttentionRelations",
    "SimilarityPreserving",
    "SkewKL",
    "SkewReverseKL",
    "Smoothness",
    "SoftTargets",
    "SpanSoftTargets",
    "SpanTargets",
    "SquaredError",
    "StandardizedFeatures",
    "TeacherArgmax",
    "TotalVariation",
    "UniversalLogit",
    "ValueRelation",
    "Variational",
    "WeightedSoftLabels",
    "discover",
    "get",
    "margin_from_batchnorm",
    "names",
    "register",
    "registry",
]


def get(name: str, **hyperparameters: Any) -> Objective:
    """Builds the objective called `name`; unknown names and hyperparameters raise a ValueError that offers the nearest."""
    return cast(Objective, registry.get(name, **hyperparameters))


def names() -> list[str]:
    """The names of all objectives."""
    return registry.names()


def discover() -> None:
    """Imports all modules of this package, which register their objectives."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)


discover()
