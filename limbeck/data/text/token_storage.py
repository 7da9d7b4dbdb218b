"""Storage of tokenized texts: packed without padding, padded when they are fetched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from limbeck.data.storage import Storage, Text, display_text
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.packed_rows import PackedRows
from limbeck.data.text.tokenizer_alignment import describe_token, first_mismatch

TOKENS_SHOWN = 2  # tokens of each side in a message
NO_MORE_TOKENS = "no more tokens"  # in a message, if an item has ended


@dataclass(frozen=True)
class PackedTokens:
    """All items as one tokenizer encodes them.

    Attributes:
        ids: token ids, int32.
        type_ids: which text of a pair each token belongs to, int8; None if the tokenizer does not return it.
    """

    tokenizer: FixedTokenizer
    ids: PackedRows
    type_ids: PackedRows | None = None

    def select(self, rows: Tensor) -> PackedTokens:
        """Only these rows, in this order."""
        return replace(self, ids=self.ids.select(rows), type_ids=None if self.type_ids is None else self.type_ids.select(rows))

    def fetch(self, rows: Tensor, multiple: int = 1) -> dict[str, Tensor]:
        """Keyword arguments for a Transformers model, int64 `[B, T]`.

        T is the length of the longest of these rows, rounded up to a multiple of `multiple`, but not above `max_length`.
        """
        tokenizer = self.tokenizer
        longest = int(self.ids.lengths[rows].max()) if len(rows) else 0
        width = max(longest, min(-(-longest // multiple) * multiple, tokenizer.max_length))
        inputs = {
            "input_ids": self.ids.pad(rows, width, tokenizer.pad_id, tokenizer.pad_left).long(),
            "attention_mask": self.ids.mask(rows, width, tokenizer.pad_left).long(),
        }
        if self.type_ids is not None:
            inputs["token_type_ids"] = self.type_ids.pad(rows, width, tokenizer.pad_type_id, tokenizer.pad_left).long()
        return inputs

    def same_inputs(self, other: PackedTokens) -> bool:
        """Whether models receive exactly the same tensors from both."""
        ours, theirs = self.tokenizer, other.tokenizer
        padding = (ours.pad_id, ours.pad_type_id, ours.pad_left) == (theirs.pad_id, theirs.pad_type_id, theirs.pad_left)
        return padding and self.ids.equals(other.ids) and _equal(self.type_ids, other.type_ids)

    def show_tokens(self, row: int, start: int) -> str:
        """The tokens of an item from index `start`, for a message."""
        ids = self.ids[row][start:].tolist()
        shown = " + ".join(repr(token) for token in self.tokenizer.tokens(ids[:TOKENS_SHOWN]))
        return (shown + (" …" if len(ids) > TOKENS_SHOWN else "")) or NO_MORE_TOKENS

    def show_token(self, row: int, index: int) -> str:
        """One token of an item with its id, for a message."""
        ids = self.ids[row][index : index + 1].tolist()
        return f"{self.tokenizer.tokens(ids)[0]!r} (id {ids[0]})" if ids else NO_MORE_TOKENS


class TokenStorage(Storage):
    """Items as tokens of one tokenizer or of several.

    With one, `fetch` returns `{"input_ids", "attention_mask"}`, and `"token_type_ids"` if the tokenizer makes them; with
    several, a mapping of such mappings by name, of which each actor reads its own (`reads="student"`).

    Args:
        encodings: packed tokens by name; a single encoding, which all actors read, has the name "".
        identities: identity of each tokenizer, by the names under which the tokenizers were passed in.
        first_mismatches: for each encoding but the first, by name, the index of the first token at which it differs from the
            first encoding, int32 `[N]`; -1 for items in which it does not.
        multiple: batches are padded to a multiple of this number of tokens.
        texts: the texts that were tokenized, if they are kept for display.

    Attributes:
        lengths: tokens of each item in its longest encoding, int64 `[N]`.
    """

    lengths: Tensor

    modality = "text"

    def __init__(
        self,
        encodings: Mapping[str, PackedTokens],
        identities: Mapping[str, str],
        first_mismatches: Mapping[str, Tensor] | None = None,
        multiple: int = 1,
        texts: Sequence[Text] | None = None,
    ) -> None:
        if multiple < 1:
            raise ValueError(f"multiple={multiple}: expected 1 or more")
        self.encodings, self.identities, self.multiple = dict(encodings), dict(identities), multiple
        self.first_mismatches, self.texts = dict(first_mismatches or {}), texts
        self.lengths = torch.stack([encoding.ids.lengths for encoding in self.encodings.values()]).amax(0)

    @property
    def input_names(self) -> tuple[str, ...]:
        return () if "" in self.encodings else tuple(self.encodings)

    def select_input(self, name: str) -> TokenStorage:
        return TokenStorage({"": self.encodings[name]}, {"": self.identity(name)}, multiple=self.multiple, texts=self.texts)

    def for_actors(self, names: Sequence[str]) -> TokenStorage:
        """A single encoding under several names, for actors that read by name; other storages are returned as they are."""
        if self.input_names or not names:
            return self
        identities = {name: self.identity(name) for name in names}
        no_mismatch = torch.full((len(self),), -1, dtype=torch.int32)
        encodings, first_mismatches = dict.fromkeys(names, self.encodings[""]), dict.fromkeys(names[1:], no_mismatch)
        return TokenStorage(encodings, identities, first_mismatches, self.multiple, self.texts)

    @property
    def aligned(self) -> bool:
        """Whether all encodings of every item have the same number of tokens, of the same characters: then outputs of models
        can be compared token by token.
        """
        return all(bool((tokens < 0).all()) for tokens in self.first_mismatches.values())

    def first_difference(self) -> str | None:
        differing = [(name, (tokens >= 0).nonzero()[:, 0]) for name, tokens in self.first_mismatches.items()]
        first_items = [(int(items[0]), name) for name, items in differing if len(items)]
        if not first_items:
            return None
        item, other = min(first_items, key=lambda pair: pair[0])
        token = int(self.first_mismatches[other][item])
        names = next(iter(self.encodings)), other
        return describe_token(token, f"item {item}", {name: self.encodings[name].show_tokens(item, token) for name in names})

    def first_id_difference(self) -> str | None:
        """Describes the first token id that differs between encodings, even for the same characters; None if all are equal."""
        one, *others = self.encodings
        for other in others:
            pair = {name: self.encodings[name] for name in (one, other)}
            ours, theirs = (encoding.ids for encoding in pair.values())
            for item in ours.differing_rows(theirs)[:1]:
                token = first_mismatch(ours[item].tolist(), theirs[item].tolist())
                shown = {name: encoding.show_token(item, token) for name, encoding in pair.items()}
                return describe_token(token, f"item {item}", shown)
        return None

    def identity(self, name: str | None = None) -> str:
        """Hash of everything that the token ids depend on: tokenizer, special tokens, lengths, sides.

        Args:
            name: the input of one actor. Default: all inputs.
        """
        if name is not None and name in self.identities:
            return self.identities[name]
        if len(set(self.identities.values())) == 1:
            return next(iter(self.identities.values()))
        return hashlib.blake2b(json.dumps(self.identities, sort_keys=True).encode(), digest_size=16).hexdigest()

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of Transformers of the student's encoding, or of the only one."""
        return (self.encodings.get("student") or next(iter(self.encodings.values()))).tokenizer.base

    def text(self, row: int) -> str:
        """The text of an item for display; if texts were not kept, its decoded tokens."""
        if self.texts is not None:
            return display_text(self.texts[row])
        first = next(iter(self.encodings.values()))
        return str(first.tokenizer.base.decode(first.ids[row].tolist(), skip_special_tokens=True))

    def __len__(self) -> int:
        return len(self.lengths)

    def fetch(self, rows: Tensor) -> dict[str, Any]:
        fetched = {name: encoding.fetch(rows, self.multiple) for name, encoding in self.encodings.items()}
        return fetched[""] if "" in fetched else dict(fetched)

    def select(self, rows: Tensor) -> TokenStorage:
        encodings = {name: encoding.select(rows) for name, encoding in self.encodings.items()}
        first_mismatches = {name: tokens[rows] for name, tokens in self.first_mismatches.items()}
        texts = None if self.texts is None else [self.texts[row] for row in rows.tolist()]
        return TokenStorage(encodings, self.identities, first_mismatches, self.multiple, texts)


def _equal(ours: PackedRows | None, theirs: PackedRows | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return ours.equals(theirs)
