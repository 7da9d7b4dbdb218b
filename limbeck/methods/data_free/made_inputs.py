"""What the methods without data share: the inputs that are made, who makes them, and the noise that they are compared with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.data.sources import Gaussian, Generated, Synthesis, Uniform
from limbeck.engine import Length, Optimizer, Stage, Update
from limbeck.methods.registration import DistillationArguments
from limbeck.methods.training_stages import scaled
from limbeck.models import dcgan, pixels, vector_generator

GENERATOR, IMAGES, TEACHER, STATISTICS = "generator", "images", "teacher", "teacher:statistics(*)"
Weights = Mapping[str, float]
ALWAYS = ("labels", "impression")  # parts whose weight is no argument of the method


@dataclass(frozen=True)
class MadeInputs:
    """Inputs that a method makes.

    Attributes:
        method: its name, for messages.
        shape: of one input: [channels, height, width], [numbers], or [tokens, width] of embeddings.
        low, high: bounds of the numbers.
        batch_size: inputs in a batch.

    Raises:
        ValueError: another shape, a number below one, or bounds in the wrong order.
    """

    method: str
    shape: Sequence[int]
    low: float
    high: float
    batch_size: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= 3 or min(self.shape) < 1:
            raise ValueError(
                f"{self.method}: shape is {list(self.shape)}; expected that of one input of the teacher, [channels, height, "
                "width] of an image, [numbers] of a vector, or [tokens, width] of embeddings"
            )
        if self.low >= self.high:
            raise ValueError(f"{self.method}: low is {self.low} and high is {self.high}; expected low < high")
        if self.batch_size < 2:
            raise ValueError(f"{self.method}: batch_size is {self.batch_size}; expected 2 or more")

    @property
    def are_images(self) -> bool:
        return len(self.shape) == 3

    def generator(self, latent: int, width: int, samples: int | None = None) -> Callable[[], nn.Module]:
        """Builds a generator of such inputs; with `samples` it has a table of as many latents.

        Raises:
            ValueError: images of a size that `dcgan` does not make; numbers below 1.
        """
        _check_positive(self.method, latent=latent, width=width, **({} if samples is None else {"samples": samples}))
        bounds: dict[str, Any] = {"low": self.low, "high": self.high, "latent": latent, "rows": samples}
        if self.are_images:
            dcgan(self.shape, latent, 1)  # refuses sizes with the recipe, not when the training starts
            return functools.partial(dcgan, shape=list(self.shape), width=width, **bounds)
        if len(self.shape) == 2:
            raise ValueError(
                f"{self.method}: shape is {list(self.shape)}, and no generator makes embeddings of tokens; "
                "zero_shot_kd and deep_inversion make them without one"
            )
        return functools.partial(vector_generator, size=self.shape[0], hidden=2 * width, **bounds)

    def pixels(self, samples: int) -> Callable[[], nn.Module]:
        """Builds inputs that are trained themselves."""
        _check_positive(self.method, samples=samples)
        return functools.partial(pixels, count=samples, shape=list(self.shape), low=self.low, high=self.high)

    def noise(self, source: Source) -> dict[str, dict[str, Any]]:
        """The controls: the same student, terms and steps on Gaussian and on uniform noise in place of the made inputs."""
        shape, middle, spread = list(self.shape), (self.low + self.high) / 2, (self.high - self.low) / 4
        given = {"low": self.low, "high": self.high}
        gaussian = Gaussian(shape, self.batch_size, mean=middle, std=spread, **given)
        return {
            "gaussian": {"source": {source: gaussian}},
            "uniform": {"source": {source: Uniform(shape, self.batch_size, **given)}},
        }

    def adversarial(
        self,
        seek: Sequence[Term],
        learn: Sequence[Term],
        length: Length,
        *,
        repeat: int,
        latent: int,
        width: int,
        lr: float,
        fresh: bool = False,
    ) -> DistillationArguments:
        """A generator and the student take their steps in turns.

        Args:
            seek: the terms of the generator.
            learn: the terms of the student.
            repeat: steps of the student for each of the generator.
            latent, width: of the generator.
            lr: of the generator's Adam, which falls to 0 on a cosine.
            fresh: whether each step of the student is on new inputs.
        """
        _check_positive(self.method, repeat=repeat, generator_lr=lr)
        generator, source = self.generator(latent, width), Generated(GENERATOR, self.batch_size, latent)
        updates = [
            Update(seek, trains=GENERATOR, source=source, optimizer=Optimizer("adam", lr, "cosine")),
            Update(learn, source=source, repeat=repeat, fresh=fresh),
        ]
        return {
            "stages": [Stage(updates, length, name=self.method)],
            "actors": {GENERATOR: generator},
            "controls": self.noise(source),
        }

    def synthesis(
        self, terms: Sequence[Term], learn: Sequence[Term], length: Length, maker: Callable[[], nn.Module], **options: Any
    ) -> DistillationArguments:
        """Inputs are made in rounds and kept; the student learns on what is kept.

        Args:
            terms: that the inputs are trained by.
            learn: the terms of the student.
            maker: builds the pixels, or the generator with a table of latents.
            options: of `Synthesis`.

        Raises:
            ValueError: a view of inputs that are no images.
        """
        if options.get("view") and not self.are_images:
            raise ValueError(f"{self.method}: view changes images, and shape is {list(self.shape)}; leave view out")
        source = Synthesis(IMAGES, terms, batch_size=self.batch_size, **options)
        return {
            "stages": [Stage([Update(learn, source=source)], length, name=self.method)],
            "actors": {IMAGES: maker},
            "controls": self.noise(source),
        }


def _check_positive(method: str, **values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{method}: {name} is {value}; expected a number above 0")


def weighted(method: str, **parts: tuple[float, Callable[[], Term]]) -> list[Term]:
    """Returns the terms of the parts whose weight is not 0, each multiplied by its weight, and with the remedy if it cannot be.

    Args:
        parts: by the name of the argument: its weight, and what makes the term.

    Raises:
        ValueError: a negative weight, or none above 0.
    """
    found: list[Term] = []
    for name, (weight, make) in parts.items():
        if weight < 0:
            raise ValueError(f"{method}: {name} is {weight}; expected a weight of 0 or more")
        if weight > 0:
            (term,) = scaled([make()], weight)
            out = [] if name in ALWAYS else [f"{method}: {name}: 0 leaves this term out"]
            found.append(replace(term, remedy="; ".join([term.remedy] * bool(term.remedy) + out)))
    if not found:
        raise ValueError(f"{method}: all of {', '.join(parts)} are 0; expected one weight above that")
    return found
