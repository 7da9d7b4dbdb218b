"""Trims the vocabulary of tokenizer and model to the tokens of given texts."""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from limbeck.models.architectures.sentence_encoder import SentenceEncoder
from limbeck.models.shrink.embedding_tables import first_position, token_embedding
from limbeck.models.shrink.tokenizer_pieces import TokenizerPieces, count_tokens, derivation, tokenizer_from_spec
from limbeck.models.shrink.transformers_variants import build_same_class
from limbeck.models.shrink.weight_axes import axis_growth

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class TrimReport:
    """Report of `trim_vocabulary`.

    Attributes:
        before, after: size of the vocabulary.
        whole: share of the tokens of the texts that are still one token.
        unknown: share of unknown tokens after trimming.
        longer: factor by which the number of tokens of the texts grows.
        bytes_saved: of the parameters of the model, in its precision.
    """

    before: int
    after: int
    whole: float
    unknown: float
    longer: float
    bytes_saved: int


@dataclass(frozen=True)
class CorpusVocabulary:
    """A vocabulary trimmed to a corpus, to be applied to models later.

    Attributes:
        tokenizer: with the kept tokens.
        rows: for each of its tokens, the row in the tables of models with the full vocabulary.
    """

    tokenizer: PreTrainedTokenizerFast
    rows: list[int]

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], *, size: int | None = None, min_count: int = 1
    ) -> CorpusVocabulary:
        """Chooses tokens like `trim_vocabulary`. Ids up to that of the padding token do not change, since some models count
        positions from there."""
        pieces = TokenizerPieces.of(tokenizer)
        first = range((tokenizer.pad_token_id or 0) + 1)
        needed = pieces.required() | {piece for piece, index in pieces.ids.items() if index in first}
        counts = count_tokens(tokenizer_from_spec(pieces.spec), list(texts))
        spec, rows = pieces.restricted_to(_choose_pieces(pieces, counts, needed, size, min_count))
        return cls(_with_spec(tokenizer, spec), rows)

    def cut(self, model: Any) -> Any:
        """Returns a copy of `model` with these tokens only. Its outputs for texts with unchanged tokens do not change. A
        sentence encoder also gets the tokenizer, which it contains."""
        if isinstance(model, SentenceEncoder):
            return model.with_transformer(self.cut, tokenizer=copy.deepcopy(self.tokenizer))
        rows = token_embedding(model).num_embeddings
        if max(self.rows) >= rows:
            raise ValueError(f"the vocabulary was trimmed from at least {max(self.rows) + 1} tokens, but the model has {rows}")
        return _slice_rows(model, self.rows)


def trim_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    size: int | None = None,
    min_count: int = 1,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, TrimReport]:
    """Trims a model and its tokenizer to the tokens of `texts`, with their rows of the embedding tables.

    It keeps, in this order: special and added tokens; single characters, so that new words can still be split (all bytes of
    byte-level tokenizers); then the tokens of the texts, most frequent first. For byte pair encoding, merges between kept
    tokens are kept, and with a token all tokens that it is merged from. Without `size` and `min_count` the tokenization of
    the texts and the outputs of the model for them do not change.

    Args:
        model: a text model of Transformers; not changed.
        tokenizer: its fast tokenizer (WordPiece, BPE or Unigram); not changed.
        texts: texts of the task, such as the training texts; not truncated.
        size: maximal size of the vocabulary; None: all tokens that are frequent enough.
        min_count: minimal number of occurrences of a kept token.

    Returns:
        The trimmed model in evaluation mode, its tokenizer, and a report. Both are saved and loaded as usual.

    Raises:
        ValueError: no texts, a tokenizer that is not fast or of another kind, one with more tokens than the model, or a
            `size` too small for special tokens and single characters.

    Source: Abdaoui et al. 2020 (arXiv:2010.05609), for multilingual models.
    """
    texts = list(texts)
    if not texts:
        raise ValueError("texts is empty; give texts of the task, such as the training texts")
    pieces, rows = TokenizerPieces.of(tokenizer), token_embedding(model).num_embeddings
    if max(pieces.ids.values()) >= rows:
        raise ValueError(f"the tokenizer has {len(pieces.ids)} tokens, but the model {rows}: they do not belong together")
    counts = count_tokens(tokenizer_from_spec(pieces.spec), texts)
    kept = _choose_pieces(pieces, counts, _required_pieces(model, pieces), size, min_count)
    spec, old = pieces.restricted_to(kept)
    trimmed = _slice_rows(model, old)
    report = _report(counts, kept, spec, texts, model, trimmed)
    return trimmed, _with_spec(tokenizer, spec), report


def _required_pieces(model: PreTrainedModel, pieces: TokenizerPieces) -> set[str]:
    """Returns the pieces that are kept independent of the texts."""
    named = {value for name, value in model.config.to_dict().items() if name.endswith("_token_id") and isinstance(value, int)}
    if first_position(model):  # RoBERTa counts positions from the id of the padding token, which must not change
        named |= set(range(model.config.pad_token_id))
    return pieces.required() | {piece for piece, index in pieces.ids.items() if index in named}


def _choose_pieces(
    pieces: TokenizerPieces, counts: Counter[str], needed: set[str], size: int | None, min_count: int
) -> set[str]:
    ids, ranks = pieces.ids, pieces.ranks()
    kept = needed | pieces.letters(counts)
    if size is not None and len(kept) > size:
        raise ValueError(f"size={size} is too small: special tokens and single characters alone are {len(kept)}")
    frequent = [piece for piece, count in counts.items() if count >= min_count]
    for piece in sorted(frequent, key=lambda piece: (-counts[piece], ids[piece])):
        together = (derivation(piece, ranks) if ranks else {piece}) & ids.keys()
        if size is None or len(kept) + len(together - kept) <= size:
            kept |= together
    return kept


def _slice_rows(model: PreTrainedModel, old: list[int]) -> PreTrainedModel:
    """Returns `model` with the rows `old` of every weight with one row per token."""
    kind, config = type(model), model.config
    wider, smaller = copy.deepcopy(config), copy.deepcopy(config)
    wider.vocab_size, smaller.vocab_size = config.vocab_size + 1, len(old)
    _renumber(smaller, {index: place for place, index in enumerate(old)})
    rows, state = axis_growth(kind, config, wider, 1), model.state_dict()
    for name, steps in rows.items():
        for dim, grows in enumerate(steps):
            if grows and name in state:
                state[name] = state[name].index_select(dim, torch.tensor(old, device=state[name].device))
    return build_same_class(model, smaller, state)


def _renumber(config: PreTrainedConfig, places: dict[int, int]) -> None:
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(config, name, places.get(value))


def _with_spec(tokenizer: PreTrainedTokenizerFast, spec: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Builds a tokenizer of the same class and settings from `spec`, by saving and loading its files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer.save_pretrained(folder)
        for file in {*tokenizer.vocab_files_names.values(), "added_tokens.json"}:  # they have the old ids
            (folder / file).unlink(missing_ok=True)
        (folder / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("added_tokens_decoder", None)  # has the old ids; tokenizer.json has the added tokens
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        made: PreTrainedTokenizerFast = type(tokenizer).from_pretrained(folder)
    made.name_or_path = tokenizer.name_or_path
    return made


def _report(
    counts: Counter[str],
    kept: set[str],
    spec: dict[str, Any],
    texts: Sequence[str],
    model: PreTrainedModel,
    trimmed: PreTrainedModel,
) -> TrimReport:
    after, reader = count_tokens(tokenizer_from_spec(spec), texts), spec["model"]
    unknown = reader["vocab"][reader["unk_id"]][0] if reader.get("unk_id") is not None else reader.get("unk_token")
    total = max(1, after.total())
    return TrimReport(
        before=token_embedding(model).num_embeddings,
        after=len(kept),
        whole=sum(count for piece, count in counts.items() if piece in kept) / max(1, counts.total()),
        unknown=after[unknown] / total,
        longer=total / max(1, counts.total()),
        bytes_saved=_bytes(model.parameters()) - _bytes(trimmed.parameters()),
    )


def _bytes(parameters: Iterable[torch.Tensor]) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)
