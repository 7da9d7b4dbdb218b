"""Masked-language modelling (Devlin et al. 2018, 1810.04805): tokens are hidden, and the labels are what they were.

Which tokens, and by what, is a pure function of (seed, key, view), whatever batch an item stands in and however it is padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.core.objective import UNLABELLED
from limbeck.data import keyed_random
from limbeck.data.image.transform import PartnerPool
from limbeck.data.text.tokenizer_alignment import describe_token, first_mismatch

MASK_TOKEN_SHARE, RANDOM_TOKEN_SHARE = 0.8, 0.1  # of the chosen tokens; the others stay as they are


@dataclass(frozen=True)
class MaskingVocabulary:
    """What masking needs to know of a tokenizer.

    Attributes:
        mask_id: the token that hides others.
        size: how many ids there are.
        special: ids that are never chosen, and never replace others.
    """

    mask_id: int
    size: int
    special: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> MaskingVocabulary:
        if tokenizer.mask_token_id is None:
            kind = type(tokenizer).__name__
            raise ValueError(f"the tokenizer ({kind}) has no mask token, which masked-language modelling needs; set mask_token")
        return cls(tokenizer.mask_token_id, len(tokenizer), tuple(sorted(tokenizer.all_special_ids)))


def mask_tokens(
    ids: Tensor,
    mask: Tensor,
    keys: Tensor,
    view: keyed_random.ViewNumber,
    seed: int,
    vocabulary: MaskingVocabulary,
    share: float = 0.15,
    stream: str = "mask",
) -> tuple[Tensor, Tensor]:
    """Each token is chosen with probability `share`, and in any case one of each item; of the chosen ones 80 % become the mask
    token, 10 % another ordinary token drawn evenly, and 10 % stay.

    Args:
        ids: int64 `[B, T]`.
        mask: real tokens `[B, T]`; neither padding nor special tokens are chosen.
        keys: int64 `[B]`, of the items.
        view: the number of the view, one for all items or one for each.

    Returns:
        The ids with tokens hidden, and the labels, int64 `[B, T]`: the id of every chosen token, -100 everywhere else.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: expected a number above 0, and at most 1")
    # draws belong to the tokens of an item, counted without padding
    place = (mask.long().cumsum(1) - 1).clamp_(min=0)
    drawn = keyed_random.uniform(seed, keys, view, f"{stream}/choice", ids.shape[1]).gather(1, place)
    fate = keyed_random.uniform(seed, keys, view, f"{stream}/fate", ids.shape[1]).gather(1, place)
    special = torch.tensor(vocabulary.special, dtype=ids.dtype, device=ids.device)
    drawn = drawn.masked_fill(~mask.bool() | torch.isin(ids, special), 2.0)  # above every draw, and every share
    chosen = (drawn < share) | ((drawn == drawn.amin(1, keepdim=True)) & (drawn < 2.0))
    ordinary = _ordinary(vocabulary, ids.device)
    others = keyed_random.integers(seed, keys, view, f"{stream}/other", ids.shape[1], len(ordinary)).gather(1, place)
    hidden = torch.where(chosen & (fate < MASK_TOKEN_SHARE), vocabulary.mask_id, ids)
    replaced = chosen & (fate >= MASK_TOKEN_SHARE) & (fate < MASK_TOKEN_SHARE + RANDOM_TOKEN_SHARE)
    return torch.where(replaced, ordinary[others], hidden), torch.where(chosen, ids, UNLABELLED)


class Masking:
    """A view of items of tokens in which some are hidden: `Dataset(items, views={"default": Masking(vocabulary)})`.

    The view's target is the tokens that were chosen, int64 `[B, T]` with -100 everywhere else, in place of the items' own.
    Items that several actors read in encodings of their own must come out the same in all of them, but for token types.

    Args:
        vocabulary: of the tokenizer, `MaskingVocabulary.of(tokenizer)`.
        share: of the tokens that are chosen.
    """

    mixes = False

    def __init__(self, vocabulary: MaskingVocabulary, share: float = 0.15) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share={share}: expected a number above 0, and at most 1")
        self.vocabulary, self.share = vocabulary, share

    def __len__(self) -> int:
        return 1

    def __call__(
        self,
        inputs: Any,
        keys: Tensor,
        *,
        seed: int = 0,
        view: keyed_random.ViewNumber = 0,
        stream: str = "default",
        target: Tensor | None = None,
        pool: PartnerPool | None = None,
    ) -> tuple[Any, Tensor | None]:
        """As a `Pipeline`: view `view` of each item, and its target."""
        if not isinstance(inputs, Mapping):
            raise ValueError("masking hides tokens, and these items have none; make them with tokenize(items, tokenizer)")
        if "input_ids" in inputs:
            return self._masked(inputs, keys, seed, view, stream)
        shown, labels = {}, []
        for name, part in inputs.items():
            shown[name], chosen = self._masked(part, keys, seed, view, stream)
            labels.append(chosen)
        if not all(torch.equal(labels[0], other) for other in labels):
            raise ValueError(
                f"masking: {' and '.join(shown)} read other tokens ({_first_id_difference(inputs)}), so that what one predicts "
                "tells nothing of what the other does; give both the same tokenizer"
            )
        return shown, labels[0]

    def _masked(
        self, inputs: Mapping[str, Tensor], keys: Tensor, seed: int, view: keyed_random.ViewNumber, stream: str
    ) -> tuple[dict[str, Tensor], Tensor]:
        ids, labels = mask_tokens(
            inputs["input_ids"], inputs["attention_mask"], keys, view, seed, self.vocabulary, self.share, f"{stream}/mask"
        )
        return {**inputs, "input_ids": ids}, labels


def _first_id_difference(inputs: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Where actors first read other ids in a batch, for a message."""
    one, *others = inputs
    for other in others:
        for row, ids in enumerate(zip(*(inputs[name]["input_ids"].tolist() for name in (one, other)), strict=True)):
            token = first_mismatch(*ids)
            if token >= 0:
                said = [f"id {each[token]}" if token < len(each) else "nothing more" for each in ids]
                return describe_token(token, f"item {row} of the batch", dict(zip((one, other), said, strict=True)))
    return "their padding differs"


def _ordinary(vocabulary: MaskingVocabulary, device: torch.device) -> Tensor:
    """All ids but the special ones."""
    ordinary = torch.ones(vocabulary.size, dtype=torch.bool, device=device)
    ordinary[torch.tensor(vocabulary.special, dtype=torch.int64, device=device)] = False
    return ordinary.nonzero()[:, 0]
