"""Projectors: adapters between architectures, which decide about the whole path of a signal, not its channels alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.core.adapter_layers import DropPrefix, MapToTokens, Resize, TokensToMap
from limbeck.core.adapters import Adapter, Shape, grid_of, registry
from limbeck.core.errors import AdapterError
from limbeck.core.signals import Kind

NEIGHBOURHOOD = 4  # positions a side that share one linear map


@registry.register("group_linear")
class GroupLinear(Adapter):
    """One linear map for each neighbourhood of 4×4 positions: maps and tokens of any architecture.

    Both sides become tokens [B, H·W, D] on the teacher's grid; prefix tokens, such as a class token, are dropped.

    Source: the group-wise linear projector of Liu et al. 2022, arXiv 2207.05273.
    """

    def __init__(self, student: Shape, teacher: Shape) -> None:
        rows, columns = _size(teacher, student)
        to_tokens = MapToTokens() if Kind.of(teacher) is Kind.MAP else DropPrefix(grid_of(teacher, student)[0])
        width = teacher[1] if Kind.of(teacher) is Kind.MAP else teacher[-1]
        grouped = GroupedLinear(_channels(student), width, rows, columns)
        super().__init__(nn.Sequential(*_to_map(student, teacher, rows, columns), MapToTokens(), grouped), to_tokens)


@registry.register("attention_heads")
class AttentionHeads(Adapter):
    """A 3×3 convolution to queries, keys or values [B, heads, T, d] of the teacher: maps and tokens.

    The student's positions are resized to the teacher's patches; prefix tokens of the teacher are dropped.

    Source: the first projector of Liu et al. 2022, arXiv 2207.05273.
    """

    def __init__(self, student: Shape, teacher: Shape) -> None:
        if len(teacher) != 4:
            raise AdapterError(
                f"adapter 'attention_heads' makes queries, keys or values [B, heads, T, d]; teacher {teacher} is none: tap "
                "queries(P), keys(P) or values(P) of an attention module P"
            )
        heads, tokens, width = teacher[1:]
        prefix, side = grid_of((teacher[0], tokens, heads * width), student)
        convolution = nn.Conv2d(_channels(student), heads * width, 3, padding=1)
        path = [*_to_map(student, teacher, side, side), convolution, MapToTokens(), SplitHeads(heads)]
        super().__init__(nn.Sequential(*path), DropPrefix(prefix))


class GroupedLinear(nn.Module):
    """Tokens of a grid [B, H·W, inputs] → [B, H·W, outputs], with one linear map for each neighbourhood."""

    groups: Tensor

    def __init__(self, inputs: int, outputs: int, rows: int, columns: int) -> None:
        super().__init__()
        down, across = torch.arange(rows) // NEIGHBOURHOOD, torch.arange(columns) // NEIGHBOURHOOD
        groups = (down[:, None] * (int(across[-1]) + 1) + across).flatten()
        self.register_buffer("groups", groups, persistent=False)
        layers = [nn.Linear(inputs, outputs) for _ in range(int(groups[-1]) + 1)]  # for their initial weights
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bti,toi->bto", x, self.weight[self.groups]) + self.bias[self.groups]


class SplitHeads(nn.Module):
    """[B, T, heads·d] → [B, heads, T, d]."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _channels(student: Shape) -> int:
    return student[1] if Kind.of(student) is Kind.MAP else student[-1]


def _size(shape: Shape, other: Shape) -> tuple[int, int]:
    """Rows and columns of a map, or of the square grid of patch tokens."""
    if Kind.of(shape) is Kind.MAP:
        return shape[2], shape[3]
    if Kind.of(shape) is Kind.TOKENS:
        side = grid_of(shape, other)[1]
        return side, side
    raise AdapterError(f"no projector bridges {shape} and {other}, which have no positions in common; tap maps or tokens")


def _to_map(student: Shape, teacher: Shape, rows: int, columns: int) -> list[nn.Module]:
    """The student's signal as a map of this size."""
    size = _size(student, teacher)
    layers: list[nn.Module] = [] if Kind.of(student) is Kind.MAP else [TokensToMap(*grid_of(student, teacher))]
    return layers if size == (rows, columns) else [*layers, Resize((rows, columns))]
