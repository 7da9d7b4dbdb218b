"""Keeps with a model how raw inputs become what it reads."""

from __future__ import annotations

from pathlib import Path

from limbeck.data.audio.storage import SpectrogramStorage
from limbeck.data.items import Items
from limbeck.data.table.encoder import EncodedTable
from limbeck.data.text.token_storage import TokenStorage


def save_preprocessing(items: Items, folder: Path) -> None:
    """Writes the tokenizer, the columns of the table or the options of the spectrograms of items into a model's folder."""
    if isinstance(items.storage, TokenStorage):
        items.storage.tokenizer.save_pretrained(folder)
    if isinstance(items.storage, EncodedTable):
        items.storage.encoder.save(folder)
    if isinstance(items.storage, SpectrogramStorage):
        items.storage.options.save(folder)
