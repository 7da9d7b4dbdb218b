"""Replacements that a masked language model predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from limbeck.data.content_keys import fingerprint
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.word_replacements.base import batches, check_vocabulary, required_count
from limbeck.data.text.words import WordSpans, distinct_words, whole_word_tokens

MIN_MASK_SPACING = 7  # masking every 7th word is about the share that masked models are trained with


class _MaskedPass(NamedTuple):
    """A text with some of its words masked.

    Attributes:
        ids: token ids.
        positions: indices of the mask tokens.
        words: for each mask token the number of the text, the number of the word, and the masked id.
    """

    ids: Tensor
    positions: list[int]
    words: list[tuple[int, int, int]]


class MaskedModelReplacements:
    """The words that a masked language model predicts with the highest probability in place of a masked word.

    Only words that are one token of the model's vocabulary have candidates; for a word of several pieces, the model would have
    to predict all pieces at once. In the paper the candidates are the K most probable tokens; here they are the K most probable
    whole words, so that special tokens, pieces of words, numbers, punctuation and the word itself are excluded. Words beyond
    `max_length` tokens have no candidates.

    Outputs of the model differ by rounding with the other texts of a batch: if two words are equally probable up to that, the
    last candidate may be either of them.

    Args:
        model: an `AutoModelForMaskedLM` of Transformers, on the device where it is to run. It is put in evaluation mode.
        tokenizer: the fast tokenizer of the model.
        count: K, candidates for each word. Paper: 15.
        together: most words masked at once. With 1, as in the paper, a text of n words takes n forward passes. With more, every
            k-th word is masked in the same pass, k = ⌈n / together⌉ but at least min(n, 7): models are trained with about every
            7th token masked and predict badly with fewer tokens around.
        max_length: most tokens of a text that are read, special tokens included.
        batch_size: passes computed at once; passes of similar length form a batch.

    Raises:
        ValueError: a tokenizer that is slow, has no mask token, or has ids that the model does not have.

    Source: Jiao et al. 2020, TinyBERT (arXiv:1909.10351), Algorithm 1.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        count: int = 15,
        together: int = 1,
        max_length: int = 128,
        batch_size: int = 64,
    ) -> None:
        for name, value in (("count", count), ("together", together), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name}={value}: expected 1 or more")
        self.tokenizer = FixedTokenizer.of(tokenizer, max_length, "masked model")
        if tokenizer.mask_token_id is None:
            raise ValueError(f"the tokenizer ({type(tokenizer).__name__}) has no mask token; choose a masked language model")
        self.model, self.count, self.together, self.batch_size = model.eval(), count, together, batch_size
        self._words = whole_word_tokens(tokenizer)
        check_vocabulary(model, self._words)
        self._ids = torch.tensor(list(self._words))
        self._top = required_count(self._words.values(), count)

    @cached_property
    def identity(self) -> str:
        weights = fingerprint(dict(self.model.state_dict()))
        settings = f"count={self.count} together={self.together}"
        return f"masked {type(self.model).__name__} {weights} {self.tokenizer.identity} {settings}"

    @torch.inference_mode()
    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        found: list[list[tuple[str, ...]]] = [[()] * len(text) for text in texts]
        passes = sorted(self._passes(texts), key=lambda each: len(each.ids))
        for batch in batches(passes, self.batch_size):
            best = iter(self._predict([each.ids for each in batch], [each.positions for each in batch]))
            for each in batch:
                for text, word, own in each.words:  # the token may be spelled differently from the word: `cafe` for `café`
                    others = (self._words[id] for id in next(best) if id != own)
                    found[text][word] = distinct_words(texts[text].words[word], others, self.count)
        return found

    def _passes(self, texts: Sequence[WordSpans]) -> Iterator[_MaskedPass]:
        if not texts:
            return
        # some tokenizers encode the first word of a text differently, unless a space stands before it
        encoded = self.tokenizer([f" {text.text}" for text in texts], return_offsets_mapping=True)
        for number, text in enumerate(texts):
            ids: list[int] = encoded["input_ids"][number]
            single = self._single_token_words(text, ids, encoded["offset_mapping"][number])
            count = max(-(-len(single) // self.together), min(len(single), MIN_MASK_SPACING))
            for first in range(count):
                words, positions = zip(*single[first::count], strict=True)
                masked = torch.tensor(ids).index_fill(0, torch.tensor(positions), self.tokenizer.base.mask_token_id)
                own = [(number, word, ids[position]) for word, position in zip(words, positions, strict=True)]
                yield _MaskedPass(masked, list(positions), own)

    def _single_token_words(
        self, text: WordSpans, ids: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """The words that are one token of the vocabulary: the number of the word and the index of the token."""
        tokens = {}
        for position, (start, end) in enumerate(offsets):
            if ids[position] in self._words:
                blanks = end - start - len(f" {text.text}"[start:end].lstrip())  # some tokenizers count them to the word
                tokens[start + blanks - 1, end - 1] = position
        return [(word, tokens[span]) for word, span in enumerate(text.spans) if span in tokens]

    def _predict(self, ids: Sequence[Tensor], positions: Sequence[Sequence[int]]) -> list[list[int]]:
        """For each mask token, in order, the ids of the most probable whole words, the most probable first."""
        device = next(self.model.parameters()).device
        padded = nn.utils.rnn.pad_sequence(list(ids), batch_first=True, padding_value=self.tokenizer.pad_id)
        lengths = torch.tensor([len(each) for each in ids])
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        row = torch.repeat_interleave(torch.tensor([len(each) for each in positions]))
        column = torch.tensor([position for each in positions for position in each])
        with _head_reads_only(self.model, row.to(device), column.to(device)):
            logits = self.model(input_ids=padded.to(device), attention_mask=mask.to(device)).logits
        if logits.ndim == 3:  # the head is not a layer of its own
            logits = logits[row, column]
        scores = logits.index_select(1, self._ids.to(device))
        best: list[list[int]] = self._ids[scores.topk(self._top, dim=1).indices.cpu()].tolist()
        return best


@contextmanager
def _head_reads_only(model: nn.Module, row: Tensor, column: Tensor) -> Iterator[None]:
    """The head, which with a large vocabulary is most of the work, reads the masked positions only."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][row, column],))
    try:
        yield
    finally:
        hook.remove()
