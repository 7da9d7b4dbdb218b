"""Prompts as token ids: from tensors, lists, texts, items and files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.core.source import DataReader
from limbeck.data.items import Items

FORMS = "token ids [prompts, T], a list of lists of token ids, texts, Items of texts or tokens, or a file"


class Prompts:
    """The token ids of each prompt, of any length.

    Args:
        given: a tensor of token ids `[prompts, T]`, a list of lists of token ids or of texts, `Items` of texts or tokens, the
            path of a file (one prompt a line in .txt), or a mapping with the fields of `data.train` of a recipe. Files, and
            texts without a tokenizer, are read when a recipe starts.
        tokenizer: of texts: one of Transformers, or texts → token ids of each.
        name: of the argument, for messages.

    Raises:
        ValueError: no prompts; a prompt without tokens; something that is none of these.

    Attributes:
        data: what the recipe reads; None if it reads nothing.
    """

    def __init__(self, given: Any, tokenizer: Any = None, name: str = "prompts") -> None:
        self.name = name
        self.data: Any = None
        self._texts: list[str] | None = None
        self._rows: list[Tensor] | None = None
        if isinstance(given, str | Path):
            self.data = {"path": str(given), "label": False}
        elif isinstance(given, Mapping):
            self.data = {"label": False, **given}
        else:
            self._read(given)
        if self._texts is not None and tokenizer is not None:
            self._tokenize(lambda texts: open_ended(tokenizer, texts))

    def load(self, reader: DataReader) -> None:
        """Reads a file, and tokenizes texts."""
        if self.data is not None:
            path = str(self.data.get("path", ""))
            self._read(_lines(path) if path.endswith(".txt") else reader.texts(self.data))
        if self._texts is not None:
            self._tokenize(reader.tokenize)

    @property
    def loaded(self) -> bool:
        return self._rows is not None

    @property
    def rows(self) -> list[Tensor]:
        """Token ids, int64 `[T]` of each prompt."""
        if self._rows is not None:
            return self._rows
        if self.data is not None:
            raise ValueError(f"own_samples: {self.name} {self.data!r} is not read yet; a recipe reads it when the run starts")
        raise ValueError(f"own_samples: {self.name} are texts; pass tokenizer=, or token ids")

    @cached_property
    def longest(self) -> int:
        return max(len(row) for row in self.rows)

    @cached_property
    def largest(self) -> int:
        """The largest token id."""
        return max(int(row.max()) for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _read(self, given: Any) -> None:
        if isinstance(given, Items):
            inputs = given.fetch(torch.arange(len(given)))
            given = inputs if isinstance(inputs, list) else _unpadded(inputs, self.name)
        if isinstance(given, Tensor) and given.ndim != 2:
            raise ValueError(f"own_samples: {self.name} have shape {list(given.shape)}; expected {FORMS}")
        if not isinstance(given, Tensor | Sequence):
            raise ValueError(f"own_samples: {self.name} is {type(given).__name__}; expected {FORMS}")
        if not len(given):
            raise ValueError(f"own_samples: {self.name} are empty; expected {FORMS}")
        if isinstance(given[0], str):
            self._texts = list(given)
        else:
            self._set(given)

    def _tokenize(self, tokenize: Callable[[list[str]], Sequence[Sequence[int]]]) -> None:
        assert self._texts is not None
        self._set(tokenize(self._texts))
        self._texts = None

    def _set(self, rows: Any) -> None:
        try:
            found = [torch.as_tensor(row, dtype=torch.long) for row in rows]
        except (TypeError, ValueError) as error:
            raise ValueError(f"own_samples: {self.name} are no token ids ({error}); expected {FORMS}") from error
        for number, row in enumerate(found):
            if row.ndim != 1 or not len(row):
                what = self._texts[number] if self._texts is not None else row.tolist()
                raise ValueError(
                    f"own_samples: {self.name}, row {number} is {what!r}, without any token; leave such prompts out, or let "
                    "the tokenizer add a token that begins a text"
                )
        self._rows = found


def open_ended(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of texts that go on: a token that the tokenizer puts at the end of every text is left out.

    What follows such a token would be another text.

    Args:
        tokenizer: one of Transformers, or a function: texts → token ids of each.
    """
    encoded = tokenizer(list(texts))
    rows: list[list[int]] = encoded["input_ids"] if isinstance(encoded, Mapping) else encoded
    ends = {getattr(tokenizer, name, None) for name in ("eos_token_id", "sep_token_id")} - {None}
    return [row[:-1] if len(row) > 1 and row[-1] in ends else row for row in rows]


def _lines(path: str) -> list[str]:
    """The lines of a file that are not empty."""
    text = Path(os.path.expandvars(os.path.expanduser(path))).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]


def _unpadded(inputs: Any, name: str) -> list[Tensor]:
    """Rows of tokens without padding."""
    if isinstance(inputs, Mapping) and "input_ids" in inputs:
        return [row[mask.bool()] for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)]
    if isinstance(inputs, Tensor) and not inputs.is_floating_point():
        return list(inputs)
    raise ValueError(f"own_samples: {name} are Items of neither texts nor tokens; expected {FORMS}")
