"""Sounds: decoded by soundfile, and turned into log-mel spectrograms that convolutional networks read like images."""

from limbeck.data.audio.augmentation import FrequencyMask, Noise, TimeMask, TimeShift
from limbeck.data.audio.decode import decode_audio, decode_wave
from limbeck.data.audio.log_mel import log_mel, mel_filters
from limbeck.data.audio.options import AudioOptions
from limbeck.data.audio.storage import SpectrogramStorage

__all__ = [
    "AudioOptions",
    "FrequencyMask",
    "Noise",
    "SpectrogramStorage",
    "TimeMask",
    "TimeShift",
    "decode_audio",
    "decode_wave",
    "log_mel",
    "mel_filters",
]
