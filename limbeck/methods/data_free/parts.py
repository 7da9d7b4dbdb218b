"""The terms that made inputs are trained by."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.methods.data_free.made_inputs import IMAGES, STATISTICS, TEACHER
from limbeck.objectives import (
    Activation,
    AttentionTransfer,
    BatchNormStatistics,
    ClassBalance,
    ClassImpression,
    ContrastiveMemory,
    Disagreement,
    HardTargets,
    OneHot,
    Smoothness,
)

NAME_FEATURE = "features: names what the teacher's classifier reads, such as input(fc) for a last layer fc"


def adversary(distance: str, temperature: float = 1.0) -> Term:
    """The teacher's distance from the student, which the inputs raise: a term of weight −1."""
    return Term(Disagreement(distance=distance, temperature=temperature), weight=-1.0, name="adversary")


def one_hot() -> Term:
    return Term(OneHot(), student=TEACHER)


def balance() -> Term:
    return Term(ClassBalance(), student=TEACHER)


def labels() -> Term:
    """The class that each input is to show."""
    return Term(HardTargets(), student=TEACHER, name="labels")


def impression(temperature: float) -> Term:
    """The class probabilities that each input is to show."""
    return Term(ClassImpression(temperature=temperature), student=TEACHER)


def statistics() -> Term:
    """The statistics of all BatchNorm layers of the teacher, a term for each layer."""
    return Term(BatchNormStatistics(), student=STATISTICS, name="statistics")


def activation(features: str) -> Term:
    return Term(Activation(), student=f"{TEACHER}:{features}", remedy=NAME_FEATURE)


def smoothness(images: str = IMAGES) -> Term:
    return Term(Smoothness(), student=images)


def attention() -> Term:
    """The student's attention maps, at depths that are paired automatically."""
    return Term(AttentionTransfer(), student="auto", name="attention")


def contrast(features: str, size: int, every: int) -> Term:
    """Inputs are told from each other by the teacher's features of two views."""
    memory = ContrastiveMemory(size=size, every=every)
    one, other = f"{TEACHER}:{features}", f"{TEACHER}@augmented:{features}"
    return Term(memory, student=one, teacher=other, name="contrast", remedy=NAME_FEATURE)
