"""Applies functions that shrink Transformers to sentence encoders."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from limbeck.models.architectures.sentence_encoder import SentenceEncoder


def for_sentence_encoders(shrink: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Extends a function that shrinks a Transformer to sentence encoders, whose other modules are kept."""

    @functools.wraps(shrink)
    def make(teacher: nn.Module, **arguments: Any) -> nn.Module:
        if isinstance(teacher, SentenceEncoder):
            return teacher.with_transformer(functools.partial(shrink, **arguments))
        return shrink(teacher, **arguments)

    return make
