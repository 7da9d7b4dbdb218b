"""The next token of each position as its target, as causal language models predict it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.core.batch import Target
from limbeck.core.labels import UNLABELLED
from limbeck.data.image.transform import PartnerPool
from limbeck.data.keyed_random import ViewNumber


def next_token_targets(labels: Tensor) -> Tensor:
    """Returns the target of each position: the label of the next one, `UNLABELLED` at the last position.

    The losses of causal language models shift the labels in this way, so that the output at position t is compared with
    the label at t + 1.

    Args:
        labels: token ids, [B, T]; `UNLABELLED` where a token does not count.
    """
    return F.pad(labels[..., 1:], (0, 1), value=UNLABELLED)


class NextTokens:
    """A view of texts as they are, with the next token as target: `Dataset(items, views={"default": NextTokens()})`.

    The target is int64 `[B, T]`, -100 at the last token of a text and in padding.
    """

    mixes = False

    def __len__(self) -> int:
        return 1

    def __call__(
        self,
        inputs: Any,
        keys: Tensor,
        *,
        seed: int = 0,
        view: ViewNumber = 0,
        stream: str = "default",
        target: Target | None = None,
        pool: PartnerPool | None = None,
    ) -> tuple[Any, Tensor | None]:
        """The inputs as they are, and their target. Arguments are those of `Pipeline`.

        Raises:
            ValueError: items without tokens.
        """
        tokens = inputs if isinstance(inputs, Mapping) and "input_ids" in inputs else next(iter(_by_actor(inputs)), None)
        if not isinstance(tokens, Mapping) or "input_ids" not in tokens:
            raise ValueError(
                "the next token is predicted, and these items have none; make them with tokenize(items, tokenizer)"
            )
        labels = torch.where(tokens["attention_mask"].bool(), tokens["input_ids"], UNLABELLED)
        return inputs, next_token_targets(labels)


def _by_actor(inputs: Any) -> list[Any]:
    return list(inputs.values()) if isinstance(inputs, Mapping) else []
