"""Maps layers of the student to layers of the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from limbeck.core.taps.encoder_layout import equal_depths

Rule = Literal["uniform", "auto", "last", "skip"]


def layer_map(student_layers: int, teacher_layers: int, how: Rule | Sequence[int] = "uniform") -> list[tuple[int, int]]:
    """Returns pairs (m, g(m)): layer m of the student learns from layer g(m) of the teacher, counted from 1.

    With M layers in the student and N in the teacher:

    - `"uniform"`: g(m) = ⌈m·N/M⌉, TinyBERT's m·N/M, rounded up if M does not divide N. The last layers are always a pair.
    - `"auto"`: g(m) = ⌊m·N/M + 1/2⌋, at least 1: the layer whose relative depth g(m)/N is nearest to m/M, the deeper one
      of two that are equally near. Equal to "uniform" if M divides N; otherwise "uniform" rounds up and this rounds to the
      nearest. The student may be deeper than the teacher: several of its layers then learn from the same one.
    - `"last"`: g(m) = N − M + m, the teacher's last M layers.
    - `"skip"`: g(m) = m·⌊N/M⌋ for m < M, as in patient distillation: the last layer of the student learns from the
      teacher's outputs instead.
    - a sequence: g(1), …, g(M).

    Args:
        student_layers, teacher_layers: M and N.
        how: a rule, or one teacher layer per student layer.

    Raises:
        ValueError: M or N below 1, more layers in the student than in the teacher (except "auto"), an unknown rule, a
            sequence of another length, or a layer that the teacher does not have.

    Source: Jiao et al. 2020 (TinyBERT, arXiv:1909.10351) for "uniform"; Sun et al. 2019 (BERT-PKD, arXiv:1908.09355) for
    "skip" and, without its last pair, "last".
    """
    ours, theirs = student_layers, teacher_layers
    counts = f"student_layers={ours}, teacher_layers={theirs}"
    if how == "auto" and min(ours, theirs) >= 1:
        return equal_depths(ours, theirs)
    if not 1 <= ours <= theirs:
        raise ValueError(f"{counts}: the student needs at least 1 layer and at most as many as the teacher")
    if not isinstance(how, str):
        return _explicit_map(how, ours, theirs)
    if how == "uniform":
        return [(layer, -(-layer * theirs // ours)) for layer in range(1, ours + 1)]
    if how == "last":
        return [(layer, theirs - ours + layer) for layer in range(1, ours + 1)]
    if how == "skip":
        if ours == 1:
            raise ValueError(f"how='skip' skips the last layer of the student, which is its only one; {counts}")
        return [(layer, layer * (theirs // ours)) for layer in range(1, ours)]
    rules = ", ".join(map(repr, get_args(Rule)))
    raise ValueError(f"how={how!r}: use {rules} or one teacher layer for each of the {ours} student layers")


def _explicit_map(layers: Sequence[int], ours: int, theirs: int) -> list[tuple[int, int]]:
    counts = f"the student has {ours} layers and the teacher has {theirs}, counted from 1"
    if len(layers) != ours:
        raise ValueError(f"how={list(layers)} names {len(layers)} layers; {counts}")
    wrong = [layer for layer in layers if not 1 <= layer <= theirs]
    if wrong:
        raise ValueError(f"how={list(layers)}: no layer {wrong[0]}; {counts}")
    return list(enumerate(layers, start=1))
