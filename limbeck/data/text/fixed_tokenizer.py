"""`FixedTokenizer`: a fast tokenizer together with all settings that decide its output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

UNLIMITED = 10**9  # Transformers writes 10³⁰ if a tokenizer has no limit


@dataclass(frozen=True)
class FixedTokenizer:
    """A tokenizer and its settings at the time it was passed in; later changes of these have no effect.

    Attributes:
        base: the tokenizer of Transformers, backed by the tokenizers library.
        max_length: most tokens of an item, special tokens included.
        pad_id: padding of `input_ids`.
        pad_type_id: padding of `token_type_ids`.
        pad_left: whether padding stands at the left.
        identity: hash of everything that the tokens depend on.
    """

    base: PreTrainedTokenizerFast
    max_length: int
    pad_id: int
    pad_type_id: int
    pad_left: bool
    identity: str

    @classmethod
    def of(cls, tokenizer: Any, max_length: int, name: str = "", pairs: bool = False) -> FixedTokenizer:
        """Check a tokenizer and fix its settings.

        Args:
            name: whose tokenizer it is, for messages.
            pairs: whether it will encode pairs of texts.

        Raises:
            ValueError: a slow tokenizer, one without a padding token, or one that cannot encode `max_length` tokens.
        """
        whose = f"the {name}'s tokenizer" if name else "the tokenizer"
        if not getattr(tokenizer, "is_fast", False):
            kind = type(tokenizer).__name__
            raise ValueError(f"{whose} ({kind}) is not a fast one; load it with transformers.AutoTokenizer.from_pretrained(…)")
        if tokenizer.pad_token_id is None:
            remedy = "set tokenizer.pad_token, for instance to tokenizer.eos_token"
            saved = "for a recipe also save it, tokenizer.save_pretrained(FOLDER), and name the folder as data.tokenizer"
            raise ValueError(f"{whose} has no padding token; {remedy}; {saved}")
        limit, special = tokenizer.model_max_length, tokenizer.num_special_tokens_to_add(pair=pairs)
        if limit < UNLIMITED and max_length > limit:
            raise ValueError(
                f"max_length={max_length}: {whose} is limited to {limit} tokens; set max_length to {limit} or less"
            )
        if max_length <= special:
            raise ValueError(
                f"max_length={max_length}: {whose} adds {special} special tokens, so that no text is left; "
                f"set max_length to {special + 1} or more"
            )
        pad_left = tokenizer.padding_side == "left"
        pad_type_id = tokenizer.pad_token_type_id
        return cls(tokenizer, max_length, tokenizer.pad_token_id, pad_type_id, pad_left, _identity(tokenizer, max_length))

    def __call__(self, *texts: Sequence[Any], truncation: str = "longest_first", **options: Any) -> BatchEncoding:
        """Encode texts without padding, truncated to `max_length`."""
        return self.base(
            *map(list, texts), truncation=truncation, max_length=self.max_length, return_attention_mask=False, **options
        )

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Tokens as they stand in the vocabulary."""
        return list(self.base.convert_ids_to_tokens(list(ids)))


def _identity(tokenizer: Any, max_length: int) -> str:
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for state in ("truncation", "padding"):  # set by the last call
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
