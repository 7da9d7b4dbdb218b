"""Keeps with a model how raw inputs become what it reads."""

from __future__ import annotations

from pathlib import Path

from limbeck.data.audio.storage import SpectrogramStorage
from limbeck.data.image.size import image_shape, save_image_shape
from limbeck.data.items import Items
from limbeck.data.table.encoder import EncodedTable
from limbeck.data.text.token_storage import TokenStorage


def save_preprocessing(items: Items, folder: Path) -> None:
    """Writes into a model's folder the tokenizer, table columns, spectrogram options or image shape of its items."""
    if isinstance(items.storage, TokenStorage):
        items.storage.tokenizer.save_pretrained(folder)
    if isinstance(items.storage, EncodedTable):
        items.storage.encoder.save(folder)
    if isinstance(items.storage, SpectrogramStorage):
        items.storage.options.save(folder)
    elif (shape := image_shape(items)) is not None:
        save_image_shape(shape, folder)
