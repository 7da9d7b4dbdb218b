"""Keeps with a model how raw inputs become what it reads."""

from __future__ import annotations

from pathlib import Path

from limbeck.data.audio.storage import SpectrogramStorage
from limbeck.data.image.size import image_size, save_image_size
from limbeck.data.items import Items
from limbeck.data.table.encoder import EncodedTable
from limbeck.data.text.token_storage import TokenStorage


def save_preprocessing(items: Items, folder: Path) -> None:
    """Writes into a model's folder the tokenizer, table columns, spectrogram options or image size of its items."""
    if isinstance(items.storage, TokenStorage):
        items.storage.tokenizer.save_pretrained(folder)
    if isinstance(items.storage, EncodedTable):
        items.storage.encoder.save(folder)
    if isinstance(items.storage, SpectrogramStorage):
        items.storage.options.save(folder)
    elif (size := image_size(items)) is not None:
        save_image_size(size, folder)
