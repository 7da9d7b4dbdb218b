"""Replacements that are nearest by their word vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.data.content_keys import fingerprint
from limbeck.data.text.word_replacements.base import batches, check_vocabulary, required_count
from limbeck.data.text.words import WordSpans, distinct_words, is_word, whole_word_tokens
from limbeck.utils.progress_bar import show_progress

MAX_COSINES = 1 << 24  # computed at once
ROUNDING_MARGIN = 8  # neighbours that rounding may move to either side of the last one that counts


class EmbeddingReplacements:
    """The words whose vectors have the largest cosine c(v, w) = ⟨v, w⟩ / (‖v‖ ‖w‖) to that of a word.

    The mean vector of the table is subtracted from all vectors first: what all words share does not describe their meaning (Mu
    and Viswanath 2018, arXiv:1702.01417). Words are looked up as they are written, then in lower case.

    Args:
        words: of the table. Entries that are not words (numbers, punctuation) are left out.
        vectors: one for each word, `[len(words), d]`.
        count: K, candidates for each word. Paper: 15.
        minimum: smallest cosine of a candidate. -1 is no limit, as in the paper.

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
            raise ValueError("words: none of them consists of letters")
        self.words, self.count, self.minimum = sorted(rows), count, minimum
        chosen = vectors.detach().cpu().float()[[rows[word] for word in self.words]]
        if not bool(chosen.isfinite().all()):
            raise ValueError("vectors: expected finite numbers, found some that are not")
        self.vectors = nn.functional.normalize(chosen - chosen.mean(0), dim=1)
        self._top = min(required_count(self.words, count) + ROUNDING_MARGIN, len(self.words))
        self._rows = {word: row for row, word in enumerate(self.words)}
        self._cache: dict[str, tuple[str, ...]] = {}

    @classmethod
    def from_encoder(cls, model: nn.Module, tokenizer: Any, **options: Any) -> EmbeddingReplacements:
        """From the input embeddings of an encoder of Transformers, of the tokens that are whole words.

        Args:
            model, tokenizer: as loaded by `AutoModel` and `AutoTokenizer` from one folder.
            options: arguments of the class.

        Raises:
            ValueError: a tokenizer without whole words, or with ids that the model does not have.
        """
        words = whole_word_tokens(tokenizer)
        check_vocabulary(model, words)
        vectors: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
        return cls(list(words.values()), vectors.detach()[list(words)], **options)

    @classmethod
    def from_file(cls, path: str | Path, *, limit: int = 100_000, **options: Any) -> EmbeddingReplacements:
        """From word vectors in the text format of GloVe and word2vec.

        Each line holds a word and its numbers, separated by spaces. A first line with the number of words and of dimensions is
        optional.

        Args:
            path: the file.
            limit: words that are read. Files begin with the most frequent words; rare words have poor neighbours.
            options: arguments of the class.

        Raises:
            ValueError: a line that cannot be read, with its number.
        """
        return cls(*_read_vectors(Path(path), limit), **options)

    @cached_property
    def identity(self) -> str:
        words = hashlib.blake2b("\n".join(self.words).encode(), digest_size=16).hexdigest()
        vectors = fingerprint({"vectors": self.vectors})
        return f"neighbours {words} {vectors} count={self.count} minimum={self.minimum}"

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        self._find_neighbours({word for text in texts for word in text.words} - self._cache.keys())
        return [[self._cache[word] for word in text.words] for text in texts]

    def _find_neighbours(self, words: Iterable[str]) -> None:
        """Add the neighbours of these words to the cache."""
        rows = {word: self._rows.get(word, self._rows.get(word.lower())) for word in sorted(words)}
        self._cache |= {word: () for word, row in rows.items() if row is None}
        found = [(word, row) for word, row in rows.items() if row is not None]
        for batch in batches(found, max(1, MAX_COSINES // len(self.words))):
            own = self.vectors[[row for _, row in batch]]
            nearest = (own @ self.vectors.T).topk(self._top, dim=1).indices
            # computed again word by word, as a matrix product rounds differently with other words in the batch
            cosines = (own[:, None].double() * self.vectors[nearest]).sum(2)
            for (word, _), values, rows_of_word in zip(batch, cosines.tolist(), nearest.tolist(), strict=True):
                order = sorted((-value, row) for value, row in zip(values, rows_of_word, strict=True) if value >= self.minimum)
                self._cache[word] = distinct_words(word, (self.words[row] for _, row in order), self.count)


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
            word, *numbers = line.rstrip(" \r\n").rsplit(" ", width)  # some words contain spaces
            vector = _parse_numbers(numbers)
            if width < 2 or vector is None or len(vector) != width:
                raise ValueError(f"{path}, line {number}: expected a word and {max(width, 2)} numbers, found {line[:60]!r}")
            words.append(word)
            vectors.append(vector)
    if not words:
        raise ValueError(f"{path}: no word vectors; expected a word and its numbers in each line")
    return words, torch.from_numpy(np.stack(vectors))


def _parse_numbers(parts: Sequence[str]) -> NDArray[np.float32] | None:
    try:
        return np.array(parts, dtype=np.float32)
    except ValueError:
        return None
