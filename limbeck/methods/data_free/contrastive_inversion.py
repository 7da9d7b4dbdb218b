"""Contrastive model inversion (Fang et al. 2021), and its fast form with a meta-generator (Fang et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.data.sources import BalancedLabels
from limbeck.engine import Length
from limbeck.methods.data_free import parts
from limbeck.methods.data_free.made_inputs import MadeInputs, weighted
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import soft_terms
from limbeck.objectives.contrastive_memory import FANG_2021
from limbeck.tasks import Task


@registry.register("contrastive_inversion", cite=FANG_2021)
def contrastive_inversion(
    *,
    task: Task,
    length: Length,
    shape: Sequence[int],
    classes: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 128,
    samples: int = 256,
    every: int = 100,
    steps: int = 100,
    lr: float = 0.05,
    generator_lr: float = 3e-3,
    latent: int = 64,
    width: int = 32,
    statistics: float = 1.0,
    one_hot: float = 1.0,
    adversary: float = 0.5,
    contrast: float = 0.8,
    features: str = "input(linear)",
    memory: int = 4096,
    meta: float | None = None,
    temperature: float = 4.0,
    view: Sequence[str | Mapping[str, Any]] = (),
) -> DistillationArguments:
    """Makes inputs that differ from each other and from all earlier ones, by a new generator in each round:

    inputs: r · BN statistics + o · CE(y, teacher) − a · KL(teacher ‖ student) + k · InfoNCE(teacher's features, memory);
    student: T² KL(p_T(teacher) ‖ p_T(student)) on all inputs that were kept.

    Generator and latents are trained together. With `meta` the generator is not new, but carried on from round to round, so
    that a few steps do: `meta: 0.5, steps: 10, every: 10` (the fast form, Fang et al. 2022, arXiv 2112.15278; rule of Reptile).

    Args:
        shape, low, high, batch_size: of one input and its numbers, and of the student's batches; see `MadeInputs`.
        classes: of the teacher; None: as many as it has outputs.
        samples: inputs that are made at once, in so many `steps`; `every`: steps of the student between two rounds.
        lr, generator_lr, latent, width: of the latents and of the generator.
        statistics, one_hot, adversary, contrast: r (0 for a teacher without BatchNorm), o, a and k.
        features, memory: the tap of the teacher that is contrasted, and how many inputs are kept.
        meta: share by which the carried generator follows the trained one; None: each round has a new generator.
        temperature, view: T, and the view of student and teacher, such as `[horizontal_flip, {random_crop: {padding: 4}}]`.

    Raises:
        ValueError: numbers out of range.
    """
    made = MadeInputs("contrastive_inversion", shape, low, high, batch_size)
    terms = weighted(
        "contrastive_inversion",
        one_hot=(one_hot, parts.labels),
        statistics=(statistics, parts.statistics),
        adversary=(adversary, lambda: parts.adversary("kl")),
        contrast=(contrast, lambda: parts.contrast(features, memory, steps)),
    )
    rates = {"lr": lr, "generator_lr": generator_lr, "meta": meta}
    maker, learn = made.generator(latent, width, samples), soft_terms(task, temperature, 1.0)
    return made.synthesis(
        terms, learn, length, maker, targets=BalancedLabels(classes), steps=steps, every=every, size=memory, view=view, **rates
    )
