"""Packs integers of a few bits each into bytes, row by row.

The first integer of a row takes the lowest bits: bit b of integer j is bit (j·width + b) of the row, counted from the
lowest bit of the first byte. In NumPy:

    unpackbits(row, bitorder="little")[: k * width].reshape(k, width) @ (1 << arange(width))
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_WIDTH = 56  # bits of one integer: with an offset of up to seven bits in its byte it must fit into 64


def bits_for(count: int) -> int:
    """Returns the fewest bits that distinguish `count` values; at least 1."""
    return max(1, (count - 1).bit_length())


def packed_bytes(count: int, width: int) -> int:
    """Returns the bytes of `count` integers of `width` bits; a row begins on a byte."""
    return (count * width + 7) // 8


def pack(values: Tensor, width: int) -> Tensor:
    """Packs integers [N, k], each in [0, 2^width), into bytes [N, ceil(k·width / 8)]."""
    byte, shift, reach = _positions(values.shape[1], width, values.device)
    shifted = values.long() << shift
    packed = values.new_zeros(len(values), packed_bytes(values.shape[1], width) + reach, dtype=torch.uint8)
    for step in range(reach):  # neighbours share a byte but no bit, so that a sum joins them
        packed.index_add_(1, byte + step, ((shifted >> (8 * step)) & 0xFF).to(torch.uint8))
    return packed[:, : packed_bytes(values.shape[1], width)].contiguous()


def unpack(packed: Tensor, count: int, width: int) -> Tensor:
    """Returns the integers [N, count] (int64) of the result of `pack`, [N, bytes]."""
    byte, shift, reach = _positions(count, width, packed.device)
    padded = torch.nn.functional.pad(packed, (0, reach)).long()
    window = torch.zeros(len(packed), count, dtype=torch.int64, device=packed.device)
    for step in range(reach):
        window |= padded[:, byte + step] << (8 * step)
    return (window >> shift) & ((1 << width) - 1)


def _positions(count: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """First byte and bit offset of each integer, and the most bytes that one of them spans."""
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"width: expected 1 to {MAX_WIDTH} bits, found {width}")
    start = torch.arange(count, device=device) * width
    return start // 8, start % 8, (width + 14) // 8
