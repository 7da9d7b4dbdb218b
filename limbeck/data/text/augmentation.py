"""`augment_texts`: adds copies of texts in which words are replaced, for distillation on more texts than there are."""

from __future__ import annotations

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
from limbeck.data.storage import Text, TextStorage, parts_of
from limbeck.data.text.augmentation_cache import Copies, cache_path, join_parts, read_cache, text_bytes, write_cache
from limbeck.data.text.word_replacements import WordReplacements
from limbeck.data.text.words import WordSpans
from limbeck.utils.progress_bar import show_progress

CHUNK = 256  # items whose candidates are computed in one call
Uniforms = list[list[list[float]]]
"""Numbers in [0, 1) by item, copy and word."""


@dataclass(frozen=True)
class AugmentationReport:
    """What `augment_texts` did.

    Attributes:
        items: number of texts.
        copies: number of copies added.
        dropped: copies left out because they equal their original or an earlier copy of it.
        cached: whether the copies were read from the cache.
    """

    items: int
    copies: int
    dropped: int
    cached: bool


@dataclass(frozen=True)
class CopySettings:
    """How many copies are made of each item, the probability that a word is replaced, and the seed."""

    copies: int
    probability: float
    seed: int

    @property
    def cache_key(self) -> str:
        """Part of the name of a cache file; if it changed, files of earlier versions would no longer be found."""
        return f"Draws(copies={self.copies!r}, probability={self.probability!r}, seed={self.seed!r})"

    def chances(self, keys: Tensor, words: int) -> Uniforms:
        """A word is replaced if its number is below the probability."""
        return self._uniform(keys, words, "augment/chance")

    def choices(self, keys: Tensor, words: int) -> Uniforms:
        """These numbers choose among the candidates."""
        return self._uniform(keys, words, "augment/choice")

    def _uniform(self, keys: Tensor, words: int, stream: str) -> Uniforms:
        numbers = torch.arange(self.copies).repeat(len(keys))
        drawn = keyed_random.uniform(self.seed, keys.repeat_interleave(self.copies), numbers, stream, words)
        table: Uniforms = drawn.view(len(keys), self.copies, words).tolist()
        return table


def augment_texts(
    items: Items,
    replacements: WordReplacements,
    *,
    copies: int = 20,
    probability: float = 0.4,
    seed: int = 0,
    cache: str | Path | None = None,
    report: Callable[[AugmentationReport], None] | None = None,
) -> Items:
    """Add altered copies after the items: each word is replaced with probability p by one of its K candidates, drawn uniformly.

    Of a pair both texts are altered. Spaces, punctuation, numbers and the case of first letters stay as they are, and so do
    words without candidates. A copy that equals its original or an earlier copy is dropped, so short texts have fewer copies.

    A copy is a pure function of (seed, key of its item, number of the copy) and of the candidates for the text. It does not
    depend on other items, on their order, or on the number of copies. Its key is a hash of the item's key, its number and its
    text. Its target is the item's; as the right answer may change with the words, give soft targets of the teacher the greater
    weight.

    Args:
        items: of texts or of pairs of texts, before `tokenize`.
        replacements: `MaskedModelReplacements`, `EmbeddingReplacements`, or as in the paper
            `FallbackReplacements(MaskedModelReplacements(bert, tokenizer), EmbeddingReplacements.from_file("glove.txt"))`.
        copies: N, copies of each item. Paper: 20.
        probability: p, of replacing a word. Paper: 0.4.
        seed: seed of all draws.
        cache: a folder for finished copies, in files named by texts, settings, seed and candidates. A damaged file is written
            again, with a warning.
        report: called with what was made.

    Raises:
        ValueError: items that are not texts; `copies` below 1; a `probability` outside [0, 1].

    Source: Jiao et al. 2020, TinyBERT (arXiv:1909.10351), Algorithm 1, where words of several pieces are replaced by neighbours
    in GloVe, and all others by predictions of BERT.
    """
    if not isinstance(items.storage, TextStorage):
        raise ValueError("items: expected texts, which are altered before tokenize(…); these items are something else")
    if copies < 1:
        raise ValueError(f"copies={copies}: expected 1 or more")
    if not 0 <= probability <= 1:
        raise ValueError(f"probability={probability}: expected a number from 0 to 1")
    texts, settings = items.storage.texts, CopySettings(copies, probability, seed)
    path = made = None
    if cache is not None:
        path = cache_path(Path(cache), texts, items.keys, f"{settings.cache_key}\n{replacements.identity}")
        made = read_cache(path, len(texts))
    cached = made is not None
    if made is None:
        made = _make_copies(texts, items.keys, replacements, settings)
        if path is not None:
            write_cache(path, made)
    count = sum(map(len, made))
    if report is not None:
        report(AugmentationReport(len(texts), count, len(texts) * copies - count, cached))
    if texts and probability > 0 and not count:
        warnings.warn(f"none of {len(texts):,} texts was altered: none of their words has candidates", stacklevel=2)
    return _with_copies(items, texts, made)


def _with_copies(items: Items, texts: Sequence[Text], made: Sequence[Copies]) -> Items:
    keys = (_copy_key(key, *copy) for key, copies in zip(items.keys.tolist(), made, strict=True) for copy in copies)
    rows = torch.repeat_interleave(torch.tensor([len(copies) for copies in made], dtype=torch.int64))
    target = None if items.target is None else torch.cat([items.target, items.target[rows]])
    storage = TextStorage([*texts, *(text for copies in made for _, text in copies)])
    return Items(storage, torch.cat([items.keys, as_keys(keys)]), target, items.classes, items.class_names)


def _copy_key(key: int, number: int, text: Text) -> int:
    """The text is part of the key: with other settings the same number is another text, which caches must not confuse."""
    return content_key(*(value.to_bytes(8, "little", signed=True) for value in (key, number)), text_bytes(text))


def _make_copies(texts: Sequence[Text], keys: Tensor, replacements: WordReplacements, settings: CopySettings) -> list[Copies]:
    """The altered copies of each text."""
    if not settings.probability:
        return [[] for _ in texts]
    made: list[Copies] = []
    starts = range(0, len(texts), CHUNK)
    for start in show_progress(starts, "altering texts", len(starts)):
        parts = [[WordSpans.of(part) for part in parts_of(text)] for text in texts[start : start + CHUNK]]
        by_part = iter(replacements([part for item in parts for part in item]))
        candidates = [[options for _ in item for options in next(by_part)] for item in parts]
        chunk_keys, words = keys[start : start + CHUNK], max(map(len, candidates))
        drawn = settings.chances(chunk_keys, words), settings.choices(chunk_keys, words)
        made += [_item_copies(*item, settings.probability) for item in zip(parts, candidates, *drawn, strict=True)]
    return made


def _item_copies(
    parts: Sequence[WordSpans],
    candidates: Sequence[Sequence[str]],
    chances: Sequence[Sequence[float]],
    choices: Sequence[Sequence[float]],
    probability: float,
) -> Copies:
    """The copies of one item that differ from it and from each other.

    Args:
        parts: the text, or both texts of a pair.
        candidates: of the words of all parts, in order.
        chances, choices: by copy and word; there are as many as the longest item of the chunk needs.
    """
    known, found = {tuple(part.text for part in parts)}, []
    for number, (chance, choice) in enumerate(zip(chances, choices, strict=True)):
        words = iter(
            options[int(share * len(options))] if options and luck < probability else None
            for options, luck, share in zip(candidates, chance, choice, strict=False)
        )
        copy = tuple(part.replace(islice(words, len(part))) for part in parts)
        if copy not in known:
            known.add(copy)
            found.append((number, join_parts(copy)))
    return found
