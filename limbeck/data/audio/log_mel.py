"""Log-mel spectrograms in PyTorch."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

RANGE = 8.0
"""Powers of ten below the loudest value of a sound (80 dB) that its spectrogram tells apart."""


def log_mel(waves: Tensor, sample_rate: int, n_mels: int = 64, n_fft: int = 400, hop: int = 160) -> Tensor:
    """Computes log-mel spectrograms in [0, 1], `[B, samples]` → `[B, 1, n_mels, 1 + samples // hop]`.

    S = filters · |STFT|² (Hann window, centred, reflected at both ends), L = log10 max(S, 1e−10), and the result is
    max(0, 1 + (L − max L) / 8) with the maximum over the sound: 1 for its loudest value, 0 for what is 80 dB softer, and 0
    everywhere for silence. It does not depend on the volume.

    Raises:
        ValueError: sounds shorter than half a window.
    """
    if waves.shape[-1] <= n_fft // 2:
        raise ValueError(
            f"audio: {waves.shape[-1]} samples are too few for n_fft={n_fft}; give more `seconds`, or a smaller `n_fft`"
        )
    window = torch.hann_window(n_fft)
    spectrum = torch.stft(waves, n_fft, hop, window=window, center=True, pad_mode="reflect", return_complex=True)
    mel = mel_filters(n_mels, n_fft, sample_rate) @ spectrum.abs().square()
    logarithm = mel.clamp(min=1e-10).log10()
    loudest = logarithm.amax((-2, -1), keepdim=True)
    scaled = (1 + (logarithm - loudest) / RANGE).clamp(min=0)
    return torch.where(loudest > -10, scaled, 0).unsqueeze(1)


@functools.lru_cache
def mel_filters(n_mels: int, n_fft: int, sample_rate: int) -> Tensor:
    """Triangular filters on Slaney's mel scale from 0 Hz to half the sample rate, each of area 1: `[n_mels, n_fft // 2 + 1]`.

    The scale is linear up to 1000 Hz and logarithmic above. Source: Slaney 1998, Auditory Toolbox, the default of librosa.

    Raises:
        ValueError: so many bands that one would lie between two frequencies of the window.
    """
    frequencies = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    edges = _to_hertz(torch.linspace(0, float(_to_mel(sample_rate / 2)), n_mels + 2, dtype=torch.float64))
    width = edges.diff()
    rising = (frequencies - edges[:-2, None]) / width[:-1, None]
    falling = (edges[2:, None] - frequencies) / width[1:, None]
    filters = torch.minimum(rising, falling).clamp(min=0) * (2 / (edges[2:] - edges[:-2]))[:, None]
    if bool((filters.amax(1) == 0).any()):
        raise ValueError(
            f"audio.n_mels={n_mels}: too many bands for n_fft={n_fft} at {sample_rate} Hz, some hold no frequency; "
            "give fewer bands or a larger n_fft"
        )
    return filters.to(torch.float32)


def _to_mel(hertz: float) -> float:
    return hertz / (200 / 3) if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _to_hertz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * (200 / 3), 1000 * ((mel - 15) * (math.log(6.4) / 27)).exp())
