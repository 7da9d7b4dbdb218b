"""Students made from an encoder of Transformers: fewer layers, smaller sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from limbeck.data import Items
from limbeck.models.architectures.sentence_encoder import SentenceEncoder
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import collect_hidden_states, init_from_teacher, narrower
from limbeck.models.shrink.factorised import factorised_student
from limbeck.models.shrink.sentence_encoders import for_sentence_encoders

Initialise = Literal["random", "truncate", "svd"]


def layer_count(teacher: nn.Module) -> int:
    """Returns the number of layers.

    Raises:
        ValueError: the teacher is no encoder of Transformers.
    """
    count = getattr(getattr(_encoder(teacher), "config", None), "num_hidden_layers", None)
    if not isinstance(count, int):
        raise ValueError(f"an encoder of Transformers is needed as the teacher, and {type(teacher).__name__} is none")
    return count


def hidden_size(teacher: nn.Module) -> int:
    return int(_encoder(teacher).config.hidden_size)


def head_count(teacher: nn.Module) -> int:
    """Returns the number of attention heads in a layer."""
    return int(_encoder(teacher).config.num_attention_heads)


def model_type(teacher: nn.Module) -> str:
    """Returns the family as Transformers names it, such as "bert"."""
    return str(_encoder(teacher).config.model_type)


def _encoder(teacher: nn.Module) -> Any:
    return teacher.transformer if isinstance(teacher, SentenceEncoder) else teacher


def kept_layers(layers: int | Sequence[int] | None, teacher: nn.Module) -> list[int]:
    """Returns the indices, from 0, of the teacher's layers that the student keeps.

    Args:
        layers: a number of layers, evenly spaced from the first to the last (0, 2, 4, 7, 9 and 11 for six of twelve); or the
            indices themselves; None: half of the layers.

    Raises:
        ValueError: less than one layer, or more than the teacher has.
    """
    count = layer_count(teacher)
    if isinstance(layers, Sequence):
        return list(layers)
    wanted = max(1, count // 2) if layers is None else layers
    if not 1 <= wanted <= count:
        raise ValueError(f"layers={wanted}: expected 1 to {count}, as many as the teacher has at most")
    return [round(position * (count - 1) / max(1, wanted - 1)) for position in range(wanted)]


def fewer_layers(layers: Sequence[int]) -> FromTeacher:
    """Returns a student that consists of these layers of the teacher."""
    return FromTeacher(lambda teacher: for_sentence_encoders(init_from_teacher)(teacher, layers=list(layers)))


def resized_student(
    items: Items | None,
    sizes: Mapping[str, int | None],
    *,
    initialise: Initialise = "svd",
    embedding: int | None = None,
    kept: Sequence[int] | None = None,
) -> FromTeacher:
    """Returns a student of the teacher's family with other sizes, by `narrower`.

    Args:
        items: texts on which `initialise="svd"` computes the hidden states to preserve.
        sizes: arguments of `narrower`; None: the teacher's.
        initialise: how weights follow from the teacher's.
        embedding: width of a factorised embedding table; None: the table is as wide as the hidden states.
        kept: indices of the teacher's layers to start from; None: all.
    """

    def make(teacher: nn.Module) -> nn.Module:
        states = collect_hidden_states(teacher, items) if initialise == "svd" and items is not None else None
        start = teacher if kept is None else fewer_layers(kept)(teacher)
        student: nn.Module = for_sentence_encoders(narrower)(start, initialise=initialise, states=states, **sizes)
        if embedding is None:
            return student
        table = "random" if initialise == "random" else "svd"
        factorised: nn.Module = for_sentence_encoders(factorised_student)(student, embedding=embedding, initialise=table)
        return factorised

    return FromTeacher(make)


def text_student(
    teacher: nn.Module,
    items: Items | None,
    *,
    layers: int | Sequence[int] | None,
    hidden: int | None,
    heads: int | None = None,
    initialise: Initialise = "svd",
    **sizes: int | None,
) -> FromTeacher:
    """Returns a student of some of the teacher's layers, resized if a size differs from the teacher's."""
    kept = kept_layers(layers, teacher)
    as_wide = (hidden is None or hidden == hidden_size(teacher)) and (heads is None or heads == head_count(teacher))
    if as_wide and not any(sizes.values()):
        return fewer_layers(kept)
    return resized_student(items, {"hidden": hidden, "heads": heads, **sizes}, initialise=initialise, kept=kept)
