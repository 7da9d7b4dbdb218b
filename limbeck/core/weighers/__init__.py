"""Weights and temperatures for each item, from the signals of a step."""

from limbeck.core.weighers.base import Weigher, registry, weigher
from limbeck.core.weighers.confidence import Confidence
from limbeck.core.weighers.entropy import Entropy, StudentUncertainty, TeacherConfidence
from limbeck.core.weighers.routing import Routing
from limbeck.core.weighers.temperature import ByConfidence

__all__ = [
    "ByConfidence",
    "Confidence",
    "Entropy",
    "Routing",
    "StudentUncertainty",
    "TeacherConfidence",
    "Weigher",
    "registry",
    "weigher",
]
