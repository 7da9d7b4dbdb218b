"""Adversarial belief matching (Micaelli & Storkey 2019, arXiv 1905.09768)."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.engine import Length
from limbeck.methods.data_free import parts
from limbeck.methods.data_free.made_inputs import MadeInputs, weighted
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import soft_terms
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{micaelli2019zero,
        title = {Zero-shot Knowledge Transfer via Adversarial Belief Matching},
        author = {Micaelli, Paul and Storkey, Amos},
        booktitle = {Advances in Neural Information Processing Systems},
        year = {2019},
        eprint = {1905.09768},
        archiveprefix = {arXiv},
    }
"""


@registry.register("belief_matching", cite=BIBTEX)
def belief_matching(
    *,
    task: Task,
    length: Length,
    shape: Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 128,
    attention: float = 7500.0,
    temperature: float = 1.0,
    repeat: int = 10,
    latent: int = 100,
    width: int = 32,
    generator_lr: float = 1e-3,
) -> DistillationArguments:
    """A generator seeks inputs on which student and teacher differ; the student takes ten steps on each batch of them:

    generator: −T² KL(p_T(teacher) ‖ p_T(student)); student: T² KL(p_T(teacher) ‖ p_T(student)) + β mean_l attention transfer.

    Args:
        shape: of one input of the teacher, [channels, height, width] or [numbers].
        low, high: bounds of the numbers.
        batch_size: inputs in a batch.
        attention: β; 0 for models without feature maps. The paper has 250 for the sum over three depths, beside a KL that its
            code divides by the number of classes: with ten of them 7,500 here.
        temperature: T of both. The paper has 1, at which a teacher that is sure of all inputs tells little but one class.
        repeat: steps of the student for each of the generator, on the same inputs.
        latent, width: of the generator.
        generator_lr: of its Adam.

    Raises:
        ValueError: numbers out of range.
    """
    made = MadeInputs("belief_matching", shape, low, high, batch_size)
    learn = soft_terms(task, temperature, 1.0)
    if attention:
        learn += weighted("belief_matching", attention=(attention, parts.attention))
    seek = [parts.adversary("kl", temperature)]
    return made.adversarial(seek, learn, length, repeat=repeat, latent=latent, width=width, lr=generator_lr)
