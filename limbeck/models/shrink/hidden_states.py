"""Collects hidden states of an encoder on texts, from which a narrower student takes its directions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.batch import DEFAULT_VIEW
from limbeck.core.model_io import preserve_modes
from limbeck.data import Items, evaluation_batches
from limbeck.models.architectures.sentence_encoder import SentenceEncoder

TEXTS = 256  # thousands of tokens, many times the width of an encoder
BATCH = 32


@torch.no_grad()
def collect_hidden_states(encoder: nn.Module, items: Items, texts: int = TEXTS) -> Tensor:
    """Returns the hidden states of all layers without padding, [tokens · (layers + 1), H], for `narrower(states=…)`.

    Args:
        encoder: of Transformers, or a sentence encoder; run in evaluation mode, and not changed.
        items: tokenized texts; those with the smallest keys are used, independent of their order.
        texts: number of items.
    """
    network: Any = encoder.transformer if isinstance(encoder, SentenceEncoder) else encoder
    some = items.for_actor("student").select(items.keys.argsort()[:texts])
    collected = []
    with preserve_modes(network):
        network.eval()
        for batch in evaluation_batches(some, BATCH):
            inputs = batch.inputs[DEFAULT_VIEW]
            assert batch.mask is not None
            states = network(**inputs, output_hidden_states=True).hidden_states
            collected += [state[batch.mask].float() for state in states]
    return torch.cat(collected)
