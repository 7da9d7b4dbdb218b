"""A vocabulary cut down to what a task's texts need, in tokenizer and model alike."""

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
    """What `trim_vocabulary` did.

    Attributes:
        before, after: number of tokens in the vocabulary.
        whole: share of the texts' tokens that are still one piece.
        unknown: share of the tokens that the trimmed tokenizer makes of the texts that are the unknown token.
        longer: how many times as many tokens the texts have now.
        bytes_saved: parameters of the model, in its own precision.
    """

    before: int
    after: int
    whole: float
    unknown: float
    longer: float
    bytes_saved: int


@dataclass(frozen=True)
class CorpusVocabulary:
    """What a corpus leaves of a vocabulary, for models that are yet to be made.

    Attributes:
        tokenizer: with the tokens that were kept.
        rows: of each of its tokens, the row in the tables of models with the whole vocabulary.
    """

    tokenizer: PreTrainedTokenizerFast
    rows: list[int]

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], *, size: int | None = None, min_count: int = 1
    ) -> CorpusVocabulary:
        """As `trim_vocabulary` chooses it; ids up to that of the padding stay what they are, since some models count positions
        from there."""
        pieces = TokenizerPieces.of(tokenizer)
        first = range((tokenizer.pad_token_id or 0) + 1)
        needed = pieces.required() | {piece for piece, index in pieces.ids.items() if index in first}
        counts = count_tokens(tokenizer_from_spec(pieces.spec), list(texts))
        spec, rows = pieces.restricted_to(_choose_pieces(pieces, counts, needed, size, min_count))
        return cls(_with_spec(tokenizer, spec), rows)

    def cut(self, model: Any) -> Any:
        """`model` with these tokens alone; it stays as it is, and so do the answers for texts that they spell alike. A sentence
        encoder gets the tokenizer too, which it brings along."""
        if isinstance(model, SentenceEncoder):
            return model.with_transformer(self.cut, tokenizer=copy.deepcopy(self.tokenizer))
        rows = token_embedding(model).num_embeddings
        if max(self.rows) >= rows:
            raise ValueError(f"the vocabulary was cut from one of {max(self.rows) + 1} tokens or more, the model has {rows}")
        return _slice_rows(model, self.rows)


def trim_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    size: int | None = None,
    min_count: int = 1,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, TrimReport]:
    """A model and its tokenizer with only those tokens that `texts` use, and the rows of the tables that belong to them.

    Kept are, in this order: special and added tokens; single characters, so that a new word still breaks into pieces (all
    bytes, where the tokenizer works on bytes); then the tokens of the texts, the most frequent first. Of byte pair encoding
    the merges between kept tokens stay, and a token brings along those that it is merged from. Without `size` and
    `min_count` the texts are tokenized exactly as before, and the model's answers to them do not change.

    Args:
        model: any text model of Transformers; it stays as it is.
        tokenizer: its fast tokenizer (WordPiece, BPE or Unigram); it stays as it is.
        texts: what the model will read, such as the training texts; not truncated.
        size: the new vocabulary's size at most; None keeps every token that is frequent enough.
        min_count: how often a token must occur to be kept.

    Returns:
        The trimmed model (in evaluation mode), its tokenizer, and what was kept. Both save and load as always.

    Raises:
        ValueError: no texts, a tokenizer that is not fast or of another kind, one with more tokens than the model, or a
            `size` too small for special tokens and single characters.

    Source: Abdaoui et al. 2020 (arXiv:2010.05609), for multilingual models.
    """
    texts = list(texts)
    if not texts:
        raise ValueError("texts is empty; give the texts that the model will read, such as those it is trained on")
    pieces, rows = TokenizerPieces.of(tokenizer), token_embedding(model).num_embeddings
    if max(pieces.ids.values()) >= rows:
        raise ValueError(f"the tokenizer has {len(pieces.ids)} tokens, the model {rows}: they do not belong together")
    counts = count_tokens(tokenizer_from_spec(pieces.spec), texts)
    kept = _choose_pieces(pieces, counts, _required_pieces(model, pieces), size, min_count)
    spec, old = pieces.restricted_to(kept)
    trimmed = _slice_rows(model, old)
    report = _report(counts, kept, spec, texts, model, trimmed)
    return trimmed, _with_spec(tokenizer, spec), report


def _required_pieces(model: PreTrainedModel, pieces: TokenizerPieces) -> set[str]:
    """What stays whatever the texts say."""
    named = {value for name, value in model.config.to_dict().items() if name.endswith("_token_id") and isinstance(value, int)}
    if first_position(model):  # RoBERTa counts positions from the padding token's id, which must not move
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
    """`model` with the rows `old` of everything that has one row for each token."""
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
    """A tokenizer of the same class and settings that reads `spec`, made through the files in which it is kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer.save_pretrained(folder)
        for file in {*tokenizer.vocab_files_names.values(), "added_tokens.json"}:  # they would bring the old ids back
            (folder / file).unlink(missing_ok=True)
        (folder / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("added_tokens_decoder", None)  # by old ids too; tokenizer.json has the added tokens
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
