"""Weights and temperatures for each item, from the signals of a step."""

from limbeck.core.weighers.agreement import Agreement
from limbeck.core.weighers.base import Weigher, registry, weigher
from limbeck.core.weighers.by_uncertainty import ByUncertainty
from limbeck.core.weighers.confidence import Confidence
from limbeck.core.weighers.domain import Domain
from limbeck.core.weighers.entropy import Entropy, StudentUncertainty, TeacherConfidence
from limbeck.core.weighers.hardness import Hardness, MostUncertain, WeightedSoftLabels
from limbeck.core.weighers.head_confidence import HeadConfidence
from limbeck.core.weighers.held_back import LeastError, NotHeldBack
from limbeck.core.weighers.routing import Routing
from limbeck.core.weighers.temperature import AdversarialTemperature, ByConfidence

__all__ = [
    "AdversarialTemperature",
    "Agreement",
    "ByConfidence",
    "ByUncertainty",
    "Confidence",
    "Domain",
    "Entropy",
    "Hardness",
    "HeadConfidence",
    "LeastError",
    "MostUncertain",
    "NotHeldBack",
    "Routing",
    "StudentUncertainty",
    "TeacherConfidence",
    "Weigher",
    "WeightedSoftLabels",
    "registry",
    "weigher",
]
