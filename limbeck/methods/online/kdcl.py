"""Online distillation by collaborative learning (Guo et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from limbeck.core.teachers import Ensemble, MinLogit, Teacher
from limbeck.core.terms import Term
from limbeck.core.weighers import LeastError, NotHeldBack
from limbeck.core.weighers.held_back import GUO_2020
from limbeck.engine import Length, Stage, Update
from limbeck.methods.online.peers import PEERS, seen_by
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import taught_by
from limbeck.tasks import Task

Target = Literal["mean", "min_logit", "least_error"]


@registry.register("kdcl", cite=GUO_2020)
def kdcl(
    *,
    task: Task,
    length: Length,
    target: Target = "min_logit",
    temperature: float = 2.0,
    weight: float = 1.0,
    held_back: float = 0.1,
    peers: str = PEERS,
    views: Mapping[str, str] | None = None,
) -> DistillationArguments:
    """Trains peers on the labels and on one target that all of them make: for peer i

    CE(labels) + weight · T² KL(p_ensemble ‖ p_i), the ensemble of all peers, i included, detached.

    Args:
        target: what the ensemble is. `mean`: of the logits. `min_logit`: the smallest logits relative to the label's, see
            `MinLogit`. `least_error`: the mean with the weights of least squared error on a part of the training data that no
            peer learns from, see `LeastError` (the paper measures them on validation data).
        temperature: T.
        weight: of the ensemble's target.
        held_back: share of the training items that `least_error` keeps from the peers.
        peers: the actors that learn together, of any architectures.
        views: the view that each peer sees, by its name: `{peers.a: default, peers.b: second}`, as in the paper. None: all see
            the same one.

    Raises:
        ValueError: an unknown target, numbers out of range, views of a single peer.
    """
    if weight <= 0 or temperature <= 0:
        raise ValueError(f"kdcl: weight is {weight} and temperature {temperature}; expected numbers above 0")
    if not 0 < held_back < 1:
        raise ValueError(f"kdcl: held_back is {held_back}; expected a share of the items between 0 and 1")
    own = seen_by(peers, views, "kdcl")
    terms: list[Term] = []
    for one in own:
        made = _target(target, own, held_back)
        terms += [*task.hard_terms(one), *taught_by(made, one, task=task, temperature=temperature, weight=weight)]
    if target == "least_error":
        terms = [replace(term, item_weight=NotHeldBack(held_back)) for term in terms]
    return {
        "stages": [Stage([Update(terms, trains=peers if views is None else list(views))], length)],
        "evaluate": {"peers": peers, "ensemble": Ensemble(peers if views is None else list(views))},
    }


def _target(name: Target, own: Sequence[str], held_back: float) -> Teacher:
    if name == "mean":
        return Ensemble(own, own=True)
    if name == "min_logit":
        return MinLogit(own, own=True)
    if name == "least_error":
        return Ensemble(own, by=LeastError(held_back), own=True)
    raise ValueError(f"kdcl: target is {name!r}; expected mean, min_logit or least_error")
