"""`OwnSamples`: prompts continued by text that an actor samples, for on-policy distillation."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.model_io import preserve_modes
from limbeck.core.source import BatchPosition, DataReader, Observation, Source, registry, require_counts
from limbeck.data.sources.kept_samples import KeptSamples
from limbeck.data.sources.prompts import Prompts
from limbeck.data.sources.sampling import Continuations, Sampling, continue_prompts, pad_right, uses_generate
from limbeck.utils import distributed


@registry.register("own_samples")
class OwnSamples(Source):
    """Prompts, each continued by tokens sampled from an actor.

    No gradient passes through the sampling. The mask of a batch marks the positions whose next token was sampled, so that
    token-wise losses are computed at these positions only. An item's sample depends on the seed, the step and the prompt, not
    on the other items of its batch. Models of Transformers sample with their cache of keys and values; their batches are
    `input_ids` with an `attention_mask`, padded on the right. Other models are called with token ids `[B, T]`.

    Args:
        actor: name of the actor that samples. Its output must contain logits `[B, T, vocabulary]`.
        prompts: token ids `[prompts, T]`, a list of lists of token ids or of texts, `Items` of texts or tokens, a file, or a
            mapping with the fields of `data.train` of a recipe. A recipe tokenizes texts with the tokenizer of the run.
        batch_size: prompts in a batch.
        new_tokens: tokens sampled after each prompt, at most.
        temperature: of the sampling.
        top_k: only the k most probable tokens are sampled; 1 takes the most probable one.
        top_p: only the most probable tokens are sampled whose probabilities add up to p.
        stop: tokens that end a sample. Default: the end of a text in the configuration of a model of Transformers.
        keep: items that are kept and drawn again before new ones are made; None: every batch is new. With `keep` items in the
            memory, `keep / batch_size` steps draw new samples, and as many steps draw them again, in another order.
        draws: how often each kept item is drawn in all.
        views: further views, by name: other prompts, one for each of `prompts`, with the same samples behind them. So a teacher
            may read what the student does not: `views={"solution": …}` and the reference `teacher#solution`. A mapping without
            a path is another column of the prompts' file: `views: {solution: {input: question_with_solution}}`.
        tokenizer: of texts, if there is no recipe.

    Raises:
        ValueError: an argument out of range; no prompts, or one without tokens; a view with more or fewer prompts.

    Source: Agarwal et al. 2024, On-policy distillation of language models (arXiv:2306.13649).
    """

    def __init__(
        self,
        actor: str,
        prompts: Any,
        *,
        batch_size: int = 16,
        new_tokens: int = 32,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        stop: int | Sequence[int] | None = None,
        keep: int | None = None,
        draws: int = 2,
        views: Mapping[str, Any] | None = None,
        tokenizer: Any = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"OwnSamples: temperature is {temperature}; expected a positive number (top_k=1: no randomness)")
        if not 0 < top_p <= 1:
            raise ValueError(f"OwnSamples: top_p is {top_p}; expected a probability above 0, at most 1 (all tokens)")
        require_counts("OwnSamples", batch_size=batch_size, new_tokens=new_tokens, top_k=top_k, draws=draws)
        self.actor, self.new_tokens, self.draws, self.keep = actor, new_tokens, draws, keep
        self.sampling = Sampling(temperature, top_k, top_p)
        self.stop: tuple[int, ...] | None = (stop,) if isinstance(stop, int) else None if stop is None else tuple(stop)
        self.batch_size, self.prompts = batch_size, Prompts(prompts, tokenizer)
        self.views = {
            view: Prompts(self._in_file(view, each), tokenizer, f"views.{view}") for view, each in (views or {}).items()
        }
        if DEFAULT_VIEW in self.views:
            raise ValueError(f"OwnSamples: views hold {DEFAULT_VIEW!r}, which is the view of the prompts; use another name")
        self.data = self.prompts.data
        self.observes = None if keep is None else ()
        self._model: nn.Module | None = None
        self._kept = KeptSamples()
        self._set_sizes()

    @property
    def actors(self) -> tuple[str, ...]:
        return (self.actor,)

    @property
    def has_epochs(self) -> bool:
        return True

    def load(self, reader: DataReader) -> None:
        for prompts in (self.prompts, *self.views.values()):
            prompts.load(reader)
        self._set_sizes()

    def _in_file(self, view: str, given: Any) -> Any:
        """Adds the file of the prompts to a view that names another column of it."""
        if not isinstance(given, Mapping) or "path" in given:
            return given
        if self.prompts.data is None:
            raise ValueError(f"OwnSamples: view {view!r} names no path, and the prompts come from no file; add path")
        return {**self.prompts.data, **given}

    def _set_sizes(self) -> None:
        if not self.prompts.loaded:
            return
        self.samples = len(self.prompts)
        self.batch_size = min(self.batch_size, self.samples)
        self.steps_per_epoch = max(1, self.samples // self.batch_size)
        for view, prompts in self.views.items():
            if prompts.loaded and len(prompts) != self.samples:
                raise ValueError(
                    f"OwnSamples: view {view!r} has {len(prompts)} prompts for {self.samples} prompts; give one for each"
                )
        if self.keep is not None and self.keep < self.batch_size:
            raise ValueError(f"OwnSamples: keep is {self.keep}; expected at least the items of one batch, {self.batch_size}")

    def fresh(self) -> Source:
        again = copy.copy(self)
        again._model, again._kept = None, KeptSamples()
        return again

    def bind(self, models: Mapping[str, nn.Module]) -> None:
        if self.actor not in models:
            raise ValueError(f"OwnSamples: actor {self.actor!r} is not among the actors: {', '.join(models)}")
        self._model = models[self.actor]
        self._check_prompts(getattr(self._model, "config", None))

    def _check_prompts(self, config: Any) -> None:
        """Refuses models and prompts that cannot be continued."""
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(f"OwnSamples: actor {self.actor!r} has an encoder and a decoder; expected a causal language model")
        limit, size = getattr(config, "max_position_embeddings", None), getattr(config, "vocab_size", None)
        longest = self.prompts.longest
        if isinstance(limit, int) and longest + self.new_tokens > limit:
            raise ValueError(
                f"OwnSamples: the longest prompt has {longest} tokens and new_tokens is {self.new_tokens}, but actor "
                f"{self.actor!r} has {limit} positions; shorten the prompts or the samples to {limit} tokens in all"
            )
        largest = self.prompts.largest
        if isinstance(size, int) and largest >= size:
            raise ValueError(
                f"OwnSamples: the prompts hold token {largest}, but actor {self.actor!r} has {size} tokens; tokenize them with "
                "the tokenizer of this model"
            )

    def batch(self, position: BatchPosition) -> Batch:
        rows, made = self._samples(position)
        return self._as_batch(rows, made)

    def _samples(self, position: BatchPosition) -> tuple[Tensor, Continuations]:
        """The rows of this part, and what follows each of them: new, or drawn from those that are kept."""
        kept = self._kept
        if self.keep is None:
            return self._sample(position)
        batches = self.keep // self.batch_size
        cycle, step = divmod(kept.drawn, batches * self.draws)
        if step < batches:
            return kept.note(position, *self._sample(position))
        again, number = divmod(step, batches)
        stream = BatchPosition(cycle, position.seed).random_generator(f"kept samples {again}")
        order = torch.randperm(batches * self.batch_size, generator=stream)
        return kept.draw(position, order[number * self.batch_size : (number + 1) * self.batch_size])

    def observe(self, observation: Observation) -> None:
        batches = 0 if self.keep is None else self.keep // self.batch_size
        self._kept.advance(batches, self.draws)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.keep is None else self._kept.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.keep is not None:
            self._kept.load_state_dict(state)

    def _sample(self, position: BatchPosition) -> tuple[Tensor, Continuations]:
        """Prompts of this part, with new samples."""
        if self._model is None:
            raise ValueError("OwnSamples: batches can be computed within a run only, which binds the actor that samples")
        generator = position.random_generator("samples")
        rows = torch.randperm(len(self.prompts), generator=generator)[: self.batch_size]
        noise = torch.rand(self.new_tokens, self.batch_size, generator=generator)
        rows, noise = position.part_of(rows), position.part_of(noise.T)
        prompts = [self.prompts.rows[row] for row in rows.tolist()]
        with preserve_modes(self._model):
            return rows, continue_prompts(self._model.eval(), prompts, noise, self.sampling, self._stop_tokens())

    def _stop_tokens(self) -> tuple[int, ...]:
        if self.stop is not None:
            return self.stop
        model: Any = self._model
        end = model.generation_config.eos_token_id if uses_generate(model) else None
        return () if end is None else (end,) if isinstance(end, int) else tuple(end)

    def _as_batch(self, rows: Tensor, made: Continuations) -> Batch:
        """Prompts with their samples as inputs, in each view."""
        mapping = self._model is not None and uses_generate(self._model)
        inputs: dict[str, Any] = {}
        counted: dict[str, Tensor] = {}
        for view, prompts in {DEFAULT_VIEW: self.prompts, **self.views}.items():
            tokens, real, counted[view] = _join([prompts.rows[row] for row in rows.tolist()], made)
            inputs[view] = {"input_ids": tokens, "attention_mask": real} if mapping else tokens
        return Batch(inputs, index=rows.to(made.tokens.device), counted=counted)


def _join(prompts: Sequence[Tensor], made: Continuations) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts with what follows them, padded on the right: token ids, which of them are real, and which positions count."""
    device, lengths = made.tokens.device, made.lengths
    starts = torch.tensor([len(prompt) for prompt in prompts], device=device)
    parts = zip(prompts, made.tokens, lengths.tolist(), strict=True)
    tokens = pad_right([torch.cat([prompt.to(device), after[:length]]) for prompt, after, length in parts], 0)
    width = _agree(tokens.shape[1], device)
    places, last = torch.arange(width, device=device), (starts + lengths - 1)[:, None]
    counted = (places >= starts[:, None] - 1) & (places < last)  # the logits at position i predict token i + 1
    return torch.nn.functional.pad(tokens, (0, width - tokens.shape[1])), (places <= last).long(), counted.float()


def _agree(width: int, device: torch.device) -> int:
    """The largest width of all processes, so that their batches can be gathered."""
    return int(distributed.all_gather_rows(torch.tensor([width], device=device)).max())
