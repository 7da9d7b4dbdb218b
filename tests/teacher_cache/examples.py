"""Small stores and their signals, which are pure functions of (key, view) like those of a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache import (
    Codec,
    Dense,
    IncrementalStore,
    ScaledInt8,
    Store,
    StoreBuilder,
    Tokens,
    TokenSignals,
    TopKCodec,
)
from limbeck.teacher_cache.codecs.row_table import RowTable

IDENTITY = {"teacher": "b1946ac9", "views": "d8e8fca2", "precision": "bfloat16"}
CODECS: dict[str, Codec] = {
    "logits": Dense("fp16"),
    "top": TopKCodec(4, classes=10),
    "layer3": ScaledInt8(),
    "text": Tokens(TopKCodec(2, classes=300)),
}


DENSE: dict[str, Codec] = {"logits": Dense("fp16")}


def keys(count: int, seed: int = 0) -> Tensor:
    return torch.randint(-(2**63), 2**63 - 1, (count,), generator=torch.Generator().manual_seed(seed))


def drawn(keys: Tensor, view: int, stream: int, *shape: int) -> Tensor:
    """Normal numbers [B, *shape] that depend on key and view only."""
    rows = [torch.Generator().manual_seed((int(key) * 31 + view * 7 + stream) % 2**62) for key in keys]
    return torch.stack([torch.randn(shape, generator=row) for row in rows]) if rows else torch.empty(0, *shape)


def dense(keys: Tensor, view: int) -> dict[str, AnySignal]:
    return {"logits": drawn(keys, view, 0, 10)}


def signals(keys: Tensor, view: int) -> dict[str, AnySignal]:
    """The signal of each tap of CODECS."""
    lengths = keys.remainder(4)
    tokens = drawn(keys, view, 2, 3, 300)
    inside = torch.arange(3) < lengths.unsqueeze(1)
    text = TokenSignals(tokens[inside], lengths, keys * 5)
    return {
        "logits": drawn(keys, view, 0, 10),
        "top": drawn(keys, view, 1, 10) * 3,
        "layer3": drawn(keys, view, 3, 2, 3, 3),
        "text": text,
    }


def fill(builder: StoreBuilder, give: object = dense, batch: int = 16, rank: int = 0, world: int = 1) -> int:
    """Write the pending shards; returns their number."""
    done = 0
    for task in builder.pending(rank, world):
        for part in task.keys.split(batch):
            builder.write(task, give(part, task.view))  # type: ignore[operator]
        done += 1
    return done


def build(
    folder: Path, keys: Tensor, views: int = 2, codecs: Mapping[str, Codec] | None = None, give: object = dense, rows: int = 20
) -> Store:
    with StoreBuilder(folder, keys, views, codecs or {"logits": Dense("fp16")}, IDENTITY, rows_per_shard=rows) as builder:
        fill(builder, give)
    return Store.open(folder)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a store except the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def builder(folder: Path, keys: Tensor, views: int = 2, **changes: object) -> StoreBuilder:
    return StoreBuilder(folder, keys, views, DENSE, IDENTITY, **{"rows_per_shard": 20, **changes})  # type: ignore[arg-type]


def incremental(
    folder: Path, keys: Tensor, codecs: Mapping[str, Codec] = DENSE, views: int = 2, rows: int = 32
) -> IncrementalStore:
    return IncrementalStore(folder, keys, views, codecs, IDENTITY, rows_per_shard=20, rows_per_file=rows)


def roundtrip(codec: Codec, signal: Tensor) -> Tensor:
    """Encoded, converted to plain tensors as in a file, and decoded."""
    decoded = codec.decode(RowTable.from_tensors(codec.encode(signal).tensors()))
    assert isinstance(decoded, Tensor)
    return decoded
