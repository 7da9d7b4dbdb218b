"""What may stand in place of a word: the guesses of a masked language model, or its neighbours among word vectors."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.data.content_keys import fingerprint
from limbeck.data.text.fixed_tokenizer import FixedTokenizer
from limbeck.data.text.words import WordSpans, distinct_words, is_word, whole_word_tokens
from limbeck.utils.progress_bar import show_progress

Item = TypeVar("Item")
MaskedPass = tuple[Tensor, list[int], list[tuple[int, int, int]]]
"""A text with some of its words hidden: token ids, places of the mask tokens, and (text, word, own id) for each of these."""

MIN_MASK_SPACING = 7  # every 7th word hidden is about the share that masked models learn from
MAX_COSINES = 1 << 24  # cosines computed at once
ROUNDING_MARGIN = 8  # neighbours that rounding may move to either side of the last one that counts


class WordReplacements(Protocol):
    """What may stand in place of each word of some texts.

    Attributes:
        identity: names all that the answers depend on; texts that were altered before are found again by it.
    """

    @property
    def identity(self) -> str: ...

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        """For each text, and each word of it, the words that may replace it, written as they would stand there and in the order
        of the alphabet, so that rounding in their scores moves none of them; empty where there is none.
        """
        ...


class FallbackReplacements:
    """For each word the candidates of the first provider with any: `FallbackReplacements(MaskedModelReplacements(…), …)`."""

    def __init__(self, *providers: WordReplacements) -> None:
        if not providers:
            raise ValueError("providers: expected one or more, such as MaskedModelReplacements(…) and EmbeddingReplacements(…)")
        self.providers = providers

    @property
    def identity(self) -> str:
        return " or else ".join(each.identity for each in self.providers)

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        answers = zip(*(each(texts) for each in self.providers), strict=True)
        return [[next(filter(None, options), ()) for options in zip(*words, strict=True)] for words in answers]


class MaskedModelReplacements:
    """The words that a masked language model holds likeliest in a word's place, the word hidden.

    Only words that are one token of the model's vocabulary have candidates; of several pieces, the model would have to guess
    all at once. The paper takes the K likeliest tokens of all; here these are the K likeliest whole words, so that special
    tokens, pieces of words, numbers and punctuation never come in, nor does the word itself, which would alter nothing.
    What lies beyond `max_length` tokens has no candidates either. The model rounds a little otherwise with other texts beside
    a text: where two words are as likely as that, the last candidate may be one or the other.

    Args:
        model: an `AutoModelForMaskedLM` of Transformers, on the device where it is to run; it is put in evaluation mode.
        tokenizer: its own, a fast one.
        count: K, candidates for each word. Paper: 15.
        together: words hidden at once, at most. 1, as in the paper, costs a text of n words n forward passes; with more, every
            k-th word is hidden in the same pass and the text costs k = ⌈n / together⌉, but no fewer than min(n, 7): models
            learn with about every 7th token hidden, and guess badly with less around them.
        max_length: tokens of a text that are read, special ones included.
        batch_size: passes computed at once; texts of similar length stand together.

    Raises:
        ValueError: a tokenizer that is slow, or has no mask token, or whose ids the model does not know.

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
        self.tokenization = FixedTokenizer.of(tokenizer, max_length, "masked model")
        if tokenizer.mask_token_id is None:
            raise ValueError(f"the tokenizer ({type(tokenizer).__name__}) has no mask token; choose a masked language model")
        self.model, self.count, self.together, self.batch_size = model.eval(), count, together, batch_size
        self._words = whole_word_tokens(tokenizer)
        _require_rows(model, self._words)
        self._ids = torch.tensor(list(self._words))
        self._reach = _reach(self._words.values(), count)

    @cached_property
    def identity(self) -> str:
        weights = fingerprint(dict(self.model.state_dict()))
        asked = f"count={self.count} together={self.together}"
        return f"masked {type(self.model).__name__} {weights} {self.tokenization.identity} {asked}"

    @torch.inference_mode()
    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        found: list[list[tuple[str, ...]]] = [[()] * len(text) for text in texts]
        passes = sorted(self._passes(texts), key=lambda one: len(one[0]))
        for batch in _batches(passes, self.batch_size):
            best = iter(self._best([ids for ids, _, _ in batch], [places for _, places, _ in batch]))
            for _, _, asked in batch:
                for text, word, own in asked:  # its token may be spelled otherwise than the word: `cafe` for `café`
                    others = (self._words[id] for id in next(best) if id != own)
                    found[text][word] = distinct_words(texts[text].words[word], others, self.count)
        return found

    def _passes(self, texts: Sequence[WordSpans]) -> Iterator[MaskedPass]:
        if not texts:
            return
        # a first word is cut otherwise than the same word later on by some tokenizers, unless a blank stands before it
        encoded = self.tokenization([f" {text.text}" for text in texts], return_offsets_mapping=True)
        for number, text in enumerate(texts):
            ids: list[int] = encoded["input_ids"][number]
            single = self._single(text, ids, encoded["offset_mapping"][number])
            count = max(-(-len(single) // self.together), min(len(single), MIN_MASK_SPACING))
            for first in range(count):
                words, places = zip(*single[first::count], strict=True)
                hidden = torch.tensor(ids).index_fill(0, torch.tensor(places), self.tokenization.tokenizer.mask_token_id)
                yield hidden, list(places), [(number, word, ids[place]) for word, place in zip(words, places, strict=True)]

    def _single(self, text: WordSpans, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The words that are one token of the vocabulary: the number of the word, and of the token."""
        tokens = {}
        for place, (start, end) in enumerate(offsets):
            if ids[place] in self._words:
                blanks = end - start - len(f" {text.text}"[start:end].lstrip())  # counted as part of the word by some
                tokens[start + blanks - 1, end - 1] = place
        return [(word, tokens[span]) for word, span in enumerate(text.spans) if span in tokens]

    def _best(self, ids: Sequence[Tensor], places: Sequence[Sequence[int]]) -> list[list[int]]:
        """For each hidden token, one after the other, the ids of the likeliest whole words, the likeliest first."""
        device = next(self.model.parameters()).device
        padded = nn.utils.rnn.pad_sequence(list(ids), batch_first=True, padding_value=self.tokenization.pad_id)
        lengths = torch.tensor([len(one) for one in ids])
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        row = torch.repeat_interleave(torch.tensor([len(some) for some in places]))
        column = torch.tensor([place for some in places for place in some])
        with _only(self.model, row.to(device), column.to(device)):
            logits = self.model(input_ids=padded.to(device), attention_mask=mask.to(device)).logits
        if logits.ndim == 3:  # a head that is no layer of its own
            logits = logits[row, column]
        scores = logits.index_select(1, self._ids.to(device))
        best: list[list[int]] = self._ids[scores.topk(self._reach, dim=1).indices.cpu()].tolist()
        return best


class EmbeddingReplacements:
    """The words nearest to a word by the cosine of their vectors, c(v, w) = ⟨v, w⟩ / (‖v‖ ‖w‖), with the mean vector of the
    table taken off all of them before: what all words share says nothing of what they mean (Mu and Viswanath 2018,
    arXiv:1702.01417).

    Words are found as they are written, or else in lower case.

    Args:
        words: of the table; what is no word (numbers, punctuation) is left out.
        vectors: one for each, `[len(words), d]`.
        count: K, candidates for each word. Paper: 15.
        minimum: the least cosine of a candidate; words with no neighbour as near as that have none. The paper has no such
            limit: -1 is as good as none.

    Raises:
        ValueError: not as many vectors as words; vectors that are not finite; no words at all.

    Source: Jiao et al. 2020, TinyBERT (arXiv:1909.10351), Algorithm 1, there with GloVe.
    """

    def __init__(self, words: Sequence[str], vectors: Tensor, *, count: int = 15, minimum: float = 0.3) -> None:
        if count < 1:
            raise ValueError(f"count={count}: expected 1 or more")
        if not -1 <= minimum <= 1:
            raise ValueError(f"minimum={minimum}: expected a cosine, from -1 to 1")
        if vectors.ndim != 2 or len(vectors) != len(words):
            raise ValueError(f"vectors: expected one for each of {len(words)} words, found {list(vectors.shape)}")
        rows = {word: row for row, word in reversed(list(enumerate(words))) if is_word(word)}
        if not rows:
            raise ValueError("words: there is not one word of letters among them")
        self.words, self.count, self.minimum = sorted(rows), count, minimum
        chosen = vectors.detach().cpu().float()[[rows[word] for word in self.words]]
        if not bool(chosen.isfinite().all()):
            raise ValueError("vectors: expected finite numbers, found some that are not")
        self.vectors = nn.functional.normalize(chosen - chosen.mean(0), dim=1)
        self._reach = min(_reach(self.words, count) + ROUNDING_MARGIN, len(self.words))
        self._rows = {word: row for row, word in enumerate(self.words)}
        self._cache: dict[str, tuple[str, ...]] = {}

    @classmethod
    def from_encoder(cls, model: nn.Module, tokenizer: Any, **options: Any) -> EmbeddingReplacements:
        """The input embeddings of an encoder of Transformers, of the tokens that are whole words.

        Args:
            model, tokenizer: as loaded by `AutoModel` and `AutoTokenizer` from one folder.
            options: as for the class.

        Raises:
            ValueError: a tokenizer without whole words, or whose ids the model does not know.
        """
        words = whole_word_tokens(tokenizer)
        _require_rows(model, words)
        vectors: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
        return cls(list(words.values()), vectors.detach()[list(words)], **options)

    @classmethod
    def from_file(cls, path: str | Path, *, limit: int = 100_000, **options: Any) -> EmbeddingReplacements:
        """Word vectors as GloVe and word2vec write them as text: a word and its numbers in each line, split by blanks; a first
        line with the number of words and of dimensions may stand before them.

        Args:
            limit: so many words are read. Files begin with the most frequent words; rare ones have poor neighbours.
            options: as for the class.

        Raises:
            ValueError: a line that reads otherwise, by its number.
        """
        return cls(*_read_vectors(Path(path), limit), **options)

    @cached_property
    def identity(self) -> str:
        words = hashlib.blake2b("\n".join(self.words).encode(), digest_size=16).hexdigest()
        vectors = fingerprint({"vectors": self.vectors})
        return f"neighbours {words} {vectors} count={self.count} minimum={self.minimum}"

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        self._find({word for text in texts for word in text.words} - self._cache.keys())
        return [[self._cache[word] for word in text.words] for text in texts]

    def _find(self, words: Iterable[str]) -> None:
        """Find the neighbours of words not asked for before."""
        rows = {word: self._rows.get(word, self._rows.get(word.lower())) for word in sorted(words)}
        self._cache |= {word: () for word, row in rows.items() if row is None}
        found = [(word, row) for word, row in rows.items() if row is not None]
        for some in _batches(found, max(1, MAX_COSINES // len(self.words))):
            own = self.vectors[[row for _, row in some]]
            places = (own @ self.vectors.T).topk(self._reach, dim=1).indices
            # once more, as a product of matrices rounds otherwise with other words beside a word
            cosines = (own[:, None].double() * self.vectors[places]).sum(2)
            for (word, _), values, best in zip(some, cosines.tolist(), places.tolist(), strict=True):
                nearest = sorted((-value, place) for value, place in zip(values, best, strict=True) if value >= self.minimum)
                self._cache[word] = distinct_words(word, (self.words[place] for _, place in nearest), self.count)


def _read_vectors(path: Path, limit: int) -> tuple[list[str], Tensor]:
    words: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        begin = file.readline()
        sizes = begin.split()
        has_header = len(sizes) == 2 and all(size.isdecimal() for size in sizes)
        width = int(sizes[1]) if has_header else len(sizes) - 1
        lines = enumerate(file, 2) if has_header else enumerate(chain([begin] if begin else [], file), 1)
        for number, line in show_progress(islice(lines, limit), "reading word vectors", limit):
            word, *numbers = line.rstrip(" \r\n").rsplit(" ", width)  # some words have blanks in them
            vector = _numbers(numbers)
            if width < 2 or vector is None or len(vector) != width:
                raise ValueError(f"{path}, line {number}: expected a word and {max(width, 2)} numbers, found {line[:60]!r}")
            words.append(word)
            vectors.append(vector)
    if not words:
        raise ValueError(f"{path}: no word vectors in it; expected a word and its numbers in each line")
    return words, torch.from_numpy(np.stack(vectors))


def _numbers(parts: Sequence[str]) -> NDArray[np.float32] | None:
    try:
        return np.array(parts, dtype=np.float32)
    except ValueError:
        return None


def _reach(words: Collection[str], count: int) -> int:
    """How many of the best words hold `count` that differ in more than capitals, a word itself and another spelling of it."""
    spellings = max(Counter(map(str.casefold, words)).values(), default=0)
    return min(spellings * (count + 2), len(words))


def _require_rows(model: nn.Module, words: Mapping[int, str]) -> None:
    rows = model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if not words:
        raise ValueError("the tokenizer has no token that is a whole word; choose a model of words or pieces of words")
    if max(words) >= rows:
        raise ValueError(f"the tokenizer has tokens up to {max(words)}, the model {rows} of them: they do not belong together")


@contextmanager
def _only(model: nn.Module, row: Tensor, column: Tensor) -> Iterator[None]:
    """Let the head, which is most of the work with a large vocabulary, read the hidden words alone."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][row, column],))
    try:
        yield
    finally:
        hook.remove()


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
