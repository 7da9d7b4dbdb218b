"""Inputs that no data set holds: from a generator, or written by the student itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.model_io import logits_of, preserve_modes
from limbeck.core.source import BatchPosition, Source


def position_generator(position: BatchPosition, stream: str) -> torch.Generator:
    """A generator that depends on nothing but the place and what it is drawn for."""
    text = f"{position.seed}/{position.step}/{stream}".encode()
    seed = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
    return torch.Generator().manual_seed(seed)


class Generated(Source):
    """Noise that an actor turns into inputs: `Generated("generator", batch_size=128)`.

    The batch holds noise z ~ N(0, 1); every actor other than the generator sees generator(z). In an update that trains the
    generator gradient passes through all actors to it; later updates of the same step see the same inputs, detached.

    Args:
        actor: the name of the generator.
        batch_size: inputs in a batch.
        noise: length of z, or its shape.
    """

    def __init__(self, actor: str, batch_size: int = 128, noise: int | tuple[int, ...] = 100) -> None:
        if batch_size < 1:
            raise ValueError(f"Generated: batch_size is {batch_size}; expected 1 or more")
        self.generator = actor
        self.batch_size = batch_size
        self.noise = (noise,) if isinstance(noise, int) else tuple(noise)

    def batch(self, position: BatchPosition) -> Batch:
        z = torch.randn(self.batch_size, *self.noise, generator=position_generator(position, "noise"))
        return Batch({DEFAULT_VIEW: piece(z, position)})


class OwnSamples(Source):
    """Text that the student writes: each batch continues prompts by tokens sampled from the actor (GKD, 2306.13649).

    No gradient passes through the sampling. `mask` marks the positions whose next token was sampled, so that a token-wise loss
    counts these and nothing else.

    Args:
        actor: who writes; its output must hold logits [batch, tokens, vocabulary].
        prompts: token indices [prompts, length], all of one length.
        batch_size: prompts in a batch.
        new_tokens: how many tokens are sampled after each prompt.
        temperature: of the sampling only.
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
        self._writer: nn.Module | None = None

    def bind(self, models: Mapping[str, nn.Module]) -> None:
        """Called by the run: who writes."""
        if self.actor not in models:
            raise ValueError(f"OwnSamples: actor {self.actor!r} is not among the actors: {', '.join(models)}")
        self._writer = models[self.actor]

    @torch.no_grad()
    def batch(self, position: BatchPosition) -> Batch:
        if self._writer is None:
            raise ValueError("OwnSamples: it yields batches within a run only, which says who writes")
        writer, generator = self._writer, position_generator(position, "samples")
        rows = torch.randperm(len(self.prompts), generator=generator)[: self.batch_size]
        noise = torch.rand(self.new_tokens, self.batch_size, generator=generator)
        rows, noise = piece(rows, position), piece(noise.T, position).T
        device = next(writer.parameters()).device
        tokens = self.prompts[rows].to(device)
        start = tokens.shape[1]
        with preserve_modes(writer):
            writer.eval()
            for row in noise.to(device):
                tokens = torch.cat([tokens, self._next(writer, tokens, row[:, None])], dim=1)
        mask = torch.zeros(tokens.shape, device=device)
        mask[:, start - 1 : -1] = 1  # the logits at position i speak of token i + 1
        return Batch({DEFAULT_VIEW: tokens}, index=rows.to(device), mask=mask)

    def _next(self, writer: nn.Module, tokens: Tensor, uniform: Tensor) -> Tensor:
        """One token for each item, by the inverse transform of its own uniform number: it does not depend on its batch."""
        logits = logits_of(writer(tokens))
        assert isinstance(logits, Tensor)
        cumulative = torch.softmax(logits[:, -1].float() / self.temperature, -1).cumsum(-1)
        # From the right, so that a uniform number of exactly 0 does not choose a token of probability 0.
        chosen = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        return chosen.clamp(max=logits.shape[-1] - 1)


def piece(rows: Tensor, position: BatchPosition) -> Tensor:
    """This place's share of a global batch."""
    if len(rows) % position.parts:
        raise ValueError(
            f"a batch of {len(rows)} items cannot be cut into {position.parts} equal pieces (ranks × accumulation steps); "
            f"make batch_size a multiple of {position.parts}"
        )
    share = len(rows) // position.parts
    return rows[position.part * share : (position.part + 1) * share]
