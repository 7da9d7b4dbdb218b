"""Shrinks sentence encoders by the functions that shrink Transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from limbeck.models.architectures.sentence_encoder import SentenceEncoder


def for_sentence_encoders(shrink: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """A way to make a student from a Transformer, for sentence encoders too: what they hold is made anew, the rest kept."""

    @functools.wraps(shrink)
    def make(teacher: nn.Module, **arguments: Any) -> nn.Module:
        if isinstance(teacher, SentenceEncoder):
            return teacher.with_transformer(functools.partial(shrink, **arguments))
        return shrink(teacher, **arguments)

    return make
