"""Data-free learning of student networks (Chen et al. 2019, arXiv 1904.01186)."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.engine import Length
from limbeck.methods.data_free import parts
from limbeck.methods.data_free.made_inputs import MadeInputs, weighted
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import soft_terms
from limbeck.objectives.synthesis import CHEN_2019
from limbeck.tasks import Task


@registry.register("dafl", cite=CHEN_2019)
def dafl(
    *,
    task: Task,
    length: Length,
    shape: Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 128,
    one_hot: float = 1.0,
    balance: float = 2.17,
    activation: float = 0.1,
    features: str = "input(linear)",
    temperature: float = 1.0,
    repeat: int = 1,
    latent: int = 100,
    width: int = 32,
    generator_lr: float = 0.2,
) -> DistillationArguments:
    """A generator makes inputs that the teacher is sure of, in all classes, and that excite it; the student learns on them:

    generator: o · CE(teacher, its own class) + b · (log C − H(mean prediction)) − a · mean |features|;
    student: T² KL(p_T(teacher) ‖ p_T(student)), on new inputs in each of its steps.

    The generator does not know the student, so nothing leads it to what the student has not learned yet. Where the
    teacher is sure of all inputs, no term has a gradient towards a class that is missing; the paper's learning rate is so high
    that the generator's weights keep moving.

    Args:
        shape: of one input of the teacher, [channels, height, width] or [numbers].
        low, high: bounds of the numbers.
        batch_size: inputs in a batch.
        one_hot, balance, activation: o, b and a. The paper's b is 5 with log₁₀, which is 2.17 with natural logarithms.
        features: the tap of the teacher for `activation`, what its classifier reads.
        temperature: T of the student's term.
        repeat: steps of the student for each of the generator.
        latent, width: of the generator.
        generator_lr: of its Adam, as in the paper on MNIST.

    Raises:
        ValueError: numbers out of range.
    """
    made = MadeInputs("dafl", shape, low, high, batch_size)
    seek = weighted(
        "dafl",
        one_hot=(one_hot, parts.one_hot),
        balance=(balance, parts.balance),
        activation=(activation, lambda: parts.activation(features)),
    )
    learn = soft_terms(task, temperature, 1.0)
    return made.adversarial(seek, learn, length, repeat=repeat, latent=latent, width=width, lr=generator_lr, fresh=True)
