"""Sampling of text from a causal language model, with random numbers of each item's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.model_io import logits_of

NO_STOP = 2**31 - 1  # a token that no model has: `generate` would otherwise stop at that of the model's configuration


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: the logits are divided by it.
        top_k: only the k most probable tokens; None: all. 1 always takes the most probable one.
        top_p: only the most probable tokens whose probabilities add up to p; 1: all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The next token of each item, `[B, 1]`, by inverse transform sampling.

        Each item has a uniform number of its own, so its token does not depend on the other items of the batch.

        Args:
            logits: `[B, vocabulary]`.
            uniform: in [0, 1), `[B, 1]`.
        """
        probabilities = self._truncate(torch.softmax(logits.float() / self.temperature, -1))
        cumulative = probabilities.cumsum(-1)
        # Searched from the right, so that a uniform number of exactly 0 does not choose a token of probability 0; kept below 1,
        # so that rounding does not reach beyond the last token with a probability.
        return torch.searchsorted(cumulative, uniform.clamp(max=1 - 2**-23) * cumulative[:, -1:], right=True)

    def _truncate(self, probabilities: Tensor) -> Tensor:
        """Probabilities with 0 for tokens that are not sampled; not renormalised."""
        if self.top_k is None and self.top_p == 1:
            return probabilities
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        kept = torch.ones_like(ordered, dtype=torch.bool)
        if self.top_k is not None:
            kept[:, self.top_k :] = False
        if self.top_p < 1:
            kept &= ordered.cumsum(-1) - ordered < self.top_p  # the most probable token always stays
        return torch.zeros_like(probabilities).scatter(-1, tokens, ordered * kept)


@dataclass(frozen=True)
class Continuations:
    """Sampled tokens of each item.

    Attributes:
        tokens: `[B, new_tokens]`; 0 behind the last sampled one.
        lengths: number of sampled tokens, a stop token included, `[B]`.
    """

    tokens: Tensor
    lengths: Tensor


def uses_generate(model: nn.Module) -> bool:
    """Whether a model is one of Transformers that generates text with a cache of keys and values."""
    return callable(getattr(model, "generate", None)) and getattr(model, "generation_config", None) is not None


@torch.no_grad()
def continue_prompts(
    model: nn.Module, prompts: Sequence[Tensor], uniform: Tensor, sampling: Sampling, stop: Sequence[int] = ()
) -> Continuations:
    """Samples tokens after each prompt.

    Args:
        model: in evaluation mode. One of Transformers keeps keys and values of earlier tokens, and reads prompts padded on the
            left; any other is run on all tokens again for each new one.
        prompts: token ids of each item, `[T]`, of any length.
        uniform: random numbers in [0, 1) of each item, `[B, new_tokens]`.
        sampling: how tokens are chosen.
        stop: tokens after which an item ends.
    """
    uniform = uniform.to(next(model.parameters()).device)
    run = _generate if uses_generate(model) else sample_without_cache
    return run(model, prompts, uniform, sampling, stop)


def sample_without_cache(
    model: nn.Module, prompts: Sequence[Tensor], uniform: Tensor, sampling: Sampling, stop: Sequence[int]
) -> Continuations:
    """As `continue_prompts`, for any causal model of token ids `[B, T]`: its time grows with the square of the length."""
    new_tokens, device = uniform.shape[1], uniform.device
    starts = torch.tensor([len(prompt) for prompt in prompts], device=device)
    tokens = pad_right([*prompts], 0).to(device)
    running = torch.ones(len(prompts), dtype=torch.bool, device=device)
    made, lengths = torch.zeros(len(prompts), new_tokens, dtype=torch.long, device=device), torch.zeros_like(starts)
    items, stops = torch.arange(len(prompts), device=device), torch.tensor(list(stop), dtype=torch.long, device=device)
    for number in range(new_tokens):
        logits = logits_of(model(tokens))
        assert isinstance(logits, Tensor)
        last = starts + number - 1
        chosen = sampling.choose(logits[items, last], uniform[:, number : number + 1])[:, 0] * running
        made[:, number] = chosen
        lengths += running
        running = running & ~torch.isin(chosen, stops)
        if stops.numel() and not running.any():
            break
        tokens = torch.cat([tokens, tokens.new_zeros(len(tokens), 1)], dim=1)
        tokens[items, last + 1] = chosen
    return Continuations(made, lengths)


def _generate(
    model: nn.Module, prompts: Sequence[Tensor], uniform: Tensor, sampling: Sampling, stop: Sequence[int]
) -> Continuations:
    """With Transformers' `generate`, which reads each token once."""
    from transformers import GenerationConfig, LogitsProcessorList

    new_tokens, device = uniform.shape[1], uniform.device
    width = max(len(prompt) for prompt in prompts)
    tokens = torch.stack([torch.nn.functional.pad(prompt, (width - len(prompt), 0)) for prompt in prompts]).to(device)
    mask = torch.stack([torch.arange(width) >= width - len(prompt) for prompt in prompts]).long().to(device)
    config = GenerationConfig(
        max_new_tokens=new_tokens, do_sample=False, use_cache=True, eos_token_id=list(stop) or [NO_STOP], pad_token_id=0
    )
    chooser = _Chooser(sampling, uniform, width)
    with _blank_generation_config(model):
        found = model.generate(  # type: ignore[operator]
            tokens, attention_mask=mask, generation_config=config, logits_processor=LogitsProcessorList([chooser])
        )
    made = torch.nn.functional.pad(found[:, width:], (0, new_tokens - (found.shape[1] - width)))
    stopped = torch.isin(made, torch.tensor(list(stop), dtype=torch.long, device=device))
    first = torch.where(stopped.any(1), stopped.int().argmax(1), new_tokens - 1)
    made = made * (torch.arange(new_tokens, device=device) <= first[:, None])
    return Continuations(made, first + 1)


class _Chooser:
    """A logits processor of Transformers: gives the sampled token the score 0 and all others -∞, for greedy decoding.

    `generate` itself draws from the global generator, one number after the other for all items of a batch.
    """

    def __init__(self, sampling: Sampling, uniform: Tensor, width: int) -> None:
        self.sampling, self.uniform, self.width = sampling, uniform, width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        number = input_ids.shape[1] - self.width
        chosen = self.sampling.choose(scores, self.uniform[:, number : number + 1])
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


@contextmanager
def _blank_generation_config(model: Any) -> Iterator[None]:
    """Hides the generation defaults of a model, such as a repetition penalty: samples are those of the model alone."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def pad_right(rows: Sequence[Tensor], value: int) -> Tensor:
    """Rows of different lengths as one tensor `[B, T]`."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
