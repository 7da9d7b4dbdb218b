"""Adapters: learnable maps from the shape of a student's signal to that of the teacher's.

They are built from the shapes of a dry run, before the optimizer exists, and are dropped at export.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.core.adapter_layers import DropPrefix, MapToTokens, PoolMap, Resize, TokensToMap
from limbeck.core.errors import AdapterError
from limbeck.core.signals import Kind, Match, working_dtype
from limbeck.utils.registry import Registry

registry = Registry("adapter")
Shape = tuple[int, ...]


class Adapter(nn.Module):
    """Maps one pair of signals to equal shapes: `adapter(student, teacher) -> (student', teacher')`.

    `student_path` may have parameters; `teacher_path` only rearranges (drops a class token, say) and has none. A subclass in
    the registry is built from the two shapes, and decides about the whole path; a function there makes the layer for the
    channels alone.
    """

    def __init__(self, student_path: nn.Module, teacher_path: nn.Module | None = None) -> None:
        super().__init__()
        self.student_path = student_path
        self.teacher_path = teacher_path or nn.Identity()

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        return self.student_path(student), self.teacher_path(teacher)


class TapAdapters(nn.Module):
    """One adapter for each tap of a term; an empty list returns the signals as they are.

    Adapters learn in the precision of the objectives, float32 at least, unless their owner has converted them to another: a
    student signal is converted to the precision of the adapter, and what comes out to that of the objectives.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.is_identity = not parts

    def forward(self, student: Any, teacher: Any) -> tuple[Any, Any]:
        if self.is_identity:
            return student, teacher
        many = isinstance(student, tuple)
        ours, theirs = (student, teacher) if many else ((student,), (teacher,))
        pairs = [
            (s, t) if isinstance(part, nn.Identity) else _in_own_precision(part, s, t)
            for part, s, t in zip(self.parts, ours, theirs, strict=True)
        ]
        ours, theirs = zip(*pairs, strict=True)
        return (ours, theirs) if many else (ours[0], theirs[0])


def _in_own_precision(adapter: nn.Module, student: Tensor, teacher: Any) -> tuple[Any, Any]:
    working = working_dtype(student)
    own = next((each.dtype for each in adapter.parameters() if each.is_floating_point()), working)
    ours, theirs = adapter(student.to(own), teacher)
    return (ours.to(working) if isinstance(ours, Tensor) else ours), theirs


class TeacherAdapters(nn.Module):
    """Adapters of a term with several teachers, whose features are of different spaces: one `TapAdapters` for each.

    A term with one teacher has one `TapAdapters`.
    """

    def __init__(self, parts: Sequence[TapAdapters]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.is_identity = False

    def forward(self, student: Any, teachers: Sequence[Any]) -> list[tuple[Any, Any]]:
        """The pair of adapted signals of each teacher."""
        return [adapter(student, teacher) for adapter, teacher in zip(self.parts, teachers, strict=True)]


@registry.register("linear")
def linear(student: Shape, teacher: Shape) -> nn.Module:
    """A linear map of the last axis: vectors and tokens."""
    return nn.Linear(student[-1], teacher[-1])


@registry.register("conv")
def conv(student: Shape, teacher: Shape) -> nn.Module:
    """A 1×1 convolution with bias: maps."""
    return nn.Conv2d(student[1], teacher[1], 1, bias=True)


@registry.register("conv_bn")
def conv_bn(student: Shape, teacher: Shape) -> nn.Module:
    """A 1×1 convolution with batch normalisation: maps that differ in scale too."""
    return nn.Sequential(nn.Conv2d(student[1], teacher[1], 1, bias=False), nn.BatchNorm2d(teacher[1]))


def build_adapter(spec: str | nn.Module | None, student: Shape, teacher: Shape, match: Match) -> nn.Module | None:
    """Returns the adapter for one pair of shapes (batch axis included); None if none is needed.

    Args:
        spec: `"auto"` (what the objective needs, nothing more), `"none"`, the name of a channel adapter (`"linear"`, `"conv"`,
            `"conv_bn"`: built even if the channel counts agree, as in FitNets) or of a projector (`"group_linear"`,
            `"attention_heads"`), or a module of your own, called with the student's signal.
        student, teacher: shapes of the two signals.
        match: which axes must agree for the objective.

    Raises:
        AdapterError: no adapter can make the two shapes agree; the message names both.
    """
    if isinstance(spec, nn.Module):
        return Adapter(spec)
    if spec in (None, "none"):
        return None
    assert isinstance(spec, str)
    if spec == "auto" and _agree(student, teacher, match):
        return None
    bridge: Callable[[Shape, Shape], nn.Module] | None = None if spec == "auto" else registry[spec]
    if bridge is not None and isinstance(bridge, type):
        projector: nn.Module = bridge(student, teacher)
        return projector
    key = (Kind.of(student), Kind.of(teacher))
    builder = _BRIDGES.get(key)
    if builder is None:
        raise AdapterError(f"no adapter bridges student {student} and teacher {teacher}; tap layers of the same kind")
    return builder(student, teacher, match, bridge)


def _agree(student: Shape, teacher: Shape, match: Match) -> bool:
    same_space = len(student) == len(teacher) and student[2:] == teacher[2:]
    agreed = {
        Match.NOTHING: True,
        Match.SPACE: same_space,
        Match.CHANNELS: Kind.of(student) == Kind.of(teacher) == Kind.MAP and student[1] == teacher[1],
        Match.EVERYTHING: student[1:] == teacher[1:],
    }
    return agreed[match]


Bridge = Callable[[Shape, Shape], nn.Module] | None


def _channels(
    bridge: Bridge, default: Callable[[Shape, Shape], nn.Module], match: Match, s: Shape, t: Shape, axis: int
) -> list[nn.Module]:
    """The layer for the channel axis, if one is named or needed."""
    needed = match is not Match.SPACE and s[axis] != t[axis]
    if bridge is linear and default is not linear:
        raise AdapterError(
            f"adapter 'linear' does not bridge student {s} and teacher {t}, which are maps: use 'conv' or 'conv_bn'"
        )
    if bridge in (conv, conv_bn) and default is linear:
        raise AdapterError(f"adapter 'conv' does not bridge student {s} and teacher {t}, which are no maps: use 'linear'")
    return [(bridge or default)(s, t)] if bridge or needed else []


def _map_to_map(s: Shape, t: Shape, match: Match, bridge: Bridge) -> nn.Module:
    layers = _channels(bridge, conv_bn, match, s, t, 1)
    if s[2:] != t[2:] and match in (Match.SPACE, Match.EVERYTHING):
        # Resize on the smaller side of the convolution: before it if the map shrinks.
        at = 0 if s[2] * s[3] > t[2] * t[3] else len(layers)
        layers.insert(at, Resize((t[2], t[3])))
    return Adapter(nn.Sequential(*layers))


def _vector_to_vector(s: Shape, t: Shape, match: Match, bridge: Bridge) -> nn.Module:
    return Adapter(nn.Sequential(*_channels(bridge, linear, match, s, t, 1)))


def _tokens_to_tokens(s: Shape, t: Shape, match: Match, bridge: Bridge) -> nn.Module:
    layers = _channels(bridge, linear, match, s, t, 2)
    if s[1] == t[1]:
        return Adapter(nn.Sequential(*layers))
    (s_prefix, s_side), (t_prefix, t_side) = grid_of(s, t), grid_of(t, s)
    path = [*layers, TokensToMap(s_prefix, s_side), Resize((t_side, t_side)), MapToTokens()]
    return Adapter(nn.Sequential(*path), DropPrefix(t_prefix))


def _map_to_tokens(s: Shape, t: Shape, match: Match, bridge: Bridge) -> nn.Module:
    prefix, side = grid_of(t, s)
    resize = [] if s[2:] == (side, side) else [Resize((side, side))]
    layers = _channels(bridge, conv_bn, match, s, (t[0], t[2], side, side), 1)
    return Adapter(nn.Sequential(*resize, *layers, MapToTokens()), DropPrefix(prefix))


def _tokens_to_map(s: Shape, t: Shape, match: Match, bridge: Bridge) -> nn.Module:
    prefix, side = grid_of(s, t)
    as_map = (s[0], s[2], side, side)
    layers = _channels(bridge, conv_bn, match, as_map, t, 1)
    resize = [] if t[2:] == (side, side) else [Resize((t[2], t[3]))]
    return Adapter(nn.Sequential(TokensToMap(prefix, side), *layers, *resize))


def _map_to_vector(s: Shape, t: Shape, match: Match, bridge: Bridge) -> nn.Module:
    pooled = (s[0], s[1])
    return Adapter(nn.Sequential(PoolMap(), *_channels(bridge, linear, match, pooled, t, 1)))


def grid_of(tokens: Shape, other: Shape) -> tuple[int, int]:
    """(prefix tokens, side) of a square grid of patch tokens: 197 tokens are a class token and 14×14 patches."""
    count = tokens[1]
    for prefix in (0, 1, 2, 5):  # none, class token, class and distillation token, registers
        side = math.isqrt(max(count - prefix, 0))
        if side and side * side == count - prefix:
            return prefix, side
    raise AdapterError(f"no adapter bridges student and teacher shapes {tokens} and {other}: {count} tokens are no square grid")


_BRIDGES: dict[tuple[Kind, Kind], Callable[[Shape, Shape, Match, Bridge], nn.Module]] = {
    (Kind.MAP, Kind.MAP): _map_to_map,
    (Kind.VECTOR, Kind.VECTOR): _vector_to_vector,
    (Kind.TOKENS, Kind.TOKENS): _tokens_to_tokens,
    (Kind.MAP, Kind.TOKENS): _map_to_tokens,
    (Kind.TOKENS, Kind.MAP): _tokens_to_map,
    (Kind.MAP, Kind.VECTOR): _map_to_vector,
}
