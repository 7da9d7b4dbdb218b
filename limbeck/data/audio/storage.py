"""`SpectrogramStorage`: spectrograms in memory, or computed when they are fetched."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from limbeck.data.audio.options import AudioOptions
from limbeck.data.storage import Storage


class SpectrogramStorage(Storage):
    """Spectrograms with the options that they were made with.

    Args:
        spectrograms: float32 `[N, 1, n_mels, frames]`.
        options: with the sample rate.
    """

    modality = "audio"

    def __init__(self, spectrograms: Storage, options: AudioOptions) -> None:
        self.spectrograms, self.options = spectrograms, options

    def __len__(self) -> int:
        return len(self.spectrograms)

    @property
    def in_memory(self) -> bool:
        return self.spectrograms.in_memory

    def fetch(self, rows: Tensor) -> Any:
        return self.spectrograms.fetch(rows)

    def select(self, rows: Tensor) -> SpectrogramStorage:
        return SpectrogramStorage(self.spectrograms.select(rows), self.options)

    def identity(self) -> str:
        """Hash of everything that a spectrogram depends on, besides its sound."""
        return self.options.identity()
