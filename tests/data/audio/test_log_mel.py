"""Log-mel spectrograms against a slow reference, and their properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.data.audio import log_mel, mel_filters
from tests.data.audio.sounds import tone


def slow_log_mel(wave: np.ndarray, rate: int, n_mels: int, n_fft: int, hop: int) -> np.ndarray:
    """The definition, window by window and band by band."""
    padded = np.pad(wave, n_fft // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    mel_of = lambda f: f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)  # noqa: E731
    hertz_of = lambda m: m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)  # noqa: E731
    edges = [hertz_of(m) for m in np.linspace(0, mel_of(rate / 2), n_mels + 2)]
    out = np.zeros((n_mels, 1 + len(wave) // hop))
    for frame in range(out.shape[1]):
        power = np.abs(np.fft.rfft(padded[frame * hop : frame * hop + n_fft] * window)) ** 2
        for band, (low, peak, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
            for index, value in enumerate(power):
                f = index * rate / n_fft
                height = max(0.0, min((f - low) / (peak - low), (high - f) / (high - peak)))
                out[band, frame] += height * 2 / (high - low) * value
    logarithm = np.log10(np.maximum(out, 1e-10))
    return np.maximum(0, 1 + (logarithm - logarithm.max()) / 8)


def test_it_agrees_with_the_definition() -> None:
    wave = tone(440) + tone(1900, volume=0.1) + 0.01 * np.random.default_rng(0).standard_normal(800)
    found = log_mel(torch.from_numpy(wave).float()[None], 8000, 20, 200, 80)
    assert found.shape == (1, 1, 20, 11)
    np.testing.assert_allclose(found[0, 0].numpy(), slow_log_mel(wave, 8000, 20, 200, 80), atol=1e-4)


def test_volume_does_not_matter_and_silence_is_zero() -> None:
    wave = torch.from_numpy(tone(700)).float()[None]
    torch.testing.assert_close(log_mel(wave, 8000), log_mel(0.25 * wave, 8000), atol=1e-3, rtol=0)
    assert log_mel(wave, 8000).max() == 1
    assert not log_mel(torch.zeros(1, 800), 8000).any()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_a_tone_is_loudest_in_its_band(rate: int) -> None:
    filters = mel_filters(64, 1024, rate)
    band = int(log_mel(torch.from_numpy(tone(1500, rate=rate)).float()[None], rate, n_fft=1024)[0, 0].sum(1).argmax())
    assert filters[band].argmax() * rate / 1024 == pytest.approx(1500, abs=2 * rate / 1024 + 40)


def test_too_many_bands_and_too_short_sounds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"audio.n_mels=200: too many bands for n_fft=256 at 8000 Hz"):
        mel_filters(200, 256, 8000)
    with pytest.raises(ValueError, match="100 samples are too few for n_fft=400"):
        log_mel(torch.zeros(1, 100), 8000)
