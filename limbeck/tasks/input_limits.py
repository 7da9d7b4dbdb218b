"""Whether a model can read the texts it is given: it must know their tokens and have a place for each of them."""

from __future__ import annotations

from torch import nn

from limbeck.data import Items, TokenStorage
from limbeck.data.text.token_storage import PackedTokens

POSITIONS = ("position_embeddings", "position_embedding", "embed_positions", "wpe")  # as Transformers calls the tables


def check_input_limits(model: nn.Module, items: Items, who: str, data: str, reads: str | None = None) -> None:
    """Refuse texts whose tokens, or whose length, a model was not built for.

    A model with a table of positions has no more of them than the table has rows; what is longer would fail in the midst of
    training, at the first batch with such a text. Models that compute their positions read any length.

    Raises:
        ValueError: with the limit.
    """
    if not isinstance(items.storage, TokenStorage):
        return
    encodings = items.storage.encodings
    encoding = encodings.get(reads or "", next(iter(encodings.values())))
    _refuse_unknown(model, encoding, f"{data}: the {who} ({type(model).__name__})")
    limit, length = position_limit(model), encoding.tokenization.max_length
    if limit is not None and length > limit:
        raise ValueError(
            f"{data}: max_length={length}, and the {who} ({type(model).__name__}) has positions for {limit} tokens; set "
            f"max_length to {limit} or less"
        )


def position_limit(model: nn.Module) -> int | None:
    """How many tokens the tables of positions have rows for; None where there is no such table."""
    return min(position_limits(model).values(), default=None)


def position_limits(model: nn.Module) -> dict[str, int]:
    """How many tokens each table of positions has rows for, by its path.

    RoBERTa and its like count from after the padding's row, and BART's begin with rows that are no positions.
    """
    limits = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and path.rpartition(".")[2] in POSITIONS:
            padding = module.padding_idx
            unused = getattr(module, "offset", 0) if padding is None else padding + 1
            limits[path] = module.num_embeddings - int(unused)
    return limits


def _refuse_unknown(model: nn.Module, encoding: PackedTokens, who: str) -> None:
    known = _vocabulary(model)
    highest = int(encoding.ids.values.max()) if len(encoding.ids.values) else 0
    if known is not None and highest >= known:
        (word,) = encoding.tokenization.tokens([highest])
        raise ValueError(
            f"{who} knows {known:,} tokens, and the texts hold token {highest:,}, {word!r}: they were tokenised for another "
            "vocabulary. Give the model its own tokenizer (in Python: tokenize(items, {'student': …, 'teacher': …}))"
        )


def _vocabulary(model: nn.Module) -> int | None:
    """How many tokens a model of Transformers, or one that holds such a model, can look up."""
    for module in model.modules():
        if hasattr(module, "get_input_embeddings"):
            try:
                table = module.get_input_embeddings()  # type: ignore[operator]
            except (NotImplementedError, AttributeError):
                continue
            return table.num_embeddings if isinstance(table, nn.Embedding) else None
    return None
