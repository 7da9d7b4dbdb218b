"""Keys: 64-bit hashes of what an item contains, the same in any order, file format or process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.data.storage import TensorStorage, TextStorage


def content_key(*parts: Any) -> int:
    """BLAKE2b of the bytes-like parts one after the other, as a signed 64-bit integer."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little", signed=True)


def content_keys(storage: TensorStorage | TextStorage) -> Tensor:
    """One key per item: of a tensor's raw bytes, of a mapping's tensors in order of their names, of a text's UTF-8 or that of
    the two texts of a pair.
    """
    if isinstance(storage, TextStorage):
        return as_keys(text_key(text) if isinstance(text, str) else text_key(*text) for text in storage.texts)
    rows = [_bytes_by_row(part) for _, part in sorted(storage.parts().items())]
    return as_keys(content_key(*parts) for parts in zip(*rows, strict=True))


def text_key(*texts: str) -> int:
    """The key of one or more texts; the byte that stands between them occurs in no UTF-8."""
    return content_key(b"\xff".join(text.encode() for text in texts))


def as_keys(values: Iterable[int]) -> Tensor:
    return torch.from_numpy(np.fromiter(values, dtype=np.int64))


def fingerprint(tensors: Mapping[str, Tensor | None]) -> str:
    """A short hexadecimal name for these tensors' contents."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{None if tensor is None else list(tensor.shape)};".encode())
        if tensor is not None:
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _bytes_by_row(part: Tensor) -> Any:
    flat = part.detach().cpu().contiguous()
    return flat.view(len(flat), -1).view(torch.uint8).numpy() if flat.numel() else np.empty((len(flat), 0), np.uint8)
