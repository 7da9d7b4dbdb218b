"""Text encoders that also read embeddings of tokens, which unlike tokens can be trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EmbeddingInputs(nn.Module):
    """A model of Transformers that takes token embeddings [B, T, D] as its one input, and tokens as before.

    Inputs that are made without data are embeddings: student and teacher, both wrapped, read the same ones, so their embeddings
    have the same width. The student's own tokens are as good as its embeddings are like the teacher's: start it from the
    teacher's layers. What is kept is `model`.

        methods.zero_shot_kd(task=task, length=steps(1000), shape=[tokens, width], low=-1, high=1)

    Args:
        model: called with `inputs_embeds` and an `attention_mask` of ones.

    Raises:
        ValueError: in `forward`, a tensor that is not [batch, tokens, width] of the model's width.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def config(self) -> Any:
        """That of the model."""
        return getattr(self.model, "config", None)

    def forward(self, embeddings: Tensor | None = None, **tokens: Any) -> Any:
        if embeddings is None:
            return self.model(**tokens)
        if not embeddings.is_floating_point():
            return self.model(embeddings, **tokens)
        width = getattr(self.config, "hidden_size", embeddings.shape[-1])
        if embeddings.ndim != 3 or embeddings.shape[-1] != width:
            name = type(self.model).__name__
            raise ValueError(f"embeddings of shape {list(embeddings.shape)}; expected [batch, tokens, {width}] of {name}")
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
        return self.model(inputs_embeds=embeddings, attention_mask=mask)
