"""Label smoothing (Szegedy et al. 2016, arXiv 1512.00567): self-distillation with a teacher that knows nothing."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.objectives import HardTargets


@registry.register("label_smoothing", cite=HardTargets.option_bibtex["label_smoothing"])
def label_smoothing(*, smoothing: float = 0.1) -> DistillationArguments:
    """Trains a student on CE to (1 − ε)·label + ε/C, C classes: the zero case of self-distillation.

    What a method of this paradigm gives beyond it comes from the network's own knowledge.

    Args:
        smoothing: ε, above 0 and below 1.

    Raises:
        ValueError: `smoothing` out of range.
    """
    if not 0 < smoothing < 1:
        raise ValueError(f"label_smoothing: smoothing is {smoothing}; expected a number between 0 and 1")
    return {"terms": [Term(HardTargets(label_smoothing=smoothing))]}
