"""Content keys: 64-bit hashes of items, the same in every order, file format and process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.data.storage import TensorStorage, TextStorage


def content_key(*parts: Any) -> int:
    """BLAKE2b hash of the concatenated bytes-like parts, as a signed 64-bit integer."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little", signed=True)


def content_keys(storage: TensorStorage | TextStorage) -> Tensor:
    """One key for each item, int64 `[N]`.

    Hashed are the raw bytes of a tensor, those of the tensors of a mapping in order of their names, or the UTF-8 bytes of a
    text or of both texts of a pair.
    """
    if isinstance(storage, TextStorage):
        return as_keys(text_key(text) if isinstance(text, str) else text_key(*text) for text in storage.texts)
    rows = [_bytes_by_row(tensor) for _, tensor in sorted(storage.by_name().items())]
    return as_keys(content_key(*parts) for parts in zip(*rows, strict=True))


def text_key(*texts: str) -> int:
    """The key of one or more texts, joined by a byte that does not occur in UTF-8."""
    return content_key(b"\xff".join(text.encode() for text in texts))


def as_keys(values: Iterable[int]) -> Tensor:
    """Keys as an int64 tensor."""
    return torch.from_numpy(np.fromiter(values, dtype=np.int64))


def fingerprint(tensors: Mapping[str, Tensor | Mapping[str, Tensor] | None]) -> str:
    """A 128-bit hash of named tensors, or mappings of them, as 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(_flat(tensors).items()):
        digest.update(f"{name}:{None if tensor is None else list(tensor.shape)};".encode())
        if tensor is not None:
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _flat(tensors: Mapping[str, Tensor | Mapping[str, Tensor] | None]) -> dict[str, Tensor | None]:
    """The tensors by name, those of a mapping as `name.part`."""
    flat: dict[str, Tensor | None] = {}
    for name, value in tensors.items():
        flat |= {f"{name}.{part}": tensor for part, tensor in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def _bytes_by_row(tensor: Tensor) -> Any:
    rows = tensor.detach().cpu().contiguous()
    return rows.view(len(rows), -1).view(torch.uint8).numpy() if rows.numel() else np.empty((len(rows), 0), np.uint8)
