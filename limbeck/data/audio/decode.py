"""Decodes sounds with soundfile and turns them into spectrograms of one size."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.archive_member import as_file
from limbeck.data.audio.log_mel import log_mel
from limbeck.data.audio.options import AudioOptions
from limbeck.data.audio.riff import refuse_cut_off
from limbeck.data.audio.storage import SpectrogramStorage
from limbeck.data.content_keys import as_keys, content_key
from limbeck.data.storage import EncodedStorage, Storage, TensorStorage
from limbeck.utils.optional_packages import MissingPackageError
from limbeck.utils.progress_bar import show_progress

Wave = NDArray[np.float32]
CHUNK = 256  # sounds that are transformed at once


@dataclass(frozen=True)
class DecodedAudio:
    """The sounds that were decoded.

    Attributes:
        keys: content keys, hashes of samples and sample rate, int64 `[N]`.
        rows: which of the sources were decoded, int64 `[N]`.
    """

    storage: SpectrogramStorage
    keys: Tensor
    rows: Tensor


def decode_audio(
    sources: Sequence[Any],
    describe: Callable[[int], str],
    options: AudioOptions,
    *,
    on_error: Literal["raise", "skip"] = "raise",
    memory_limit: int,
) -> DecodedAudio:
    """Decodes every source once, and keeps the spectrograms in memory if they fit the limit.

    Args:
        sources: bytes or paths of wav, flac or ogg files.
        describe: returns the name of a row for messages.
        on_error: "skip" leaves out sounds that do not decode, with a warning.
        memory_limit: bytes of spectrograms that are kept in memory; larger sets are computed again when they are fetched.

    Raises:
        MissingPackageError: soundfile is not installed.
        ValueError: sounds that do not decode, hold NaN or have another sample rate, with their row.
    """
    _soundfile()  # before any sound is read
    keys: list[int] = []
    kept: list[int] = []
    broken: list[tuple[int, Exception]] = []
    seconds: list[float] = []
    silent: list[int] = []
    chunks: list[Tensor] = []
    waiting: list[Wave] = []
    in_memory = True
    for row, source in enumerate(show_progress(sources, "decoding sounds", len(sources))):
        try:
            wave, rate = decode_wave(source)
        except (RuntimeError, ValueError, OSError, TypeError) as error:  # soundfile raises RuntimeErrors of its own
            broken.append((row, error))
            continue
        if options.sample_rate is None:
            options = replace(options, sample_rate=rate)
            in_memory = len(sources) * _spectrogram(source, options).nbytes <= memory_limit
        wave_at_rate = _at_rate(wave, rate, options, describe(row))
        keys.append(content_key(wave, str(rate).encode()))
        kept.append(row)
        seconds.append(len(wave) / rate)
        silent += [] if wave.any() else [row]
        if in_memory:
            waiting.append(fit_length(wave_at_rate, options))
            if len(waiting) == CHUNK:
                chunks.append(_log_mel(waiting, options))
                waiting = []
    _raise_or_warn(broken, describe, len(sources), on_error)
    _warn_cut(seconds, options)
    _warn_silent(silent, describe, len(kept))
    rows = torch.tensor(kept, dtype=torch.int64)
    storage: Storage
    if in_memory:
        storage = TensorStorage(torch.cat([*chunks, *([_log_mel(waiting, options)] if waiting else [])]))
    else:
        storage = EncodedStorage(sources, partial(_spectrogram, options=options), rows)
    return DecodedAudio(SpectrogramStorage(storage, options), as_keys(keys), rows)


def decode_wave(source: Any) -> tuple[Wave, int]:
    """One sound as float32 samples `[N]` in [−1, 1] with its sample rate; several channels become their mean.

    Raises:
        MissingPackageError: soundfile is not installed.
        ValueError: no samples, or samples that are NaN or infinite.
    """
    if source is None:
        raise ValueError("the cell is empty")
    if isinstance(source, str | Path) and not os.path.exists(source):
        raise ValueError("there is no such file")
    refuse_cut_off(source)
    try:
        samples, rate = _soundfile().read(as_file(source), dtype="float32", always_2d=True)
    except RuntimeError as error:  # its message names an object in memory
        raise ValueError(str(getattr(error, "error_string", error)).rstrip(".")) from error
    wave: Wave = np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32))
    if not len(wave):
        raise ValueError("it has no samples")
    wrong = ~np.isfinite(wave)
    if wrong.any():
        raise ValueError(f"sample {int(wrong.argmax())} is {wave[wrong][0]}; expected finite numbers")
    return wave, int(rate)


def fit_length(wave: Wave, options: AudioOptions) -> Wave:
    """The sound cut, or followed by silence, to the length of the options."""
    assert options.sample_rate is not None
    length = round(options.seconds * options.sample_rate)
    start = max(0, len(wave) - length) // 2 if options.crop == "center" else 0
    part = wave[start : start + length]
    return np.pad(part, (0, length - len(part)))


def _at_rate(wave: Wave, rate: int, options: AudioOptions, name: str) -> Wave:
    """The sound at the sample rate of the options."""
    wanted = options.sample_rate
    if wanted is None or rate == wanted:
        return wave
    if not options.resample:
        raise ValueError(
            f"{name} has {rate:,} samples a second, and {wanted:,} are expected; convert it with audio: {{resample: true}}"
        )
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    converted: Wave = resample_poly(wave, wanted // common, rate // common).astype(np.float32)
    return converted


def _spectrogram(source: Any, options: AudioOptions) -> NDArray[np.float32]:
    """The spectrogram of one sound, `[1, n_mels, frames]`."""
    wave, rate = decode_wave(source)
    spectrogram: NDArray[np.float32] = _log_mel([fit_length(_at_rate(wave, rate, options, "a sound"), options)], options)[
        0
    ].numpy()
    return spectrogram


def _log_mel(waves: list[Wave], options: AudioOptions) -> Tensor:
    assert options.sample_rate is not None
    return log_mel(torch.from_numpy(np.stack(waves)), options.sample_rate, options.n_mels, options.n_fft, options.hop)


def _soundfile() -> Any:
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise MissingPackageError("audio needs soundfile, which is not installed: pip install soundfile") from error
    return soundfile


def _raise_or_warn(broken: list[tuple[int, Exception]], describe: Callable[[int], str], total: int, on_error: str) -> None:
    if not broken:
        return
    row, error = broken[0]
    first = f"{describe(row)}: {error}"
    if on_error == "raise" or len(broken) == total:
        raise ValueError(
            f"{len(broken):,} of {total:,} sounds cannot be read, the first {first}; repair them, or leave them "
            "out with on_error: skip (not with fields:)"
        ) from error
    warnings.warn(f"{len(broken):,} of {total:,} sounds cannot be read and are left out, the first {first}", stacklevel=4)


def _warn_cut(seconds: Sequence[float], options: AudioOptions) -> None:
    cut = sum(each > options.seconds for each in seconds)
    if cut:
        warnings.warn(
            f"audio: {cut:,} of {len(seconds):,} sounds are longer than seconds={options.seconds:g} and are cut; "
            f"the longest has {max(seconds):.2f}",
            stacklevel=4,
        )


def _warn_silent(silent: Sequence[int], describe: Callable[[int], str], total: int) -> None:
    if silent:
        warnings.warn(
            f"audio: {len(silent):,} of {total:,} sounds are silent from start to end, the first {describe(silent[0])}; their "
            "spectrograms are all 0, so that no model can tell them apart",
            stacklevel=4,
        )
