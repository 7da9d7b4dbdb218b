"""`Inversion`: inputs, or a generator of them, are trained through models that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actor, Actors, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.terms import Term
from limbeck.data.sources.augmented_inputs import run_augmented
from limbeck.utils.seeds import mix_seeds

BETAS = (0.5, 0.9)  # of Adam, as in DeepInversion
AUGMENTED = "augmented"


class Inversion:
    """The terms that made inputs are trained by, with the models that read them.

    All models run in evaluation mode, and gradient passes through them to the maker only. Each has the variant `augmented`.

    Args:
        maker: name of the model whose outputs are the inputs of the others; among `models`.
        models: all models by name.
        terms: of the loss.
        example: a batch that the maker reads.
        seed: of what objectives learn.
    """

    def __init__(self, maker: str, models: Mapping[str, nn.Module], terms: Sequence[Term], example: Batch, seed: int) -> None:
        self.maker = models[maker]
        actors = Actors({name: _actor(model) for name, model in models.items()})
        self.criterion = Criterion(terms, actors=actors, trains=(maker,), generator=maker, example=example, seed=seed)
        self.criterion.to(next(self.maker.parameters()).device)

    def run(
        self,
        batch: Batch,
        *,
        steps: int,
        lr: float,
        generator_lr: float,
        seed: int,
        autocast: torch.dtype | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Trains the maker on one batch; returns the inputs of the step with the least loss, and the terms at that step.

        Args:
            lr: of the parameters that are of single rows (pixels, latents).
            generator_lr: of all others.
            seed: of augmentations.
            autocast: data type of mixed precision; float16 is not taken, in which gradients vanish without loss scaling.

        Raises:
            ValueError: no step had a finite loss.
        """
        mixed = None if autocast is torch.float16 else autocast
        optimizer = torch.optim.Adam(self._groups(lr, generator_lr), betas=BETAS)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        best, least, values = torch.empty(0), torch.tensor(torch.inf), dict[str, Tensor]()
        for step in range(steps):
            cache = ForwardCache(self.criterion.probes, batch, self.criterion.plan, autocast=mixed, seed=mix_seeds(seed, step))
            with torch.enable_grad():
                losses = self.criterion(batch, progress=step / steps, forward_cache=cache)
                gradients = torch.autograd.grad(losses["loss"], parameters, allow_unused=True)
            assert cache.generated is not None
            made, loss = cache.generated.detach(), losses["loss"].detach()
            if step == 0:
                best, least = made.clone(), torch.full_like(loss, torch.inf)
                values = {name: torch.full_like(loss, torch.inf) for name in losses}
            better = loss < least  # a tensor: nothing waits for the device
            best, least = torch.where(better, made, best), torch.where(better, loss, least)
            values = {name: torch.where(better, value.detach(), values[name]) for name, value in losses.items()}
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if not bool(least.isfinite()):
            raise ValueError("synthesis: no step of a round had a finite loss; lower lr, or the weights of its terms")
        return best.float(), values

    def _groups(self, lr: float, generator_lr: float) -> list[dict[str, object]]:
        own = set(getattr(self.maker, "of_rows", ()))
        rows = [parameter for name, parameter in self.maker.named_parameters() if name in own]
        others = [parameter for name, parameter in self.maker.named_parameters() if name not in own]
        groups: list[dict[str, object]] = [{"params": rows, "lr": lr}]
        return [*groups, {"params": [*others, *self.criterion.parameters()], "lr": generator_lr}]


def _actor(model: nn.Module) -> Actor:
    own = getattr(model, "variants", None)
    return trained(model, variants={**(own if isinstance(own, Mapping) else {}), AUGMENTED: run_augmented})
