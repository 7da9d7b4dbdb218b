"""An adversary that is kept to what the teacher knows (after Choi et al. 2020, arXiv 2005.04136)."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.core.terms import Term
from limbeck.engine import Length
from limbeck.methods.data_free import parts
from limbeck.methods.data_free.made_inputs import MadeInputs, weighted
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.objectives import Disagreement

BIBTEX = """
    @inproceedings{choi2020data,
        title = {Data-Free Network Quantization With Adversarial Knowledge Distillation},
        author = {Choi, Yoojin and Choi, Jihwan and El-Khamy, Mostafa and Lee, Jungwon},
        booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition Workshops},
        year = {2020},
        eprint = {2005.04136},
        archiveprefix = {arXiv},
    }
"""


@registry.register("dfq", cite=BIBTEX)
def dfq(
    *,
    length: Length,
    shape: Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 128,
    adversary: float = 1.0,
    distance: str = "l1",
    one_hot: float = 1.0,
    balance: float = 5.0,
    statistics: float = 1.0,
    repeat: int = 5,
    latent: int = 256,
    width: int = 32,
    generator_lr: float = 4e-2,
) -> DistillationArguments:
    """A generator seeks inputs on which student and teacher differ, among those that the teacher knows:

    generator: −a · |teacher − student| + o · one-hot + b · balance + r · BN statistics; student: mean |z_teacher − z_student|.

    Of the methods here the one to start with. The paper's adversary is a divergence (`distance: kl`), like its student's term.

    Args:
        shape: of one input of the teacher, [channels, height, width] or [numbers].
        low, high: bounds of the numbers.
        batch_size: inputs in a batch.
        adversary, one_hot, balance, statistics: a, o, b and r; `statistics: 0` for a teacher without BatchNorm.
        distance: of the adversary, `l1`, `kl` or `js`.
        repeat: steps of the student for each of the generator, on new inputs.
        latent, width: of the generator.
        generator_lr: of its Adam. High, so that the generator changes faster than the student forgets what it made before.

    Raises:
        ValueError: numbers out of range.
    """
    made = MadeInputs("dfq", shape, low, high, batch_size)
    seek = weighted(
        "dfq",
        adversary=(adversary, lambda: parts.adversary(distance)),
        one_hot=(one_hot, parts.one_hot),
        balance=(balance, parts.balance),
        statistics=(statistics, parts.statistics),
    )
    learn = [Term(Disagreement(distance="l1"), name="imitation")]
    return made.adversarial(seek, learn, length, repeat=repeat, latent=latent, width=width, lr=generator_lr, fresh=True)
