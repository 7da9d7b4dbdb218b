"""Altered copies of texts, so that a student hears its teacher on more of them than there are (TinyBERT, 1909.10351)."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from limbeck.data import keyed_random
from limbeck.data.content_keys import as_keys, content_key
from limbeck.data.items import Items
from limbeck.data.storage import Text, TextStorage
from limbeck.data.text.word_replacements import WordReplacements
from limbeck.data.text.words import WordSpans
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.progress_bar import show_progress

CHUNK = 256  # items whose candidates are asked for at once
FORMAT = "limbeck augmented texts 1"
ItemCopies = list[tuple[int, Text]]
"""Of one item: the number of each copy, and its text."""
Uniforms = list[list[list[float]]]
"""Numbers in [0, 1) by item, copy and word."""


@dataclass(frozen=True)
class AugmentationReport:
    """What `augment_texts` did.

    Attributes:
        items: how many there were.
        copies: how many were added.
        dropped: copies left out because they were equal to their original or to an earlier copy of it.
        cached: whether they were found in the cache.
    """

    items: int
    copies: int
    dropped: int
    cached: bool


@dataclass(frozen=True)
class CopySettings:
    """How many copies there are, how much of them is altered, and what their chances go by."""

    copies: int
    probability: float
    seed: int

    @property
    def cache_key(self) -> str:
        """Part of the name of a cache file; it must not change, or files of earlier versions are no longer found."""
        return f"Draws(copies={self.copies!r}, probability={self.probability!r}, seed={self.seed!r})"

    def chances(self, keys: Tensor, words: int) -> Uniforms:
        """Whether a word is replaced: where its number is below the probability."""
        return self._uniform(keys, words, "augment/chance")

    def choices(self, keys: Tensor, words: int) -> Uniforms:
        """By which of its candidates."""
        return self._uniform(keys, words, "augment/choice")

    def _uniform(self, keys: Tensor, words: int, stream: str) -> Uniforms:
        numbers = torch.arange(self.copies).repeat(len(keys))
        drawn = keyed_random.uniform(self.seed, keys.repeat_interleave(self.copies), numbers, stream, words)
        table: Uniforms = drawn.view(len(keys), self.copies, words).tolist()
        return table


def augment_texts(
    items: Items,
    candidates: WordReplacements,
    *,
    copies: int = 20,
    probability: float = 0.4,
    seed: int = 0,
    cache: str | Path | None = None,
    report: Callable[[AugmentationReport], None] | None = None,
) -> Items:
    """The items, and after them altered copies of each: every word is replaced with probability p by one drawn evenly from its
    K candidates. Of a pair both texts are altered.

    Spaces, punctuation, numbers and the case of first letters stay as they are, and so do words without candidates. A copy is
    dropped if it is equal to its original or to a copy before it, so that short texts have fewer.

    A copy is a pure function of (seed, key of its item, number of the copy) and of the text's candidates, whatever other items
    there are and in whatever order. Its key is made from the item's, its number and its text: stores and views tell it from all
    others, and it is the same where more copies are made. Its target is the item's; as other words may call for another answer,
    let soft targets of the teacher have the greater weight.

    Args:
        items: of texts or of pairs of texts, before `tokenize`.
        candidates: `MaskedModelReplacements`, `EmbeddingReplacements`, or as in the paper
            `FallbackReplacements(MaskedModelReplacements(bert, tokenizer), EmbeddingReplacements.from_file("glove.txt"))`.
        copies: N, of each item. Paper: 20.
        probability: p, of each word. Paper: 0.4.
        seed: of all draws.
        cache: a folder in which the finished texts are kept, named by texts, settings, seed and candidates. A file that is
            damaged is made again, with a warning.
        report: called with what was made.

    Raises:
        ValueError: items that are no texts; `copies` below 1; a `probability` outside [0, 1].

    Source: Jiao et al. 2020, TinyBERT (arXiv:1909.10351), Algorithm 1, which puts GloVe's neighbours in place of words of
    several pieces, and the guesses of BERT in place of all others.
    """
    if not isinstance(items.storage, TextStorage):
        raise ValueError("items: expected texts, which are altered before tokenize(…); these items are something else")
    if copies < 1:
        raise ValueError(f"copies={copies}: expected 1 or more")
    if not 0 <= probability <= 1:
        raise ValueError(f"probability={probability}: expected a number from 0 to 1")
    texts, settings = items.storage.texts, CopySettings(copies, probability, seed)
    path = None if cache is None else _place(Path(cache), texts, items.keys, candidates, settings)
    made = None if path is None else _read(path, len(texts))
    cached = made is not None
    if made is None:
        made = _make(texts, items.keys, candidates, settings)
        if path is not None:
            _write(path, made)
    count = sum(map(len, made))
    if report is not None:
        report(AugmentationReport(len(texts), count, len(texts) * copies - count, cached))
    if texts and probability > 0 and not count:
        warnings.warn(f"none of {len(texts):,} texts was altered: none of their words has candidates", stacklevel=2)
    return _with_copies(items, texts, made)


def _with_copies(items: Items, texts: Sequence[Text], made: Sequence[ItemCopies]) -> Items:
    keys = (_key(key, *copy) for key, some in zip(items.keys.tolist(), made, strict=True) for copy in some)
    rows = torch.repeat_interleave(torch.tensor([len(some) for some in made], dtype=torch.int64))
    target = None if items.target is None else torch.cat([items.target, items.target[rows]])
    storage = TextStorage([*texts, *(text for some in made for _, text in some)])
    return Items(storage, torch.cat([items.keys, as_keys(keys)]), target, items.classes, items.class_names)


def _key(key: int, number: int, text: Text) -> int:
    """With its text, as the same number is another text under other settings, which no store may take for this one."""
    return content_key(*(value.to_bytes(8, "little", signed=True) for value in (key, number)), _bytes(text))


def _make(texts: Sequence[Text], keys: Tensor, candidates: WordReplacements, settings: CopySettings) -> list[ItemCopies]:
    """The altered copies of each text."""
    if not settings.probability:
        return [[] for _ in texts]
    made: list[ItemCopies] = []
    starts = range(0, len(texts), CHUNK)
    for start in show_progress(starts, "altering texts", len(starts)):
        parts = [[WordSpans.of(part) for part in _parts(text)] for text in texts[start : start + CHUNK]]
        offered = iter(candidates([part for item in parts for part in item]))
        offers = [[options for _ in item for options in next(offered)] for item in parts]
        some, words = keys[start : start + CHUNK], max(map(len, offers))
        drawn = settings.chances(some, words), settings.choices(some, words)
        made += [_copies(*item, settings.probability) for item in zip(parts, offers, *drawn, strict=True)]
    return made


def _copies(
    parts: Sequence[WordSpans],
    offers: Sequence[Sequence[str]],
    chances: Sequence[Sequence[float]],
    choices: Sequence[Sequence[float]],
    probability: float,
) -> ItemCopies:
    """The copies of one item that differ from it and from each other; `offers`: the candidates of its words, of all parts."""
    known, found = {tuple(part.text for part in parts)}, []
    for number, (chance, choice) in enumerate(zip(chances, choices, strict=True)):
        words = iter(
            options[int(share * len(options))] if options and luck < probability else None
            for options, luck, share in zip(offers, chance, choice, strict=False)  # draws are as many as the longest item needs
        )
        text = tuple(part.replace(islice(words, len(part))) for part in parts)
        if text not in known:
            known.add(text)
            found.append((number, _text(text)))
    return found


# --- the cache -------------------------------------------------------------------------------------------------------------


def _place(folder: Path, texts: Sequence[Text], keys: Tensor, candidates: WordReplacements, settings: CopySettings) -> Path:
    """The file of exactly these copies; its folder is made now, so that hours of work are not lost for want of one."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(f"{FORMAT}\n{settings.cache_key}\n{candidates.identity}\n".encode(), digest_size=16)
    for key, text in zip(keys.tolist(), texts, strict=True):
        digest.update(content_key(_bytes(text)).to_bytes(8, "little", signed=True) + key.to_bytes(8, "little", signed=True))
    return folder / f"{digest.hexdigest()}.jsonl"


def _write(path: Path, made: Sequence[ItemCopies]) -> None:
    """A line of what is in the file and its checksum, and then one for each item."""
    lines = [json.dumps(some, ensure_ascii=False) for some in made]
    about = {"format": FORMAT, "items": len(made), "checksum": _checksum(lines)}
    write_atomic(path, "".join(f"{line}\n" for line in [json.dumps(about), *lines]).encode())


def _read(path: Path, items: int) -> list[ItemCopies] | None:
    """What was written there; None where there is nothing, or no longer what was written."""
    if not path.exists():
        return None
    try:
        about, *lines = path.read_bytes().decode().removesuffix("\n").split("\n")
        if json.loads(about) != {"format": FORMAT, "items": items, "checksum": _checksum(lines)}:
            raise ValueError("its checksum is another")
        return [
            [(number, _text([text] if isinstance(text, str) else text)) for number, text in json.loads(line)] for line in lines
        ]
    except ValueError as error:
        warnings.warn(f"{path} is damaged ({error}); the texts are made again", stacklevel=3)
        return None


def _checksum(lines: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _parts(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _text(parts: Sequence[str]) -> Text:
    """What `_parts` took apart."""
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    return first, second


def _bytes(text: Text) -> bytes:
    return b"\xff".join(part.encode() for part in _parts(text))  # a byte that occurs in no UTF-8
