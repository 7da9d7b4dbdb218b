"""The cache of altered texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.data import AugmentationReport, Items, augment_texts
from tests.data.text.altered import TEXTS, Fixed, items_of, texts_of

ODD = ["bad\nfilm", 'late "film"\u2028', "bad \\ film", "good\u0085 film"]


@pytest.mark.parametrize("texts", [TEXTS, ODD, [("bad", "late film"), ("", "good"), ("film\r\n", "x")], []], ids=len)
def test_cached_copies_are_those_that_were_written(tmp_path: Path, texts: list[Any]) -> None:
    told: list[AugmentationReport] = []
    provider, folder = Fixed(), tmp_path / "new" / "folder"
    items = items_of(texts)
    plain = augment_texts(items, Fixed(), copies=4)
    first, second = (augment_texts(items, provider, copies=4, cache=folder, report=told.append) for _ in range(2))
    for made in (first, second):
        assert texts_of(made) == texts_of(plain)
        assert made.fingerprint() == plain.fingerprint()
    assert provider.asked == (1 if texts else 0)
    assert [report.cached for report in told] == [False, True]
    assert (told[0].copies, told[0].dropped) == (told[1].copies, told[1].dropped)
    assert len(list(folder.iterdir())) == 1


def test_other_settings_have_other_files(tmp_path: Path) -> None:
    variants: list[tuple[Items, Fixed, dict[str, Any]]] = [
        (items_of(TEXTS), Fixed(), {}),
        (items_of(TEXTS[::-1]), Fixed(), {}),
        (items_of(TEXTS[1:]), Fixed(), {}),
        (items_of(TEXTS), Fixed({"good": ("fine",)}), {}),
        (items_of(TEXTS), Fixed(), {"seed": 1}),
        (items_of(TEXTS), Fixed(), {"probability": 0.5}),
        (items_of(TEXTS), Fixed(), {"copies": 2}),
    ]
    for count, (items, provider, options) in enumerate(variants, 1):
        augment_texts(items, provider, cache=tmp_path, **options)
        assert len(list(tmp_path.iterdir())) == count
        assert provider.asked == 1
    augment_texts(items_of(TEXTS), again := Fixed(), cache=tmp_path)
    assert again.asked == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "not UTF-8", "of other items", "no JSON"])
def test_a_damaged_file_is_written_again(tmp_path: Path, damage: str) -> None:
    expected = augment_texts(items_of(TEXTS), Fixed(), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    lines = whole.split(b"\n")
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "flipped": whole.replace(b"movie", b"mouse", 1),
            "emptied": b"",
            "not UTF-8": whole + b"\xff",
            "of other items": b"\n".join([*lines[:-2], b""]),
            "no JSON": b"{\n" + b"\n".join(lines[1:]),
        }[damage]
    )
    assert path.read_bytes() != whole
    provider = Fixed()
    with pytest.warns(UserWarning, match=r"is damaged .*the texts are altered again"):
        made = augment_texts(items_of(TEXTS), provider, cache=tmp_path)
    assert provider.asked == 1
    assert made.fingerprint() == expected.fingerprint()
    assert path.read_bytes() == whole  # repaired
