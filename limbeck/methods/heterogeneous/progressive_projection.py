"""Progressive projection: a student's layers are projected onto the teacher's one after the other, from the first on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from limbeck.core.terms import Term
from limbeck.engine import Length, Stage, Update
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, soft_terms
from limbeck.objectives import Hint
from limbeck.tasks import Task

Order = Literal["progressive", "one_shot"]


@registry.register("progressive_projection", cite=Hint.bibtex)
def progressive_projection(
    *,
    task: Task,
    length: Length,
    features: Mapping[str, str],
    weight: float = 10.0,
    relax: float = 0.5,
    share: float = 0.5,
    order: Order = "progressive",
    temperature: float = 4.0,
    labels: float = 0.1,
    soft: float = 0.9,
    adapter: str = "auto",
) -> DistillationArguments:
    """Trains a student in stages: stage k of K adds the projection of pair k of layers, and the last has outputs most:

    labels · CE + soft · T² KL + weight · Σ_{j≤k} relax^(k − j) · mean (P_j(s_j) − t_j)², in the last stage k = K + 1.

    P_j is the learned projection of pair j, between maps, tokens and vectors of any architectures. A term of a later stage goes
    on with the projection of the stage before (its name is `projection.j`), and its weight is relaxed in turn, once in each
    stage. The first K stages share a part of the training's length, the last one has the rest. The optimizer and its
    schedule begin anew in each.

    No paper defines a method of this name; hints are of FitNets (arXiv 1412.6550), and layer after layer is the order of
    MobileBERT (arXiv 2004.02984).

    Args:
        features: the student's tap and the teacher's of each pair, in the order of the stages:
            `{blocks.1: layer2, blocks.3: layer3}`.
        weight: of a projection in the stage that adds it; large, as the mean of squares is small beside the other losses.
        relax: factor of its weight from stage to stage, 0 to 1; 0: it has one stage, 1: it stays.
        share: of the length for the first K stages, above 0 and below 1.
        order: `one_shot`: all projections at once, with `weight` each, in a single stage, to compare with.
        temperature: T of the outputs.
        labels, soft: weights of the labels and of the teacher's outputs, in all stages.
        adapter: how layers are projected, see `build_adapter`; `group_linear` works between all maps and tokens.

    Raises:
        ValueError: no pair, numbers out of range, fewer steps than stages.
    """
    _check(features, weight, relax, share, order)
    outputs = [*label_terms(task, labels), *soft_terms(task, temperature, soft)]

    def stage(weights: list[float], duration: Length, name: str) -> Stage:
        projections = _projections(features, [weight * factor for factor in weights], adapter)
        return Stage([Update([*outputs, *projections])], duration, name=name)

    count = len(features)
    stages = [stage([1.0] * count, length, "one shot")]
    if order == "progressive":
        *first, last = _lengths(length, share, count)
        factors = [[relax ** (k - j) for j in range(1, min(k, count) + 1)] for k in range(1, count + 2)]
        stages = [stage(factors[k], duration, f"projection {k + 1}") for k, duration in enumerate(first)]
        stages.append(stage(factors[-1], last, "outputs"))
    return {"stages": stages, "evaluate": {"student": "student"}}


def _check(features: Mapping[str, str], weight: float, relax: float, share: float, order: str) -> None:
    if not features:
        raise ValueError("progressive_projection: features is empty; name pairs of taps, such as {blocks.1: layer2}")
    if weight <= 0 or not 0 <= relax <= 1 or not 0 < share < 1:
        raise ValueError(
            f"progressive_projection: weight is {weight}, relax {relax} and share {share}; expected a weight above 0, relax "
            "from 0 to 1, and a share between 0 and 1"
        )
    if order not in ("progressive", "one_shot"):
        raise ValueError(f"progressive_projection: order is {order!r}; expected progressive or one_shot")


def _projections(features: Mapping[str, str], weights: list[float], adapter: str) -> list[Term]:
    """The terms of the first pairs, one for each weight; a pair of weight 0 is left out."""
    return [
        Term(Hint(), f"student:{ours}", f"teacher:{theirs}", adapter, weight, name=f"projection.{number}")
        for number, ((ours, theirs), weight) in enumerate(zip(features.items(), weights, strict=False), 1)
        if weight > 0
    ]


def _lengths(length: Length, share: float, count: int) -> list[Length]:
    """The lengths of the first `count` stages, and of the last one; together they are the whole."""
    each = length.count * share / count
    if length.unit == "steps":
        each = int(each)
    rest = length.count - count * each
    if each <= 0 or rest <= 0:
        raise ValueError(
            f"progressive_projection: {length.count:g} steps are too few for {count + 1} stages with a share of {share:g}; "
            "train longer"
        )
    return [*[Length(each, length.unit)] * count, Length(rest, length.unit)]
