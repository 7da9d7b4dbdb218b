"""Weights and adapters of terms as short texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from torch import nn

from limbeck.core.adapter_layers import DropPrefix, MapToTokens, PoolMap, Resize, TokensToMap
from limbeck.core.adapters import Adapter
from limbeck.core.schedules import Constant, Cosine, Linear, Product, Schedule


def describe_weight(weight: float | Schedule) -> str:
    """A weight or its schedule as text: `0.9`, `linear 1 → 0`, `1000 × warmup(until=0.1)`."""
    if not isinstance(weight, Schedule):
        return f"{weight:.4g}"
    factors = list(_factors(weight))
    constant = math.prod(factor.value for factor in factors if isinstance(factor, Constant))
    others = [_describe_schedule(factor) for factor in factors if not isinstance(factor, Constant)]
    text = " × ".join([f"{constant:.4g}", *others] if constant != 1 or not others else others)
    return text if len(text) <= 80 else text[:79] + "…"


def _factors(schedule: Schedule) -> Iterator[Schedule]:
    if isinstance(schedule, Product):
        yield from _factors(schedule.first)
        yield from _factors(schedule.second)
    else:
        yield schedule


def _describe_schedule(schedule: Schedule) -> str:
    name = type(schedule).__name__.lower()
    if isinstance(schedule, Linear | Cosine):
        return f"{name} {schedule.start:g} → {schedule.end:g}"
    known: Iterable[Field[Any]] = fields(schedule) if is_dataclass(schedule) else ()
    values = {field.name: getattr(schedule, field.name) for field in known if getattr(schedule, field.name) != field.default}
    return f"{name}({', '.join(f'{key}={value}' for key, value in values.items())})" if values else name


def describe_adapter(adapter: nn.Module) -> str:
    """An adapter as text: `1×1 conv 16 → 64, batch norm, resize to 8×8`; empty for none."""
    if isinstance(adapter, nn.Identity):
        return ""
    describe_known = _DESCRIPTIONS.get(type(adapter))
    if describe_known is not None:
        return describe_known(adapter)
    if isinstance(adapter, Adapter):
        teacher = describe_adapter(adapter.teacher_path)
        return ", ".join(filter(None, (describe_adapter(adapter.student_path), teacher and f"teacher: {teacher}")))
    children = list(adapter.children())
    if isinstance(adapter, nn.Sequential | nn.ModuleList) or (len(children) == 1 and isinstance(children[0], nn.ModuleList)):
        return ", ".join(dict.fromkeys(filter(None, map(describe_adapter, children))))
    return type(adapter).__name__


_DESCRIPTIONS: dict[type[nn.Module], Callable[[Any], str]] = {
    nn.Conv2d: lambda layer: f"{'×'.join(map(str, layer.kernel_size))} conv {layer.in_channels} → {layer.out_channels}",
    nn.BatchNorm2d: lambda layer: "batch norm",
    nn.Linear: lambda layer: f"linear {layer.in_features} → {layer.out_features}",
    Resize: lambda layer: f"resize to {layer.size[0]}×{layer.size[1]}",
    MapToTokens: lambda layer: "map to tokens",
    TokensToMap: lambda layer: "tokens to map",
    DropPrefix: lambda layer: "drop class token",
    PoolMap: lambda layer: "mean over positions",
}
