"""Texts as tokens: kept end to end without padding, padded when they are fetched."""

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

TOKENS_SHOWN = 2  # tokens of each side that a message shows
NO_MORE_TOKENS = "nothing more"  # where an item has ended


@dataclass(frozen=True)
class PackedTokens:
    """All items as one tokenizer encodes them.

    Attributes:
        ids: int32 token ids.
        types: int8, which text of a pair a token belongs to; None where the tokenizer does not say.
    """

    tokenization: FixedTokenizer
    ids: PackedRows
    types: PackedRows | None = None

    def select(self, rows: Tensor) -> PackedTokens:
        return replace(self, ids=self.ids.select(rows), types=None if self.types is None else self.types.select(rows))

    def fetch(self, rows: Tensor, multiple: int = 1) -> dict[str, Tensor]:
        """The keyword arguments of a Transformers model, int64 `[B, T]`: T is the longest of these rows, brought to the next
        `multiple` within the limit of `max_length`.
        """
        fixed = self.tokenization
        longest = int(self.ids.lengths[rows].max()) if len(rows) else 0
        width = max(longest, min(-(-longest // multiple) * multiple, fixed.max_length))
        inputs = {
            "input_ids": self.ids.pad(rows, width, fixed.pad_id, fixed.pad_left).long(),
            "attention_mask": self.ids.mask(rows, width, fixed.pad_left).long(),
        }
        if self.types is not None:
            inputs["token_type_ids"] = self.types.pad(rows, width, fixed.pad_type_id, fixed.pad_left).long()
        return inputs

    def same_inputs(self, other: PackedTokens) -> bool:
        """Whether a model is fed exactly the same by both, whatever their tokenizers call it."""
        ours, theirs = self.tokenization, other.tokenization
        padding = (ours.pad_id, ours.pad_type_id, ours.pad_left) == (theirs.pad_id, theirs.pad_type_id, theirs.pad_left)
        return padding and _equal(self.ids, other.ids) and _equal(self.types, other.types)

    def show_tokens(self, row: int, start: int) -> str:
        """The tokens of an item from the one numbered `start`, for a message."""
        ids = self.ids[row][start:].tolist()
        shown = " + ".join(repr(word) for word in self.tokenization.tokens(ids[:TOKENS_SHOWN]))
        return (shown + (" …" if len(ids) > TOKENS_SHOWN else "")) or NO_MORE_TOKENS

    def show_token(self, row: int, place: int) -> str:
        """A single token of an item with its id, for a message."""
        ids = self.ids[row][place : place + 1].tolist()
        return f"{self.tokenization.tokens(ids)[0]!r} (id {ids[0]})" if ids else NO_MORE_TOKENS


class TokenStorage(Storage):
    """Items as tokens, by one tokenizer or by several.

    By one, `fetch` gives `{"input_ids", "attention_mask"}`, with `"token_type_ids"` where the tokenizer makes them; by several,
    a mapping of such mappings by name, of which each actor reads its own (`reads="student"`).

    Args:
        encodings: by name; a single one, which all actors read, has the name "".
        identities: what the tokens depend on, by the names the tokenizers were given by.
        first_mismatches: for each encoding but the first, by name, the number of the first token at which it differs from the
            first encoding, int32 `[N]`; -1 for items in which it does not.
        multiple: batches are padded to a multiple of so many tokens.
        texts: what the tokens were made of, where that was kept for people to read.

    Attributes:
        lengths: tokens of each item, int64 `[N]`, in its longest encoding.
    """

    lengths: Tensor

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
        """The same for actors that read by name, where all of them read the one encoding."""
        if self.input_names or not names:
            return self
        identities = {name: self.identity(name) for name in names}
        nowhere = torch.full((len(self),), -1, dtype=torch.int32)
        encodings, first_mismatches = dict.fromkeys(names, self.encodings[""]), dict.fromkeys(names[1:], nowhere)
        return TokenStorage(encodings, identities, first_mismatches, self.multiple, self.texts)

    @property
    def aligned(self) -> bool:
        """Whether all encodings of every item have as many tokens, of the same characters: then what models say of one token
        can be compared place by place.
        """
        return all(bool((places < 0).all()) for places in self.first_mismatches.values())

    def first_difference(self) -> str | None:
        """Where the encodings first part, for a message: "token 3 of item 17: student 'un' + '##able', teacher 'unable'"."""
        differing = [(name, (tokens >= 0).nonzero()[:, 0]) for name, tokens in self.first_mismatches.items()]
        first_items = [(int(items[0]), name) for name, items in differing if len(items)]
        if not first_items:
            return None
        item, other = min(first_items, key=lambda pair: pair[0])
        token = int(self.first_mismatches[other][item])
        names = next(iter(self.encodings)), other
        return describe_token(token, f"item {item}", {name: self.encodings[name].show_tokens(item, token) for name in names})

    def first_id_difference(self) -> str | None:
        """Where the encodings first hold other ids, be it for the same characters, for a message; None where all are equal."""
        one, *others = self.encodings
        for other in others:
            pair = {name: self.encodings[name] for name in (one, other)}
            ours, theirs = (encoding.ids for encoding in pair.values())
            for item in ours.differing_rows(theirs)[:1]:
                token = first_mismatch(ours[item].tolist(), theirs[item].tolist())
                shown = {name: each.show_token(item, token) for name, each in pair.items()}
                return describe_token(token, f"item {item}", shown)
        return None

    def identity(self, name: str | None = None) -> str:
        """A fingerprint of what the token ids depend on: tokenizer, special tokens, lengths, sides. `name`: those that this
        actor reads, else all.
        """
        if name is not None and name in self.identities:
            return self.identities[name]
        if len(set(self.identities.values())) == 1:
            return next(iter(self.identities.values()))
        return hashlib.blake2b(json.dumps(self.identities, sort_keys=True).encode(), digest_size=16).hexdigest()

    @property
    def tokenizer(self) -> Any:
        """Of the only encoding, or else of the student's: what belongs beside a student."""
        return (self.encodings.get("student") or next(iter(self.encodings.values()))).tokenization.tokenizer

    def text(self, row: int) -> str:
        """An item for people to read, the texts of a pair on two lines; as its tokens spell it, where the text was not kept."""
        if self.texts is not None:
            return display_text(self.texts[row])
        first = next(iter(self.encodings.values()))
        return str(first.tokenization.tokenizer.decode(first.ids[row].tolist(), skip_special_tokens=True))

    def __len__(self) -> int:
        return len(self.lengths)

    def fetch(self, rows: Tensor, workers: int = 0) -> dict[str, Any]:
        fetched = {name: encoding.fetch(rows, self.multiple) for name, encoding in self.encodings.items()}
        return fetched[""] if "" in fetched else dict(fetched)

    def select(self, rows: Tensor) -> TokenStorage:
        encodings = {name: encoding.select(rows) for name, encoding in self.encodings.items()}
        first_mismatches = {name: places[rows] for name, places in self.first_mismatches.items()}
        texts = None if self.texts is None else [self.texts[row] for row in rows.tolist()]
        return TokenStorage(encodings, self.identities, first_mismatches, self.multiple, texts)


def _equal(ours: PackedRows | None, theirs: PackedRows | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return torch.equal(ours.offsets, theirs.offsets) and torch.equal(ours.values, theirs.values)
