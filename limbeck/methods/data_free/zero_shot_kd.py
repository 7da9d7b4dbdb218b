"""Zero-shot knowledge distillation (Nayak et al. 2019, arXiv 1905.08114)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.data.sources import DirichletTargets
from limbeck.engine import Length
from limbeck.methods.data_free import parts
from limbeck.methods.data_free.made_inputs import MadeInputs, weighted
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import soft_terms
from limbeck.objectives.synthesis import NAYAK_2019
from limbeck.tasks import Task


@registry.register("zero_shot_kd", cite=NAYAK_2019)
def zero_shot_kd(
    *,
    task: Task,
    length: Length,
    shape: Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 128,
    samples: int = 2048,
    rounds: int = 1,
    steps: int = 50,
    lr: float = 0.1,
    temperature: float = 4.0,
    scales: Sequence[float] = (1.0, 0.1),
    smoothness: float = 0.0,
    layer: str | None = None,
    view: Sequence[str | Mapping[str, Any]] = (),
) -> DistillationArguments:
    """Trains inputs until the teacher gives them class probabilities y ~ Dirichlet(β c_k), then the student on them:

    inputs: T² KL(y ‖ p_T(teacher)); student: T² KL(p_T(teacher) ‖ p_T(student)).

    c_k are the similarities of class k to all others in the weights of the teacher's last linear layer, see
    `DirichletTargets`. The paper makes 40,000 inputs in 1,500 steps of Adam at 0.001 for each batch of 100.

    Args:
        shape: of one input of the teacher, [channels, height, width] or [numbers].
        low, high: bounds of the numbers; rows of a table have standardised features: −2 and 2.
        batch_size: of the student's batches.
        samples, rounds: inputs that are made at once, and how often, before the student starts.
        steps, lr: of each round. Many inputs in few steps stay as far apart as the noise from which they start.
        temperature: T of both. The paper has 20, at which a target near one class takes logits that few inputs have.
        scales: the β.
        smoothness: weight of an image prior, which the paper does not have.
        layer: path of the teacher's last linear layer; None: it is found.
        view: transforms under which student and teacher see images, as `[horizontal_flip, {random_crop: {padding: 4}}]`.

    Raises:
        ValueError: numbers out of range.
    """
    made = MadeInputs("zero_shot_kd", shape, low, high, batch_size)
    terms = weighted(
        "zero_shot_kd", impression=(1.0, lambda: parts.impression(temperature)), smoothness=(smoothness, parts.smoothness)
    )
    return made.synthesis(
        terms,
        soft_terms(task, temperature, 1.0),
        length,
        made.pixels(samples),
        targets=DirichletTargets(layer=layer, scales=scales),
        steps=steps,
        lr=lr,
        ahead=rounds,
        rounds=rounds,
        size=samples * rounds,
        view=view,
    )
