"""`Generated`: noise, or row numbers, that an actor turns into inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.model_io import call_model, logits_of, preserve_modes
from limbeck.core.source import BatchPosition, Source, registry, require_counts


@registry.register("generated")
class Generated(Source):
    """Noise z ~ N(0, 1) that an actor turns into inputs: `Generated("generator", batch_size=128)`.

    Every actor other than the generator receives generator(z). In an update that trains the generator, gradient passes through
    all actors to it; later updates of the same step use the same inputs, detached.

    With `rows` the actor is called with row numbers instead, such as those of images whose pixels are parameters (the model
    `pixels`): `Generated("images", batch_size=128, rows=1024, classes=10)`.

    Args:
        actor: name of the generator.
        batch_size: inputs in a batch.
        noise: length of z, or its shape.
        rows: number of rows; each batch holds other ones of them, none twice. None: noise.
        classes: of rows: row n has the label n modulo this, which the images are trained to show. None: no labels.

    Raises:
        ValueError: a batch size, a length of z or a number of rows below 1; fewer rows than a batch; classes without rows.
    """

    reads_data = False

    def __init__(
        self,
        actor: str,
        batch_size: int = 128,
        noise: int | Sequence[int] = 100,
        *,
        rows: int | None = None,
        classes: int | None = None,
    ) -> None:
        require_counts("Generated", batch_size=batch_size)
        if rows is not None and rows < batch_size:
            raise ValueError(f"Generated: rows is {rows}; expected at least those of one batch, {batch_size}")
        if classes is not None and (rows is None or classes < 1):
            raise ValueError(f"Generated: classes is {classes}; expected 1 or more, of rows (rows: …), which have labels")
        self.generator = actor
        self.batch_size, self.rows, self.classes = batch_size, rows, classes
        self.noise = (noise,) if isinstance(noise, int) else tuple(noise)
        if not self.noise or min(self.noise) < 1:
            raise ValueError(f"Generated: noise is {noise!r}; expected the length of z, or its shape such as [64, 4, 4]")

    def batch(self, position: BatchPosition) -> Batch:
        generator = position.random_generator("noise")
        if self.rows is not None:
            return self._of_rows(position.part_of(torch.randperm(self.rows, generator=generator)[: self.batch_size]))
        z = torch.randn(self.batch_size, *self.noise, generator=generator)
        return Batch({DEFAULT_VIEW: position.part_of(z)})

    @torch.no_grad()
    def made(self, models: Mapping[str, nn.Module]) -> Batch | None:
        assert self.generator is not None
        model, batch = models[self.generator], self.batch(BatchPosition(0))
        device = next(model.parameters()).device
        with preserve_modes(model):
            found = logits_of(call_model(model.eval(), batch.to(device).inputs[DEFAULT_VIEW]))
        return Batch({DEFAULT_VIEW: found}, target=batch.target)

    def _of_rows(self, rows: Tensor) -> Batch:
        return Batch({DEFAULT_VIEW: rows}, target=None if self.classes is None else rows % self.classes)
