"""Tokenization: `tokenize` turns items of texts, or of pairs of texts, into items of tokens."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.data.items import Items
from limbeck.data.storage import Text, TextStorage, display_text, parts_of
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.packed_rows import PackedRows
from limbeck.data.text.token_storage import PackedTokens, TokenStorage
from limbeck.data.text.tokenizer_alignment import first_mismatch, strip_spans
from limbeck.utils.progress_bar import show_progress

CHUNK = 1024  # texts encoded in one call
MAX_TEXT_CHARACTERS = 1 << 26  # texts of more characters in all are not kept for display
TYPE_IDS = "token_type_ids"


def tokenize(items: Items, tokenizer: Any | Mapping[str, Any], max_length: int = 128, *, multiple: int = 1) -> Items:
    """Tokenize the texts of items. Keys and labels stay the same.

    With several tokenizers by name, as in `{"student": …, "teacher": …}`, each of them encodes every text. If the encodings
    are equal for all items, they become one encoding for all actors; otherwise each actor reads its own (`reads="student"`),
    and `items.storage.aligned` says whether their tokens stand for the same characters, one by one.

    Args:
        items: of texts or of pairs of texts.
        tokenizer: a fast tokenizer of Transformers, or a mapping of several by name.
        max_length: most tokens of an item, special tokens included. Longer texts are cut, of a pair the longer one first, with
            a warning.
        multiple: batches are padded to a multiple of this number of tokens.

    Raises:
        ValueError: items that are not texts; a tokenizer that is slow, has no padding token, or cannot encode `max_length`
            tokens; an item without any token.
    """
    texts = items.storage
    if not isinstance(texts, TextStorage):
        raise ValueError("items: expected texts, as load_items reads from a text column; these items are something else")
    named = dict(tokenizer) if isinstance(tokenizer, Mapping) else {"": tokenizer}
    fixed = {name: FixedTokenizer.of(each, max_length, name, texts.pairs) for name, each in named.items()}
    leaders = {each.identity: name for name, each in reversed(fixed.items())}  # equal tokenizers encode once
    _warn_about_empty_texts(texts.texts)
    encoder = _Encoder({name: fixed[name] for name in fixed if leaders[fixed[name].identity] == name})
    chunks = [texts.texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    for chunk in show_progress(chunks, "tokenizing", len(chunks)):
        encoder.add(chunk)
    encoder.warn_about_cut_texts(len(texts), max_length)
    encodings = encoder.encodings()
    identities = {name: each.identity for name, each in fixed.items()}
    first, *others = encodings.values()
    kept = _texts_to_keep(texts.texts)
    if all(first.same_inputs(other) for other in others):
        return items.with_storage(TokenStorage({"": first}, identities, multiple=multiple, texts=kept))
    mismatches = {name: encoder.first_mismatches(leaders[each.identity]) for name, each in list(fixed.items())[1:]}
    encodings = {name: encodings[leaders[each.identity]] for name, each in fixed.items()}
    return items.with_storage(TokenStorage(encodings, identities, mismatches, multiple, kept))


def _warn_about_empty_texts(texts: Sequence[Text]) -> None:
    """An empty text is an item of special tokens alone, which is seldom intended. A pair is empty if both texts are."""
    empty = [row for row, text in enumerate(texts) if not display_text(text).strip()]
    if empty:
        message = f"{len(empty):,} of {len(texts):,} items are empty texts (the first: item {empty[0]:,})"
        warnings.warn(f"{message}; leave them out if they are not intended", stacklevel=3)


def _texts_to_keep(texts: Sequence[Text]) -> Sequence[Text] | None:
    """The texts, unless they would take too much memory beside their tokens."""
    characters = sum(len(part) for text in texts for part in parts_of(text))
    return texts if characters <= MAX_TEXT_CHARACTERS else None


class _Encoder:
    """Encodes texts in chunks by several tokenizers and records where these differ from the first."""

    def __init__(self, tokenizers: Mapping[str, FixedTokenizer]) -> None:
        self.tokenizers = dict(tokenizers)
        self.first = next(iter(self.tokenizers))
        self.cut = dict.fromkeys(self.tokenizers, 0)
        self._ids: dict[str, list[PackedRows]] = {name: [] for name in self.tokenizers}
        self._type_ids: dict[str, list[PackedRows]] = {name: [] for name in self.tokenizers}
        self._first_mismatches: dict[str, list[int]] = {name: [] for name in self.tokenizers}

    def add(self, texts: Sequence[Text]) -> None:
        several = len(self.tokenizers) > 1
        encoded = {name: each(texts, return_offsets_mapping=several) for name, each in self.tokenizers.items()}
        for name, batch in encoded.items():
            self._ids[name].append(PackedRows.from_rows(batch["input_ids"]))
            if TYPE_IDS in batch:
                self._type_ids[name].append(PackedRows.from_rows(batch[TYPE_IDS], np.int8))
            full = [row for row, ids in enumerate(batch["input_ids"]) if len(ids) == self.tokenizers[name].max_length]
            self.cut[name] += sum(bool(batch.encodings[row].overflowing) for row in full)
            if name != self.first:
                first = encoded[self.first]
                self._first_mismatches[name] += [_first_mismatch(first, batch, row, text) for row, text in enumerate(texts)]

    def warn_about_cut_texts(self, count: int, max_length: int) -> None:
        cut = {name: f"{cut:,} of {count:,} items ({cut / count:.1%})" for name, cut in self.cut.items() if cut}
        if cut:
            how_many = "; ".join(f"{name}: {share}" if name else share for name, share in cut.items())
            warnings.warn(f"{how_many} are longer than max_length={max_length} tokens and were cut", stacklevel=3)

    def encodings(self) -> dict[str, PackedTokens]:
        """The tokens of all texts, by name of the tokenizer."""
        encodings = {}
        for name, tokenizer in self.tokenizers.items():
            ids = PackedRows.concatenate(self._ids[name])
            empty = (ids.lengths == 0).nonzero()[:, 0]
            if len(empty):
                raise ValueError(
                    f"item {int(empty[0])}: an empty text has no tokens, as the tokenizer adds no special tokens; "
                    "leave such items out"
                )
            type_ids = PackedRows.concatenate(self._type_ids[name]) if self._type_ids[name] else None
            encodings[name] = PackedTokens(tokenizer, ids, type_ids)
        return encodings

    def first_mismatches(self, name: str) -> Tensor:
        """Index of the first token at which this tokenizer differs from the first one, int32 `[N]`; -1 if it does not."""
        count = sum(map(len, self._ids[name]))
        return torch.tensor(self._first_mismatches[name] if name != self.first else [-1] * count, dtype=torch.int32)


def _first_mismatch(ours: Any, theirs: Any, row: int, text: Text) -> int:
    """Index of the first token of an item that stands for other characters; -1 if there is none."""
    if ours["offset_mapping"][row] == theirs["offset_mapping"][row]:
        return -1
    return first_mismatch(*(_characters(batch.encodings[row], text) for batch in (ours, theirs)))


def _characters(encoding: Any, text: Text) -> list[tuple[int, int]]:
    """The characters that each token stands for."""
    parts = parts_of(text)
    spans = zip(encoding.offsets, encoding.sequence_ids, strict=True)
    return strip_spans((*span, "" if part is None else parts[part]) for span, part in spans)
