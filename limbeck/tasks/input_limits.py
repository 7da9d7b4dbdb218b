"""Checks that a model can process texts: its vocabulary holds their tokens, and it has enough positions."""

from __future__ import annotations

from torch import nn

from limbeck.data import Items, TokenStorage
from limbeck.data.text.token_storage import PackedTokens

POSITIONS = ("position_embeddings", "position_embedding", "embed_positions", "wpe")  # the tables' names in Transformers


def check_input_limits(model: nn.Module, items: Items, who: str, data: str, reads: str | None = None) -> None:
    """Checks tokens and length of texts against the vocabulary and the position table of a model.

    Longer texts would fail in the middle of training, at the first batch with such a text. Models that compute their positions
    accept any length.

    Raises:
        ValueError: a token or the length exceeds the limit, which the message names.
    """
    if not isinstance(items.storage, TokenStorage):
        return
    encodings = items.storage.encodings
    encoding = encodings.get(reads or "", next(iter(encodings.values())))
    _check_vocabulary(model, encoding, f"{data}: the {who} ({type(model).__name__})")
    limit, length = position_limit(model), encoding.tokenizer.max_length
    if limit is not None and length > limit:
        raise ValueError(
            f"{data}: max_length={length}, and the {who} ({type(model).__name__}) has positions for {limit} tokens; set "
            f"max_length to {limit} or less"
        )


def position_limit(model: nn.Module) -> int | None:
    """The number of tokens for which a model has positions; None if it has no position table."""
    return min(position_limits(model).values(), default=None)


def position_limits(model: nn.Module) -> dict[str, int]:
    """The number of tokens of each position table, by its path.

    Without rows that are no positions: those up to the padding's in RoBERTa, and the offset in BART.
    """
    limits = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and path.rpartition(".")[2] in POSITIONS:
            padding = module.padding_idx
            unused = getattr(module, "offset", 0) if padding is None else padding + 1
            limits[path] = module.num_embeddings - int(unused)
    return limits


def _check_vocabulary(model: nn.Module, encoding: PackedTokens, who: str) -> None:
    known = _vocabulary_size(model)
    highest = int(encoding.ids.values.max()) if len(encoding.ids.values) else 0
    if known is not None and highest >= known:
        (word,) = encoding.tokenizer.tokens([highest])
        raise ValueError(
            f"{who} has a vocabulary of {known:,} tokens, and the texts hold token {highest:,}, {word!r}: they were tokenised "
            "for another vocabulary. Give the model its own tokenizer (in Python: tokenize(items, {'student': …, …}))"
        )


def _vocabulary_size(model: nn.Module) -> int | None:
    """The rows of the token embedding of a Transformers model, or of a module that holds one."""
    for module in model.modules():
        if hasattr(module, "get_input_embeddings"):
            try:
                table = module.get_input_embeddings()  # type: ignore[operator]
            except (NotImplementedError, AttributeError):
                continue
            return table.num_embeddings if isinstance(table, nn.Embedding) else None
    return None
