"""Causal language models: which models predict the next token, and their targets."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.labels import UNLABELLED

CAUSAL_LOSSES = ("ForCausalLM", "ForConditionalGeneration")  # `loss_type` of models that shift their labels


def next_token_targets(labels: Tensor) -> Tensor:
    """Returns the target of each position: the label of the next one, `UNLABELLED` at the last position.

    The losses of causal language models shift the labels in this way, so that the output at position t is compared with
    the label at t + 1.

    Args:
        labels: token ids, [B, T]; `UNLABELLED` where a token does not count.
    """
    return F.pad(labels[..., 1:], (0, 1), value=UNLABELLED)


def predicts_next_token(model: nn.Module) -> bool:
    """Whether a model of Transformers is a causal language model, whose own loss shifts the labels by one."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    model = without_peft(model)
    shifts = getattr(model, "loss_type", None) in CAUSAL_LOSSES
    causal = shifts or type(model).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return causal and not is_encoder_decoder(model)


def is_encoder_decoder(model: nn.Module) -> bool:
    """Whether a model of Transformers has an encoder and a decoder."""
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def without_peft(model: nn.Module) -> nn.Module:
    """Returns the model inside PEFT's wrapper, or the model itself if it is not wrapped."""
    base: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return base
