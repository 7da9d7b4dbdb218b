"""Data sets of words with tags."""

from __future__ import annotations

from collections.abc import Iterator

from limbeck.data import Items, load_tagged_words, tokenize_words
from limbeck.tasks.data_format import DataFormat, TextSource


class TagFormat(DataFormat):
    """Lists of words and tags in tables, or CoNLL files; see `limbeck.data.load_tagged_words`."""

    augmentation_problem = "a word in place of another has another tag"
    reads_unlabelled = True

    def load(self, source: TextSource) -> Items:
        if isinstance(source.input, list) or isinstance(source.label, list):
            raise ValueError("words are in one column, and their tags in another; name one `input` and one `label`")
        sentences = load_tagged_words(source.path, source.split, words=source.input, tags=source.label, limit=source.limit)
        return tokenize_words(sentences, source.tokenizers, source.max_length)

    def texts(self, path: str, split: str | None) -> Iterator[str]:
        for words in load_tagged_words(path, split, tags=False).words:
            yield " ".join(words)
