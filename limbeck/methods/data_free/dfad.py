"""Data-free adversarial distillation (Fang et al. 2019, arXiv 1912.11006)."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.core.terms import Term
from limbeck.engine import Length
from limbeck.methods.data_free import parts
from limbeck.methods.data_free.made_inputs import MadeInputs
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.objectives import Disagreement
from limbeck.objectives.disagreement import FANG_2019


@registry.register("dfad", cite=FANG_2019)
def dfad(
    *,
    length: Length,
    shape: Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 128,
    repeat: int = 5,
    latent: int = 100,
    width: int = 32,
    generator_lr: float = 1e-3,
) -> DistillationArguments:
    """A generator raises the absolute difference of student's and teacher's logits, and the student lowers it:

    generator: −mean |z_teacher − z_student|; student: mean |z_teacher − z_student|, on new inputs in each of its steps.

    Args:
        shape: of one input of the teacher, [channels, height, width] or [numbers].
        low, high: bounds of the numbers.
        batch_size: inputs in a batch.
        repeat: steps of the student for each of the generator.
        latent, width: of the generator.
        generator_lr: of its Adam.

    Raises:
        ValueError: numbers out of range.
    """
    made = MadeInputs("dfad", shape, low, high, batch_size)
    learn = [Term(Disagreement(distance="l1"), name="imitation")]
    return made.adversarial(
        [parts.adversary("l1")], learn, length, repeat=repeat, latent=latent, width=width, lr=generator_lr, fresh=True
    )
