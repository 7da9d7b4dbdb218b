"""Models with adapters of PEFT, as plain models."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from limbeck.models.base import spec_of


def merge_adapters(model: nn.Module) -> nn.Module:
    """Returns a copy of the base of a PEFT model with its adapters merged into the weights; any other model as it is.

    The result needs no peft to be loaded. A model whose kind of adapter cannot be merged (prompts) stays as it is, and so does
    one that a registered function builds with its adapter, because that function builds it again.
    """
    peft: Any = model
    if not hasattr(model, "peft_config") or spec_of(model) is not None or peft.active_peft_config.is_prompt_learning:
        return model
    merged: nn.Module = copy.deepcopy(peft).merge_and_unload()
    return merged
