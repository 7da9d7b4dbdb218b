"""Finds which size each axis of each weight follows, by building the model on the meta device in slightly other sizes."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

HIDDEN, HEADS, FEED_FORWARD, EMBEDDING = "hidden_size", "num_attention_heads", "feed_forward", "embedding_size"
ATTENTION_INNER = "inside attention"  # as large as the hidden size, but composed of heads and not part of the residual stream
FEED_FORWARD_FIELDS = ("intermediate_size", "hidden_dim")  # of most encoders; of DistilBERT
HIDDEN_SIZE_ALIASES = ("pooler_output_size", "pooler_hidden_size")  # fields that must equal the hidden size
PROJECTION = re.compile(r"(^|_)(query|key|value|[qkv])(_lin|_proj)?$")  # modules that compute queries, keys or values


class Axis(NamedTuple):
    """An axis of a weight: the size that it follows, and its factor (3 for fused queries, keys and values)."""

    follows: str
    times: int


def resize_config(config: PreTrainedConfig, **sizes: int) -> PreTrainedConfig:
    """Returns a copy of `config` with other sizes, by the attribute names of all families and `feed_forward`."""
    changed = copy.deepcopy(config)
    for name, size in sizes.items():
        setattr(changed, field_of(config, name), size)
    for field in HIDDEN_SIZE_ALIASES:
        if HIDDEN in sizes and hasattr(config, field):
            setattr(changed, field, sizes[HIDDEN])
    return changed


def field_of(config: PreTrainedConfig, size: str) -> str:
    """Returns the name of the field of a size in `config`."""
    names = FEED_FORWARD_FIELDS if size == FEED_FORWARD else (size,)
    return next((name for name in names if hasattr(config, name)), size)


def axis_growth(
    kind: type[PreTrainedModel], config: PreTrainedConfig, other: PreTrainedConfig, step: int
) -> dict[str, list[int]]:
    """For each weight, by how many steps each axis grows from `config` to `other`."""
    before, after = _shapes(kind, config), _shapes(kind, other)
    same = {name: zip(shape, after[name], strict=True) for name, shape in before.items() if name in after}
    return {name: [(new - old) // step for old, new in pairs] for name, pairs in same.items()}


def axes_of(kind: type[PreTrainedModel], config: PreTrainedConfig) -> dict[str, list[Axis | None]]:
    """Returns the axes of each weight, None for an axis that follows no size of the architecture."""
    heads = config.num_attention_heads
    changes = {
        HIDDEN: (config.hidden_size + heads, heads),
        FEED_FORWARD: (getattr(config, field_of(config, FEED_FORWARD)) + 1, 1),
        HEADS: (1, 1 - heads) if heads > 1 else (config.hidden_size, config.hidden_size - 1),
    }
    if hasattr(config, EMBEDDING):
        changes[EMBEDDING] = (config.embedding_size + 1, 1)
    axes: dict[str, list[Axis | None]] = {name: [None] * len(shape) for name, shape in _shapes(kind, config).items()}
    for size, (value, step) in changes.items():
        for name, steps in axis_growth(kind, config, resize_config(config, **{size: value}), step).items():
            axes[name] = [Axis(size, times) if times else axis for axis, times in zip(axes[name], steps, strict=True)]
    return {name: _inside_attention(name, found) for name, found in axes.items()}


def _inside_attention(name: str, axes: list[Axis | None]) -> list[Axis | None]:
    """Distinguishes axes over heads from axes of the residual stream, which have the same size."""
    *path, module, _ = name.split(".") if name.count(".") else ("", "", "")
    first = axes[0] if axes else None
    if first is None or first.follows != HIDDEN:
        return axes
    if PROJECTION.search(module) or first.times > 1:
        return [Axis(ATTENTION_INNER, first.times), *axes[1:]]
    square = len(axes) == 2 and axes[1] == first
    if square and any(part.startswith("att") for part in path):
        return [first, Axis(ATTENTION_INNER, 1)]
    return axes


def slice_blocks(weight: Tensor, dim: int, times: int, sizes: tuple[int, ...], kept: tuple[int, ...]) -> Tensor:
    """Slices an axis of `times` blocks of `sizes` to the leading `kept` of each."""
    blocks = weight.reshape(*weight.shape[:dim], times, *sizes, *weight.shape[dim + 1 :])
    for offset, size in enumerate(kept, start=dim + 1):
        blocks = blocks.narrow(offset, 0, size)
    return blocks.flatten(dim, dim + len(sizes))


def _shapes(kind: type[PreTrainedModel], config: PreTrainedConfig) -> dict[str, Any]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in kind(config).state_dict().items()}
