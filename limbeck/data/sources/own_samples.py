"""`OwnSamples`: prompts continued by text that an actor samples, for on-policy distillation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.model_io import logits_of, preserve_modes
from limbeck.core.source import BatchPosition, Source, registry


@registry.register("own_samples")
class OwnSamples(Source):
    """Prompts, each continued by tokens sampled from an actor.

    No gradient passes through the sampling. The mask of a batch marks the positions whose next token was sampled, so that
    token-wise losses are computed at these positions only.

    Args:
        actor: name of the actor that samples. Its output must contain logits `[B, T, vocabulary]`.
        prompts: token ids `[prompts, T]`, all of one length.
        batch_size: prompts in a batch.
        new_tokens: tokens sampled after each prompt.
        temperature: of the sampling.

    Raises:
        ValueError: a temperature that is not positive.

    Source: Agarwal et al. 2024, On-policy distillation of language models (arXiv:2306.13649).
    """

    def __init__(
        self, actor: str, prompts: Tensor, *, batch_size: int = 16, new_tokens: int = 32, temperature: float = 1.0
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"OwnSamples: temperature is {temperature}; expected a positive number")
        self.actor, self.prompts, self.batch_size = actor, prompts, min(batch_size, len(prompts))
        self.new_tokens, self.temperature = new_tokens, temperature
        self.samples = len(prompts)
        self.steps_per_epoch = max(1, len(prompts) // self.batch_size)
        self._model: nn.Module | None = None

    @property
    def actors(self) -> tuple[str, ...]:
        return (self.actor,)

    def bind(self, models: Mapping[str, nn.Module]) -> None:
        if self.actor not in models:
            raise ValueError(f"OwnSamples: actor {self.actor!r} is not among the actors: {', '.join(models)}")
        self._model = models[self.actor]

    @torch.no_grad()
    def batch(self, position: BatchPosition) -> Batch:
        if self._model is None:
            raise ValueError("OwnSamples: batches can be computed within a run only, which binds the actor that samples")
        model, generator = self._model, position.random_generator("samples")
        rows = torch.randperm(len(self.prompts), generator=generator)[: self.batch_size]
        noise = torch.rand(self.new_tokens, self.batch_size, generator=generator)
        rows, noise = position.part_of(rows), position.part_of(noise.T).T
        device = next(model.parameters()).device
        tokens = self.prompts[rows].to(device)
        start = tokens.shape[1]
        with preserve_modes(model):
            model.eval()
            for uniform in noise.to(device):
                tokens = torch.cat([tokens, self._sample(model, tokens, uniform[:, None])], dim=1)
        mask = torch.zeros(tokens.shape, device=device)
        mask[:, start - 1 : -1] = 1  # the logits at position i predict token i + 1
        return Batch({DEFAULT_VIEW: tokens}, index=rows.to(device), mask=mask)

    def _sample(self, model: nn.Module, tokens: Tensor, uniform: Tensor) -> Tensor:
        """The next token of each item, `[B, 1]`, by inverse transform sampling.

        Each item has a uniform number of its own, so its token does not depend on the other items of the batch.
        """
        logits = logits_of(model(tokens))
        assert isinstance(logits, Tensor)
        cumulative = torch.softmax(logits[:, -1].float() / self.temperature, -1).cumsum(-1)
        # searched from the right, so that a uniform number of exactly 0 does not choose a token of probability 0
        chosen = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        return chosen.clamp(max=logits.shape[-1] - 1)
