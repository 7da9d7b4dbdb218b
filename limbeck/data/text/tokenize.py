"""`tokenize`: items of texts, or of pairs of texts, become items of tokens."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.data.items import Items
from limbeck.data.storage import Text, TextStorage, display_text
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.packed_rows import PackedRows
from limbeck.data.text.token_storage import PackedTokens, TokenStorage
from limbeck.data.text.tokenizer_alignment import first_mismatch, strip_spans
from limbeck.utils.progress_bar import show_progress

CHUNK = 1024  # texts encoded at once
MAX_TEXT_CHARACTERS = 1 << 26  # characters that are kept for people to read; of more, tokens spell what they can
TYPE_IDS = "token_type_ids"


def tokenize(items: Items, tokenizer: Any | Mapping[str, Any], max_length: int = 128, *, multiple: int = 1) -> Items:
    """The same items, their texts as tokens; keys and labels are kept.

    With tokenizers by name, as in `{"student": …, "teacher": …}`, each text is encoded by all of them. Where every item's
    tokens come out the same there is one encoding for all actors; else each actor reads its own (`reads="student"`), and
    `items.storage.aligned` says whether their tokens stand for the same characters, one by one.

    Args:
        tokenizer: a fast tokenizer of Transformers, or a mapping of several.
        max_length: the most tokens of an item, special ones included. Longer texts are cut, of a pair the longer one first,
            and a warning says how many.
        multiple: batches are padded to a multiple of so many tokens.

    Raises:
        ValueError: items that are no texts; a tokenizer that is slow, has no padding token, or does not go up to `max_length`;
            an item of which nothing is left to read.
    """
    texts = items.storage
    if not isinstance(texts, TextStorage):
        raise ValueError("items: expected texts, as load_items reads from a text column; these items are something else")
    named = dict(tokenizer) if isinstance(tokenizer, Mapping) else {"": tokenizer}
    fixed = {name: FixedTokenizer.of(each, max_length, name, texts.pairs) for name, each in named.items()}
    leaders = {each.identity: name for name, each in reversed(fixed.items())}  # what is the same is encoded once
    _warn_empty(texts.texts)
    encoder = _Encoder({name: fixed[name] for name in fixed if leaders[fixed[name].identity] == name})
    chunks = [texts.texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    for chunk in show_progress(chunks, "tokenizing", len(chunks)):
        encoder.add(chunk)
    encoder.warn(len(texts), max_length)
    encodings = encoder.encodings()
    identities = {name: each.identity for name, each in fixed.items()}
    first, *others = encodings.values()
    kept = _display_texts(texts.texts)
    if all(first.same_inputs(other) for other in others):
        return items.with_storage(TokenStorage({"": first}, identities, multiple=multiple, texts=kept))
    first_mismatches = {name: encoder.first_mismatches(leaders[each.identity]) for name, each in list(fixed.items())[1:]}
    encodings = {name: encodings[leaders[each.identity]] for name, each in fixed.items()}
    return items.with_storage(TokenStorage(encodings, identities, first_mismatches, multiple, kept))


def _warn_empty(texts: Sequence[Text]) -> None:
    """Empty texts teach that special tokens alone mean something, which is seldom meant; of a pair, both are."""
    empty = [row for row, text in enumerate(texts) if not display_text(text).strip()]
    if empty:
        message = f"{len(empty):,} of {len(texts):,} items are empty texts (the first: item {empty[0]:,}); leave them out"
        warnings.warn(f"{message} where they are not meant to be read", stacklevel=3)


def _display_texts(texts: Sequence[Text]) -> Sequence[Text] | None:
    """The texts, where memory has room for them beside their tokens."""
    characters = sum(len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts)
    return texts if characters <= MAX_TEXT_CHARACTERS else None


class _Encoder:
    """Encodes chunk after chunk by several tokenizers and notes where these part from the first of them."""

    def __init__(self, fixed: Mapping[str, FixedTokenizer]) -> None:
        self.fixed = dict(fixed)
        self.first = next(iter(self.fixed))
        self.cut = dict.fromkeys(self.fixed, 0)
        self._ids: dict[str, list[PackedRows]] = {name: [] for name in self.fixed}
        self._types: dict[str, list[PackedRows]] = {name: [] for name in self.fixed}
        self._first_mismatches: dict[str, list[int]] = {name: [] for name in self.fixed}

    def add(self, texts: Sequence[Text]) -> None:
        answers = {name: each(texts, return_offsets_mapping=len(self.fixed) > 1) for name, each in self.fixed.items()}
        for name, answer in answers.items():
            self._ids[name].append(PackedRows.from_rows(answer["input_ids"]))
            if TYPE_IDS in answer:
                self._types[name].append(PackedRows.from_rows(answer[TYPE_IDS], np.int8))
            full = [row for row, ids in enumerate(answer["input_ids"]) if len(ids) == self.fixed[name].max_length]
            self.cut[name] += sum(bool(answer.encodings[row].overflowing) for row in full)
            if name != self.first:
                ours = answers[self.first]
                self._first_mismatches[name] += [_first_mismatch(ours, answer, row, text) for row, text in enumerate(texts)]

    def warn(self, count: int, max_length: int) -> None:
        cut = {name: f"{cut:,} of {count:,} items ({cut / count:.1%})" for name, cut in self.cut.items() if cut}
        if cut:
            how_many = "; ".join(f"{name}: {share}" if name else share for name, share in cut.items())
            warnings.warn(f"{how_many} are longer than max_length={max_length} tokens and were cut", stacklevel=3)

    def encodings(self) -> dict[str, PackedTokens]:
        found = {}
        for name, fixed in self.fixed.items():
            ids = PackedRows.concatenate(self._ids[name])
            empty = (ids.lengths == 0).nonzero()[:, 0]
            if len(empty):
                raise ValueError(
                    f"item {int(empty[0])}: nothing is left to read of an empty text, as the tokenizer adds no special tokens; "
                    "leave such items out"
                )
            found[name] = PackedTokens(fixed, ids, PackedRows.concatenate(self._types[name]) if self._types[name] else None)
        return found

    def first_mismatches(self, name: str) -> Tensor:
        """Where this tokenizer parts from the first, int32 `[N]`; -1: nowhere."""
        count = sum(map(len, self._ids[name]))
        return torch.tensor(self._first_mismatches[name] if name != self.first else [-1] * count, dtype=torch.int32)


def _first_mismatch(ours: Any, theirs: Any, row: int, text: Text) -> int:
    """The number of the first token of an item that stands for other characters; -1 where there is none."""
    if ours["offset_mapping"][row] == theirs["offset_mapping"][row]:
        return -1
    return first_mismatch(*(_characters(answer.encodings[row], text) for answer in (ours, theirs)))


def _characters(encoding: Any, text: Text) -> list[tuple[int, int]]:
    """Which characters each token stands for."""
    parts = (text,) if isinstance(text, str) else text
    spans = zip(encoding.offsets, encoding.sequence_ids, strict=True)
    return strip_spans((*span, "" if part is None else parts[part]) for span, part in spans)
