"""Causal language models: which models predict the next token."""

from __future__ import annotations

from torch import nn

CAUSAL_LOSSES = ("ForCausalLM", "ForConditionalGeneration")  # `loss_type` of models that shift their labels


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
