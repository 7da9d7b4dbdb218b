"""Sounds from Parquet and files: found, decoded, brought to one rate and length."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.data import AudioOptions, Items, load_items
from limbeck.data.audio import SpectrogramStorage, decode_wave
from limbeck.models import MissingPackageError
from tests.data.audio.sounds import tone, wav
from tests.data.loading.files import parquet

SHORT = AudioOptions(n_mels=16, seconds=0.2)


def load(folder: Path, sounds: list[Any], options: AudioOptions = SHORT, name: str = "audio", **changes: Any) -> Items:
    cells = [{"bytes": sound, "path": None} for sound in sounds]
    columns = {name: cells, "speaker": ["x"] * len(cells), "label": list(range(len(cells)))}
    return load_items(parquet(folder / "sounds.parquet", **columns), audio=options, **changes)


def spectrograms(items: Items) -> torch.Tensor:
    found: torch.Tensor = items.fetch(torch.arange(len(items)))
    return found


@pytest.mark.parametrize("name", ["audio", "wave"])
def test_sounds_are_found_by_name_or_content(tmp_path: Path, name: str) -> None:
    items = load(tmp_path, [wav(tone(300)), wav(tone(900))], name=name)
    assert spectrograms(items).shape == (2, 1, 16, 11)
    assert isinstance(items.storage, SpectrogramStorage)
    assert items.storage.options.sample_rate == 8000
    assert not items.images


def test_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(tone(300)))
    (tmp_path / "list.csv").write_text("file,label\na.wav,1\n")
    by_path = load_items(tmp_path / "list.csv", audio=SHORT, input="file")
    by_bytes = load(tmp_path, [wav(tone(300))])
    assert torch.equal(spectrograms(by_path), spectrograms(by_bytes))
    assert torch.equal(by_path.keys, by_bytes.keys)


def test_short_sounds_are_padded_and_long_ones_cut(tmp_path: Path) -> None:
    long = np.concatenate([tone(300, 0.2), tone(2000, 0.2), tone(300, 0.2)])
    with pytest.warns(UserWarning, match=r"1 of 2 sounds are longer than seconds=0.2 and are cut; the longest has 0.60"):
        start = load(tmp_path, [wav(long), wav(tone(300, 0.1))])
    assert torch.equal(spectrograms(start)[0], spectrograms(load(tmp_path, [wav(tone(300, 0.2))]))[0])
    assert not spectrograms(start)[1, 0, :, -3:].any()
    with pytest.warns(UserWarning, match="are cut"):
        center = load(tmp_path, [wav(long)], AudioOptions(n_mels=16, seconds=0.2, crop="center"))
    assert torch.equal(spectrograms(center)[0], spectrograms(load(tmp_path, [wav(tone(2000, 0.2))]))[0])


def test_other_sample_rates_are_refused_or_converted(tmp_path: Path) -> None:
    sounds = [wav(tone(300)), wav(tone(300, rate=16000), rate=16000)]
    with pytest.raises(ValueError, match=r"row 1 has 16,000 samples a second, and 8,000 are expected; .*{resample: true}"):
        load(tmp_path, sounds)
    both = spectrograms(load(tmp_path, sounds, AudioOptions(n_mels=16, seconds=0.1, resample=True)))
    inner = both[..., 1:-1]  # filters ring at both ends
    assert (inner[0].argmax(1) == inner[1].argmax(1)).all()
    assert both.shape[-1] == 6


def test_channels_become_their_mean() -> None:
    wave, rate = decode_wave(wav(np.stack([tone(300), -tone(300)], 1)))
    assert rate == 8000
    assert np.abs(wave).max() < 1e-7


def test_large_sets_are_computed_when_they_are_fetched(tmp_path: Path) -> None:
    sounds = [wav(tone(hertz)) for hertz in (300, 600, 900)]
    lazy, eager = load(tmp_path, sounds, memory_limit=1), load(tmp_path, sounds)
    torch.testing.assert_close(spectrograms(lazy), spectrograms(eager))
    assert torch.equal(lazy.keys, eager.keys)
    assert spectrograms(lazy.select(torch.tensor([2]))).shape == (1, 1, 16, 11)
    assert lazy.fetch(torch.tensor([0, 1])).shape == (2, 1, 16, 11)


def test_broken_sounds_are_found_with_their_row(tmp_path: Path) -> None:
    nan = tone(300)
    nan[5] = np.nan
    with pytest.raises(ValueError, match=r"1 of 2 sounds cannot be read, the first .* row 1: sample 5 is nan"):
        load(tmp_path, [wav(tone(300)), wav(nan)])
    with pytest.raises(
        ValueError, match=r"2 of 3 sounds cannot be read, the first .* row 0: Format not recognised; repair them, or leave"
    ):
        load(tmp_path, [b"RIFF", wav(tone(300)), wav([])])
    with pytest.warns(
        UserWarning, match="1 of 2 sounds cannot be read and are left out, the first .* row 0: the cell is empty"
    ):
        items = load(tmp_path, [None, wav(tone(300))], on_error="skip")
    assert items.target is not None
    assert items.target.tolist() == [1]


def test_nan_in_arrays_is_found_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column 'x': row 1 holds nan; expected finite numbers"):
        load_items(parquet(tmp_path / "a.parquet", x=[[1.0, 2.0], [3.0, float("nan")]], label=[0, 1]))


def test_options_of_sounds_need_sounds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column 'text' holds texts, no sounds; leave out `audio`"):
        load_items(parquet(tmp_path / "a.parquet", text=["x"], label=[0]), audio=SHORT)


@pytest.mark.parametrize("wrong", [{"n_mels": 0}, {"seconds": -1}, {"sample_rate": 0}, {"crop": "end"}])
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"audio.{next(iter(wrong))}="):
        AudioOptions(**wrong)


def test_options_are_the_same_after_saving(tmp_path: Path) -> None:
    SHORT.save(tmp_path)
    assert AudioOptions.load(tmp_path) == SHORT
    assert SHORT.identity() != AudioOptions(n_mels=17, seconds=0.2).identity()
    (tmp_path / "audio.json").write_text('{"bands": 3}')
    with pytest.raises(ValueError, match=r"audio.json: expected the options of spectrograms"):
        AudioOptions.load(tmp_path)


def test_soundfile_is_needed_for_sounds_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingPackageError, match="pip install soundfile"):
        load(tmp_path, [b"RIFF0000WAVE"])


def test_sounds_that_are_cut_off_are_refused_and_silent_ones_told(tmp_path: Path) -> None:
    """Decoders take what is there of a wav file, without a word."""
    sound = wav(tone(300), subtype="PCM_16")
    with pytest.raises(
        ValueError, match=r"row 1: it is cut off: its header speaks of 1,600 bytes of samples, and it holds 800"
    ):
        load(tmp_path, [sound, sound[:-800]])
    (tmp_path / "cut.wav").write_bytes(sound[:-800])
    with pytest.raises(ValueError, match="it is cut off"):
        decode_wave(str(tmp_path / "cut.wav"))
    with pytest.raises(ValueError, match="there is no such file"):
        decode_wave(str(tmp_path / "none.wav"))
    streamed = sound.replace((1600).to_bytes(4, "little"), b"\xff\xff\xff\xff")  # written before its length was known
    assert len(decode_wave(streamed)[0]) == 800
    assert len(decode_wave(sound[:-2])[0]) == 799  # some programs count more than they write
    with pytest.warns(UserWarning, match=r"1 of 2 sounds are silent from start to end, the first .* row 1"):
        load(tmp_path, [sound, wav(np.zeros(500))])


def test_a_folder_of_sounds_says_how_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs" / "a.wav").write_bytes(wav(tone(300)))
    with pytest.raises(ValueError, match="sounds are not read from folders; write a table"):
        load_items(tmp_path)
