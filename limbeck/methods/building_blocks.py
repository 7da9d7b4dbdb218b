"""Shared by the methods for text models: students made from a teacher, fine-tuning, the papers' optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import nn

from limbeck.core.schedules import Linear, Warmup
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Optimizer, epochs
from limbeck.engine.training import Phase
from limbeck.models.architectures.sentence_encoder import SentenceEncoder
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import collect_hidden_states, init_from_teacher, narrower
from limbeck.models.shrink.factorised import factorised_student
from limbeck.models.shrink.sentence_encoders import for_sentence_encoders
from limbeck.tasks import Task

Initialise = Literal["random", "truncate", "svd"]


def depth(teacher: nn.Module) -> int:
    """How many layers the teacher has.

    Raises:
        ValueError: no encoder of Transformers.
    """
    count = getattr(getattr(_network(teacher), "config", None), "num_hidden_layers", None)
    if not isinstance(count, int):
        raise ValueError(f"an encoder of Transformers is needed as the teacher, and {type(teacher).__name__} is none")
    return count


def width(teacher: nn.Module) -> int:
    """The size of its hidden states."""
    return int(_network(teacher).config.hidden_size)


def heads_of(teacher: nn.Module) -> int:
    """Its attention heads in a layer."""
    return int(_network(teacher).config.num_attention_heads)


def family(teacher: nn.Module) -> str:
    """What Transformers calls its kind, such as "bert"."""
    return str(_network(teacher).config.model_type)


def _network(teacher: nn.Module) -> Any:
    return teacher.transformer if isinstance(teacher, SentenceEncoder) else teacher


def spread(layers: int | Sequence[int] | None, teacher: nn.Module) -> list[int]:
    """Which of the teacher's layers to keep, from 0: so many evenly spaced from the first to the last, by default every other
    (0, 2, 4, 7, 9 and 11 of twelve); or those that are named.

    Raises:
        ValueError: none, or more than the teacher has.
    """
    count = depth(teacher)
    if isinstance(layers, Sequence):
        return list(layers)
    wanted = max(1, count // 2) if layers is None else layers
    if not 1 <= wanted <= count:
        raise ValueError(f"layers={wanted}: expected 1 to {count}, as many as the teacher has at most")
    return [round(place * (count - 1) / max(1, wanted - 1)) for place in range(wanted)]


def fewer_layers(layers: Sequence[int]) -> FromTeacher:
    """The teacher with these layers alone."""
    return FromTeacher(lambda teacher: for_sentence_encoders(init_from_teacher)(teacher, layers=list(layers)))


def smaller(
    items: Items | None,
    *,
    initialise: Initialise = "svd",
    embedding: int | None = None,
    chosen: Sequence[int] | None = None,
    **sizes: int | None,
) -> FromTeacher:
    """A student of the teacher's family in other sizes, by `narrower`: of the teacher's layers those that are `chosen`, of its
    states what `items` need most, its vocabulary's table `factorised` where `embedding` is its width."""

    def make(teacher: nn.Module) -> nn.Module:
        states = collect_hidden_states(teacher, items) if initialise == "svd" and items is not None else None
        start = teacher if chosen is None else fewer_layers(chosen)(teacher)
        student: nn.Module = for_sentence_encoders(narrower)(start, initialise=initialise, states=states, **sizes)
        if embedding is None:
            return student
        table = "random" if initialise == "random" else "svd"
        made: nn.Module = for_sentence_encoders(factorised_student)(student, embedding=embedding, initialise=table)
        return made

    return FromTeacher(make)


def student_of(
    teacher: nn.Module,
    items: Items | None,
    *,
    layers: int | Sequence[int] | None,
    hidden: int | None,
    heads: int | None = None,
    initialise: Initialise = "svd",
    **sizes: int | None,
) -> FromTeacher:
    """A choice of the teacher's layers, and these narrower where another size than the teacher's is asked for."""
    chosen = spread(layers, teacher)
    as_wide = (hidden is None or hidden == width(teacher)) and (heads is None or heads == heads_of(teacher))
    if as_wide and not any(sizes.values()):
        return fewer_layers(chosen)
    return smaller(items, initialise=initialise, chosen=chosen, hidden=hidden, heads=heads, **sizes)


def adamw(lr: float, weight_decay: float = 0.01, warmup: float = 0.1) -> Optimizer:
    """As BERT and its students are trained: AdamW, a short warm-up, then down to 0 in a straight line."""
    schedule = Warmup(warmup, then=Linear(1.0, 0.0))
    return Optimizer("adamw", lr, schedule, {"weight_decay": weight_decay}, decay_vectors=False)


def fine_tuning(
    task: Task, *, soft: float, hard: float, temperature: float, count: float, lr: float, name: str = "fine-tuning"
) -> Phase:
    """A stage on the task's own outputs: hard·labels + soft·teacher."""
    terms = weighed((hard, task.hard_terms), (soft, lambda: task.soft_terms(temperature)))
    return Phase(terms, epochs(count), adamw(lr), name=name)


def weighed(*parts: tuple[float, Callable[[], Sequence[Term]]]) -> Callable[[], list[Term]]:
    """What makes the terms of several parts, each with its weight; parts of weight 0 are left out."""
    for weight, _ in parts:
        if weight < 0:
            raise ValueError(f"a weight is {weight:g}; expected 0 or more")
    if not any(weight for weight, _ in parts):
        raise ValueError("all weights are 0; expected one above that")

    def make() -> list[Term]:
        found = [(weight, term) for weight, terms in parts if weight for term in terms()]
        for weight, term in found:
            term.weight = term.weight * weight
        return [term for _, term in found]

    return make
