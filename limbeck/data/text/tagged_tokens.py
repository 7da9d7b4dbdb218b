"""Tokenizes sentences of words: the first piece of each word carries its tag."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.core.batch import Target, first_tensor
from limbeck.core.labels import UNLABELLED
from limbeck.data.content_keys import as_keys, text_key
from limbeck.data.image.transform import PartnerPool
from limbeck.data.items import Items
from limbeck.data.keyed_random import ViewNumber
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.packed_rows import PackedRows
from limbeck.data.text.tagged_words import TaggedWords
from limbeck.data.text.token_storage import PackedTokens, TokenStorage
from limbeck.data.text.tokenization import TYPE_IDS
from limbeck.utils.progress_bar import show_progress

CHUNK = 1024  # sentences encoded in one call
NO_WORD = -1  # special tokens, and all pieces of a word but its first


class WordStorage(TokenStorage):
    """Sentences of words as tokens.

    Attributes:
        first_pieces: for each token the index of the word that it is the first piece of, else -1; int32 `[T]` a sentence.
        rows: the row of each item in `sentences`, int64 `[N]`.
        sentences: all words and tags that the items were made from.
    """

    def __init__(self, tokens: TokenStorage, first_pieces: PackedRows, rows: Tensor, sentences: TaggedWords) -> None:
        super().__init__(tokens.encodings, tokens.identities, tokens.first_mismatches, tokens.multiple, tokens.texts)
        self.first_pieces, self.rows, self.sentences = first_pieces, rows, sentences

    def select(self, rows: Tensor) -> WordStorage:
        return WordStorage(super().select(rows), self.first_pieces.select(rows), self.rows[rows], self.sentences)

    def select_input(self, name: str) -> WordStorage:
        return WordStorage(super().select_input(name), self.first_pieces, self.rows, self.sentences)

    def for_actors(self, names: Sequence[str]) -> WordStorage:
        return WordStorage(super().for_actors(names), self.first_pieces, self.rows, self.sentences)

    def words(self, row: int) -> tuple[str, ...]:
        return self.sentences.words[int(self.rows[row])]

    def tags(self, row: int) -> tuple[str, ...] | None:
        """The names of a sentence's tags, of words beyond the maximal length too; None if it is unlabelled."""
        tags = self.sentences.tags[int(self.rows[row])]
        return None if tags is None else tuple(self.sentences.names[tag] for tag in tags)


class TagTargets:
    """The view of sentences as they are, with each word's tag at its first piece as target: int64 `[B, T]`, -100 elsewhere."""

    mixes = False

    def __len__(self) -> int:
        return 1

    def __call__(
        self,
        inputs: Any,
        keys: Tensor,
        *,
        seed: int = 0,
        view: ViewNumber = 0,
        stream: str = "default",
        target: Target | None = None,
        pool: PartnerPool | None = None,
    ) -> tuple[Any, Tensor | None]:
        """The inputs as they are, and their target. Arguments are those of `Pipeline`."""
        if not isinstance(target, Mapping):
            return inputs, target
        width = first_tensor(inputs).shape[1]
        labels = target["labels"]
        labels = F.pad(labels, (0, max(0, width - labels.shape[1])), value=UNLABELLED)[:, :width]
        return inputs, torch.where(target["labelled"][:, None], labels, UNLABELLED)


def tokenize_words(
    sentences: TaggedWords, tokenizer: Any | Mapping[str, Any], max_length: int = 128, *, multiple: int = 1
) -> Items:
    """Items of tokens from words, with their tags.

    Labels are a mapping: `labels`, int64 `[N, T]`, the tag of each word at its first piece and -100 at all other tokens; and
    `labelled`, bool `[N]`. Words beyond `max_length`, and those of which the tokenizer leaves no piece, have no token: a
    warning counts them, and the task takes them for predicted `O`. Keys are hashes of the words.

    Args:
        sentences: words with tags.
        tokenizer: a fast tokenizer of Transformers that pads at the right; or several by name, which must cut the words into
            the same pieces, such as a teacher's and that of a student with fewer tokens.
        max_length: most tokens of a sentence, special tokens included.
        multiple: batches are padded to a multiple of this number of tokens.

    Raises:
        ValueError: a tokenizer that cannot be used, or several that cut words differently.
    """
    named = dict(tokenizer) if isinstance(tokenizer, Mapping) else {"": tokenizer}
    fixed = {name: FixedTokenizer.of(each, max_length, name) for name, each in named.items()}
    encoded = {name: _Encoded(each, sentences) for name, each in fixed.items()}
    first, *others = encoded.values()
    for name, other in list(encoded.items())[1:]:
        _require_equal_pieces(first, other, name)
    identities = {name: each.identity for name, each in fixed.items()}
    same = all(first.tokens.same_inputs(other.tokens) for other in others)
    encodings = {"": first.tokens} if same else {name: each.tokens for name, each in encoded.items()}
    mismatches = {} if same else {name: torch.full((len(sentences),), -1, dtype=torch.int32) for name in list(encoded)[1:]}
    texts = [" ".join(words) for words in sentences.words]
    storage = TokenStorage(encodings, identities, mismatches, multiple, texts)
    _warn_of_lost_words(sentences, first.pieces, max_length)
    words = WordStorage(storage, first.pieces, torch.arange(len(sentences)), sentences)
    keys = as_keys(text_key(*each) for each in sentences.words)
    names = list(sentences.names) or None
    target = _target(sentences, first.pieces) if any(tags is not None for tags in sentences.tags) else None
    return Items(words, keys, target, None if target is None else len(sentences.names), names)


class _Encoded:
    """All sentences as one tokenizer cuts them.

    Attributes:
        pieces: for each token the word that it is the first piece of, else -1.
        spans: word and characters of each token, `[T, 3]` a sentence.
    """

    def __init__(self, fixed: FixedTokenizer, sentences: TaggedWords) -> None:
        if fixed.pad_left:
            raise ValueError("the tokenizer pads at the left, and tags count tokens from there; set padding_side to 'right'")
        _require_prefix_space(fixed)
        ids, types, pieces, self.spans = [], [], [], []
        for start in show_progress(range(0, len(sentences), CHUNK), "tokenizing", -(-len(sentences) // CHUNK)):
            chunk = sentences.words[start : start + CHUNK]
            batch = fixed([list(words) for words in chunk], is_split_into_words=True)
            ids.append(PackedRows.from_rows(batch["input_ids"]))
            if TYPE_IDS in batch:
                types.append(PackedRows.from_rows(batch[TYPE_IDS], np.int8))
            of_words = [encoding.word_ids for encoding in batch.encodings]
            pieces.append(PackedRows.from_rows([_first_pieces(words) for words in of_words]))
            self.spans += [
                [(word, *span) for word, span in zip(words, encoding.offsets, strict=True) if word is not None]
                for words, encoding in zip(of_words, batch.encodings, strict=True)
            ]
        self.pieces = PackedRows.concatenate(pieces)
        self.tokens = PackedTokens(fixed, PackedRows.concatenate(ids), PackedRows.concatenate(types) if types else None)


def _require_prefix_space(fixed: FixedTokenizer) -> None:
    """Refuses tokenizers of bytes that read the space before a word as a part of it, and would not see one before any word."""
    before: Any = json.loads(fixed.base.backend_tokenizer.to_str()).get("pre_tokenizer") or {}
    for part in before.get("pretokenizers", [before]):
        if part.get("type") == "ByteLevel" and not part.get("add_prefix_space", True):
            raise ValueError(
                "the tokenizer reads the space before a word as a part of it, and words are read one by one, without; save one "
                "that adds it and name its folder: AutoTokenizer.from_pretrained(…, add_prefix_space=True).save_pretrained(…)"
            )


def _first_pieces(words: Sequence[int | None]) -> list[int]:
    before: int | None = None
    found = []
    for word in words:
        found.append(NO_WORD if word is None or word == before else word)
        before = word
    return found


def _require_equal_pieces(first: _Encoded, other: _Encoded, name: str) -> None:
    for row, (ours, theirs) in enumerate(zip(first.spans, other.spans, strict=True)):
        if ours != theirs:
            raise ValueError(
                f"the tokenizers cut words differently, first in sentence {row}, where the {name}'s makes {len(theirs)} pieces "
                f"and the other {len(ours)}; tokens are compared one by one, so give both the same tokenizer, or cut the "
                "student's vocabulary without a size"
            )


def _warn_of_lost_words(sentences: TaggedWords, pieces: PackedRows, max_length: int) -> None:
    total = sum(map(len, sentences.words))
    lost = total - int((pieces.values >= 0).sum())
    if lost:
        warnings.warn(
            f"{lost:,} of {total:,} words ({lost / total:.1%}) lie beyond max_length={max_length} tokens, or are of no token; "
            "they are not trained on, and count as predicted O",
            stacklevel=3,
        )


def _target(sentences: TaggedWords, pieces: PackedRows) -> dict[str, Tensor]:
    width = max(int(pieces.lengths.max()), 1)
    labels = torch.full((len(sentences), width), UNLABELLED)
    at = pieces.pad(torch.arange(len(sentences)), width, NO_WORD).long()
    for row, tags in enumerate(sentences.tags):
        if tags:
            known = at[row] >= 0
            labels[row, known] = torch.tensor(tags)[at[row][known]]
    return {"labels": labels, "labelled": torch.tensor([bool(tags) for tags in sentences.tags])}
