"""Reads the vocabulary of a fast tokenizer from its JSON, and restricts it to some of its pieces."""

from __future__ import annotations

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

KINDS = ("WordPiece", "BPE", "Unigram")
CHUNK = 1024  # texts per call of the tokenizer
BYTE = re.compile(r"<0x[0-9A-F]{2}>$")  # pieces of byte fallback


@dataclass(frozen=True)
class TokenizerPieces:
    """The JSON of a tokenizer, and the ids of its pieces: those of its model (`own`) and added tokens."""

    spec: dict[str, Any]
    own: dict[str, int]
    added: dict[str, int]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> TokenizerPieces:
        """Reads the pieces of a fast tokenizer.

        Raises:
            ValueError: a slow tokenizer, or a model other than WordPiece, BPE without affixes, or Unigram.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(f"{type(tokenizer).__name__} is not a fast tokenizer; load it with AutoTokenizer, use_fast=True")
        spec = json.loads(tokenizer.backend_tokenizer.to_str())
        model = spec["model"]
        affixes = [name for name in ("continuing_subword_prefix", "end_of_word_suffix") if model.get(name)]
        if model.get("type") not in KINDS or (model["type"] == "BPE" and affixes):
            raise ValueError(
                f"a tokenizer of kind {model.get('type')} {affixes or ''} cannot be trimmed; {', '.join(KINDS)} can"
            )
        vocabulary = model["vocab"]
        own = {piece: index for index, (piece, _) in enumerate(vocabulary)} if isinstance(vocabulary, list) else vocabulary
        return cls(spec, own, {token["content"]: token["id"] for token in spec["added_tokens"]})

    @property
    def ids(self) -> dict[str, int]:
        """The ids of all pieces."""
        return self.own | self.added

    def required(self) -> set[str]:
        """Returns added tokens, the unknown token, special tokens around a text and, for byte-level tokenizers, all bytes."""
        model, kept = self.spec["model"], set(self.added)
        kept |= set(_strings(self.spec.get("post_processor"))) | set(_strings(self.spec.get("padding")))
        if isinstance(model["vocab"], list):
            kept |= {model["vocab"][model["unk_id"]][0]} if model.get("unk_id") is not None else set()
        elif model.get("unk_token"):
            kept.add(model["unk_token"])
        if '"ByteLevel"' in json.dumps(self.spec["pre_tokenizer"]):
            from tokenizers.pre_tokenizers import ByteLevel

            kept |= set(ByteLevel.alphabet())
        return (kept | {piece for piece in self.own if BYTE.match(piece)}) & self.ids.keys()

    def letters(self, pieces: Iterable[str]) -> set[str]:
        """Returns the single characters of `pieces`, at the beginning of a word and inside."""
        prefix = self.spec["model"].get("continuing_subword_prefix") or ""
        characters = {character for piece in pieces if piece in self.own for character in piece.removeprefix(prefix)}
        return (characters | {prefix + character for character in characters}) & self.own.keys()

    def ranks(self) -> dict[tuple[str, str], int]:
        """Returns the merges of BPE with their ranks; empty for other kinds."""
        merges = self.spec["model"].get("merges", ())
        return {tuple(merge.split(" ") if isinstance(merge, str) else merge): rank for rank, merge in enumerate(merges)}

    def restricted_to(self, kept: set[str]) -> tuple[dict[str, Any], list[int]]:
        """Returns the JSON with the pieces `kept` only, renumbered in their old order, and their old ids."""
        spec, model = copy.deepcopy(self.spec), self.spec["model"]
        own = sorted((piece for piece in kept if piece in self.own), key=self.own.__getitem__)
        beside = sorted((piece for piece in kept if piece not in self.own), key=self.added.__getitem__)
        ids = {piece: index for index, piece in enumerate(own + beside)}
        if isinstance(model["vocab"], list):
            spec["model"]["vocab"] = [model["vocab"][self.own[piece]] for piece in own]
            if model.get("unk_id") is not None:
                spec["model"]["unk_id"] = ids[model["vocab"][model["unk_id"]][0]]
        else:
            spec["model"]["vocab"] = {piece: ids[piece] for piece in own}
        if "merges" in model:
            spec["model"]["merges"] = [pair for pair in self.ranks() if {*pair, "".join(pair)} <= ids.keys()]
        for token in spec["added_tokens"]:
            token["id"] = ids[token["content"]]
        if spec.get("padding"):
            spec["padding"]["pad_id"] = ids[spec["padding"]["pad_token"]]
        _renumber(spec.get("post_processor"), ids)
        before = self.ids
        return spec, [before[piece] for piece in own + beside]


def tokenizer_from_spec(spec: dict[str, Any]) -> Tokenizer:
    """Builds the tokenizer of the JSON, without truncation and padding."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(json.dumps(spec))
    made.no_truncation()
    made.no_padding()
    return made


def count_tokens(reader: Tokenizer, texts: Sequence[str]) -> Counter[str]:
    """Counts each piece in `texts`, without special tokens around them."""
    counts: Counter[int] = Counter()
    for start in range(0, len(texts), CHUNK):
        for encoding in reader.encode_batch(texts[start : start + CHUNK], add_special_tokens=False):
            counts.update(encoding.ids)
    # By id: Unigram's token of an unknown character is the character itself, which is no piece.
    return Counter({str(reader.id_to_token(number)): count for number, count in counts.items()})


def derivation(piece: str, ranks: dict[tuple[str, str], int]) -> set[str]:
    """Returns all pieces that BPE merges on the way from single characters to `piece`, and `piece` itself.

    Merges within a piece do not depend on the word around it: lowest rank first, leftmost of equals.
    """
    parts, made = list(piece), {piece}
    while len(parts) > 1:
        rank, place = min((ranks.get(pair, math.inf), place) for place, pair in enumerate(pairwise(parts)))
        if rank == math.inf:
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
        made.add(parts[place])
    return made


def _strings(value: Any) -> Iterator[str]:
    """Yields every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _renumber(processor: Any, ids: dict[str, int]) -> None:
    """Sets the new ids of the special tokens around a text, in place."""
    if not processor:
        return
    for inner in processor.get("processors", ()):
        _renumber(inner, ids)
    for name in ("sep", "cls"):  # BertProcessing and RobertaProcessing
        if isinstance(processor.get(name), list):
            processor[name][1] = ids[processor[name][0]]
    if isinstance(processor.get("special_tokens"), dict):  # TemplateProcessing
        for token in processor["special_tokens"].values():
            token["ids"] = [ids[content] for content in token["tokens"]]
