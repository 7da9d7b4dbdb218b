"""How texts become tokens: a fast tokenizer with everything fixed that decides what comes out of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

UNLIMITED = 10**9  # Transformers writes 10³⁰ where a tokenizer names no limit


@dataclass(frozen=True)
class FixedTokenizer:
    """A tokenizer as it was when it was given: whatever is changed in it later changes nothing here.

    Attributes:
        tokenizer: of Transformers, backed by the tokenizers library.
        max_length: the most tokens of an item, special ones included.
        pad_id, pad_type: what `input_ids` and `token_type_ids` are filled up with;
            pad_left: whether padding stands at the left.
        identity: names all that the tokens depend on.
    """

    tokenizer: PreTrainedTokenizerFast
    max_length: int
    pad_id: int
    pad_type_id: int
    pad_left: bool
    identity: str

    @classmethod
    def of(cls, tokenizer: Any, max_length: int, name: str = "", pairs: bool = False) -> FixedTokenizer:
        """Refuse a tokenizer that cannot be used, or not at this length; `name` says whose it is."""
        whose = f"the {name}'s tokenizer" if name else "the tokenizer"
        if not getattr(tokenizer, "is_fast", False):
            kind = type(tokenizer).__name__
            raise ValueError(f"{whose} ({kind}) is not a fast one; load it with transformers.AutoTokenizer.from_pretrained(…)")
        if tokenizer.pad_token_id is None:
            raise ValueError(f"{whose} has no padding token; set tokenizer.pad_token, for instance to tokenizer.eos_token")
        limit, special = tokenizer.model_max_length, tokenizer.num_special_tokens_to_add(pair=pairs)
        if limit < UNLIMITED and max_length > limit:
            raise ValueError(f"max_length={max_length}: {whose} goes up to {limit} tokens; set max_length to {limit} or less")
        if max_length <= special:
            raise ValueError(
                f"max_length={max_length}: {whose} adds {special} special tokens, so that no text is left; "
                f"set max_length to {special + 1} or more"
            )
        pad_left = tokenizer.padding_side == "left"
        pad_type_id = tokenizer.pad_token_type_id
        return cls(tokenizer, max_length, tokenizer.pad_token_id, pad_type_id, pad_left, _identity(tokenizer, max_length))

    def __call__(self, *texts: Sequence[Any], truncation: str = "longest_first", **options: Any) -> BatchEncoding:
        return self.tokenizer(
            *map(list, texts), truncation=truncation, max_length=self.max_length, return_attention_mask=False, **options
        )

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Tokens as they are written in the vocabulary."""
        return list(self.tokenizer.convert_ids_to_tokens(list(ids)))


def _identity(tokenizer: Any, max_length: int) -> str:
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for state in ("truncation", "padding"):  # left there by whoever called it last
        backend.pop(state, None)
    settings = {
        "backend": backend,
        "max_length": max_length,
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "sides": [tokenizer.truncation_side, tokenizer.padding_side],
        "padding": [tokenizer.pad_token_id, tokenizer.pad_token_type_id],
        "inputs": list(tokenizer.model_input_names),
    }
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()
