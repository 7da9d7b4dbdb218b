"""The default number of rows in a shard."""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs import Codec

BYTES_PER_SHARD, MAX_ROWS = 64_000_000, 2**18


def default_rows_per_shard(codecs: Mapping[str, Codec], example: Mapping[str, AnySignal]) -> int:
    """Returns how many rows of these taps make a shard of about 64 MB, estimated from the signals of a few items."""
    tables = [codec.encode(example[tap]) for tap, codec in codecs.items()]
    size = sum(tensor.nbytes for table in tables for tensor in table.tensors().values())
    return max(1, min(MAX_ROWS, BYTES_PER_SHARD * len(tables[0]) // max(1, size)))
