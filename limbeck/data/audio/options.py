"""`AudioOptions`: how sounds become spectrograms of one size."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.json_files import read_json

FILE_NAME = "audio.json"


@dataclass(frozen=True)
class AudioOptions:
    """How sounds become log-mel spectrograms `[1, n_mels, frames]`, frames = 1 + seconds · sample_rate // hop.

    Attributes:
        n_mels: bands.
        n_fft: samples of a window (Hann); 400 are 25 ms at 16 kHz.
        hop: samples from one window to the next; 160 are 10 ms at 16 kHz.
        sample_rate: samples a second; None: that of the first sound.
        resample: whether sounds of another rate are converted to `sample_rate`; otherwise they are refused.
        seconds: length of every sound. Shorter ones are followed by silence, longer ones are cut.
        crop: which part of a longer sound is kept: from its "start", or around its "center".

    Raises:
        ValueError: a number out of range.
    """

    n_mels: int = 64
    n_fft: int = 400
    hop: int = 160
    sample_rate: int | None = None
    resample: bool = False
    seconds: float = 1.0
    crop: Literal["start", "center"] = "start"

    def __post_init__(self) -> None:
        for name, value in (("n_mels", self.n_mels), ("n_fft", self.n_fft), ("hop", self.hop), ("seconds", self.seconds)):
            if not 0 < value < math.inf:
                raise ValueError(f"audio.{name}={value}: expected a finite number above 0")
        if self.sample_rate is not None and self.sample_rate <= 0:
            raise ValueError(f"audio.sample_rate={self.sample_rate}: expected more than 0")
        if self.crop not in ("start", "center"):
            raise ValueError(f"audio.crop={self.crop!r}: expected 'start' or 'center'")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a spectrogram, `[1, n_mels, frames]`; empty if the sample rate is not known yet."""
        if self.sample_rate is None:
            return ()
        return 1, self.n_mels, 1 + round(self.seconds * self.sample_rate) // self.hop

    def identity(self) -> str:
        """Hash of everything that the spectrogram of a sound depends on."""
        return "audio " + hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=8).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Writes `audio.json` into the folder, which is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_atomic(Path(folder) / FILE_NAME, (json.dumps(asdict(self), indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path) -> AudioOptions:
        """Reads what `save` wrote.

        Raises:
            ValueError: a file that holds something else.
        """
        path = Path(folder) / FILE_NAME
        try:
            return cls(**read_json(path))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected the options of spectrograms, found {error}") from error
