"""Masks tokens for masked-language modelling (Devlin et al. 2018, BERT, arXiv:1810.04805).

Which tokens are masked, and how, is a pure function of (seed, key, view): it does not depend on the batch or its padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.core.batch import Target
from limbeck.core.labels import UNLABELLED
from limbeck.data import keyed_random
from limbeck.data.image.transform import PartnerPool
from limbeck.data.keyed_random import ViewNumber
from limbeck.data.text.tokenizer_alignment import describe_token, first_mismatch

MASK_TOKEN_SHARE, RANDOM_TOKEN_SHARE = 0.8, 0.1  # of the chosen tokens; the rest stay as they are


@dataclass(frozen=True)
class MaskingVocabulary:
    """The part of a tokenizer that masking needs.

    Attributes:
        mask_id: id of the mask token.
        size: number of ids.
        special: ids that are never chosen and never replace others.
    """

    mask_id: int
    size: int
    special: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> MaskingVocabulary:
        """From a tokenizer of Transformers.

        Raises:
            ValueError: a tokenizer without a mask token.
        """
        if tokenizer.mask_token_id is None:
            kind = type(tokenizer).__name__
            raise ValueError(f"the tokenizer ({kind}) has no mask token, which masked-language modelling needs; set mask_token")
        return cls(tokenizer.mask_token_id, len(tokenizer), tuple(sorted(tokenizer.all_special_ids)))


def mask_tokens(
    ids: Tensor,
    mask: Tensor,
    keys: Tensor,
    view: ViewNumber,
    seed: int,
    vocabulary: MaskingVocabulary,
    share: float = 0.15,
    stream: str = "mask",
) -> tuple[Tensor, Tensor]:
    """Choose tokens to predict, and replace most of them.

    Each token is chosen with probability `share`, and at least one of each item. Of the chosen tokens 80 % become the mask
    token, 10 % another ordinary token drawn uniformly, and 10 % stay.

    Args:
        ids: token ids, int64 `[B, T]`.
        mask: real tokens `[B, T]`; neither padding nor special tokens are chosen.
        keys: keys of the items, int64 `[B]`.
        view: number of the view, one for all items or one for each.
        seed: seed of the draws.
        vocabulary: of the tokenizer.
        share: probability that a token is chosen, above 0 and at most 1.
        stream: name of the random stream.

    Returns:
        The ids after replacement, and labels, int64 `[B, T]`: the original id of each chosen token, -100 elsewhere.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: expected a number above 0, and at most 1")
    # draws belong to the tokens of an item, counted without padding
    position = (mask.long().cumsum(1) - 1).clamp_(min=0)
    drawn = keyed_random.uniform(seed, keys, view, f"{stream}/choice", ids.shape[1]).gather(1, position)
    fate = keyed_random.uniform(seed, keys, view, f"{stream}/fate", ids.shape[1]).gather(1, position)
    special = torch.tensor(vocabulary.special, dtype=ids.dtype, device=ids.device)
    drawn = drawn.masked_fill(~mask.bool() | torch.isin(ids, special), 2.0)  # above every draw and every share
    chosen = (drawn < share) | ((drawn == drawn.amin(1, keepdim=True)) & (drawn < 2.0))
    ordinary = _ordinary_ids(vocabulary, ids.device)
    others = keyed_random.integers(seed, keys, view, f"{stream}/other", ids.shape[1], len(ordinary)).gather(1, position)
    masked = torch.where(chosen & (fate < MASK_TOKEN_SHARE), vocabulary.mask_id, ids)
    replaced = chosen & (fate >= MASK_TOKEN_SHARE) & (fate < MASK_TOKEN_SHARE + RANDOM_TOKEN_SHARE)
    return torch.where(replaced, ordinary[others], masked), torch.where(chosen, ids, UNLABELLED)


def check_hidden_share(share: float) -> float:
    """Returns the share of tokens that is hidden; raises `ValueError` if it is not above 0 and at most 1."""
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: expected a number above 0, and at most 1")
    return share


class Masking:
    """A view in which some tokens are masked: `Dataset(items, views={"default": Masking(vocabulary)})`.

    The target of the view is the chosen tokens, int64 `[B, T]` with -100 elsewhere, in place of the items' own. If actors read
    encodings of their own, these must be equal but for token types.

    Args:
        vocabulary: of the tokenizer, `MaskingVocabulary.of(tokenizer)`.
        share: probability that a token is chosen.
    """

    mixes = False

    def __init__(self, vocabulary: MaskingVocabulary, share: float = 0.15) -> None:
        self.vocabulary, self.share = vocabulary, check_hidden_share(share)

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
        """Compute one view of each item, and its target. Arguments are those of `Pipeline`.

        Raises:
            ValueError: items without tokens; actors that read different tokens.
        """
        if not isinstance(inputs, Mapping):
            raise ValueError("masking hides tokens, and these items have none; make them with tokenize(items, tokenizer)")
        if "input_ids" in inputs:
            return self._mask(inputs, keys, seed, view, stream)
        masked, labels = {}, []
        for name, part in inputs.items():
            masked[name], chosen = self._mask(part, keys, seed, view, stream)
            labels.append(chosen)
        if not all(torch.equal(labels[0], other) for other in labels):
            raise ValueError(
                f"masking: {' and '.join(masked)} read other tokens ({_first_id_difference(inputs)}), so their predictions "
                "cannot be compared; give both the same tokenizer"
            )
        return masked, labels[0]

    def _mask(
        self, inputs: Mapping[str, Tensor], keys: Tensor, seed: int, view: ViewNumber, stream: str
    ) -> tuple[dict[str, Tensor], Tensor]:
        ids, labels = mask_tokens(
            inputs["input_ids"], inputs["attention_mask"], keys, view, seed, self.vocabulary, self.share, f"{stream}/mask"
        )
        return {**inputs, "input_ids": ids}, labels


def _first_id_difference(inputs: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Describes the first token id of a batch that differs between actors."""
    one, *others = inputs
    for other in others:
        for row, ids in enumerate(zip(*(inputs[name]["input_ids"].tolist() for name in (one, other)), strict=True)):
            token = first_mismatch(*ids)
            if token >= 0:
                shown = [f"id {each[token]}" if token < len(each) else "no more tokens" for each in ids]
                return describe_token(token, f"item {row} of the batch", dict(zip((one, other), shown, strict=True)))
    return "their padding differs"


def _ordinary_ids(vocabulary: MaskingVocabulary, device: torch.device) -> Tensor:
    """All ids but the special ones."""
    ordinary = torch.ones(vocabulary.size, dtype=torch.bool, device=device)
    ordinary[torch.tensor(vocabulary.special, dtype=torch.int64, device=device)] = False
    return ordinary.nonzero()[:, 0]
