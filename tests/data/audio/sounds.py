"""Small sounds for tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile


def tone(hertz: float, seconds: float = 0.1, rate: int = 8000, volume: float = 0.5) -> np.ndarray[Any, np.dtype[np.float64]]:
    return volume * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def wav(samples: Any, rate: int = 8000, subtype: str = "FLOAT") -> bytes:
    """The bytes of a wav file."""
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples), rate, format="WAV", subtype=subtype)
    return file.getvalue()
