"""Static embeddings as a model: the mean of fixed token vectors, without a network."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.models.base import record_spec
from limbeck.models.loaders import import_package

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME = "sentence_transformers"  # the loader that opens its folder


class StaticEncoder(nn.Module):
    """A static embedding as a model over padded ids: the mean of the vectors of a text's tokens, [B, L] → [B, D].

    Its table is that of the `SentenceTransformer`: what is trained here is what that one answers and saves. Special tokens
    around a text are left out, as there. `save_pretrained` writes a folder that Sentence Transformers loads.

    Args:
        static: what `static_embeddings` returned, or any `SentenceTransformer` whose first module is a `StaticEmbedding`; a
            table in half precision is widened.
        half: write the table in float16, which halves the file and changes a number by 1/2048 of it at most. It is trained and
            judged in float32.

    Raises:
        ValueError: a model without such a table.
    """

    around: Tensor

    def __init__(self, static: nn.Module, *, half: bool = False) -> None:
        super().__init__()
        first = next(static.children(), None)
        if not isinstance(getattr(first, "embedding", None), nn.EmbeddingBag):
            raise ValueError(f"{type(static).__name__} has no StaticEmbedding as its first module; see static_embeddings")
        self.half_in_file = half or first.embedding.weight.dtype == torch.float16  # type: ignore[union-attr]
        self.embedding: nn.EmbeddingBag = first.embedding.float()  # type: ignore[union-attr, assignment]
        self.tokenizer: Tokenizer = first.tokenizer  # type: ignore[union-attr, assignment]
        before, after = special_tokens_around(self.tokenizer)
        self.register_buffer("around", torch.tensor(before + after, dtype=torch.long), persistent=False)
        record_spec(self, NAME, {})  # a folder tells all the rest

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None) -> Tensor:
        """Mean over the tokens with mask 1; zero for a text without any. Token types, which some batches hold, are ignored."""
        counted = (input_ids[..., None] != self.around).all(-1)  # torch.isin has no counterpart in ONNX
        if attention_mask is not None:
            counted = counted & attention_mask.bool()
        vectors = F.embedding(input_ids, self.embedding.weight) * counted[..., None]
        return vectors.sum(1) / counted.sum(1, keepdim=True).clamp(min=1)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write it as a `SentenceTransformer` of one `StaticEmbedding`, in safetensors; that one loads it by its folder, in the
        precision of the file."""
        table = self.embedding.weight.detach().cpu().to(torch.float16 if self.half_in_file else torch.float32)
        static = import_package(NAME).SentenceTransformer(
            modules=[static_embedding_module(self.tokenizer, table)], device="cpu"
        )
        static.save_pretrained(str(folder), create_model_card=False)


def static_embedding_module(tokenizer: Tokenizer, table: Tensor) -> nn.Module:
    try:
        modules = importlib.import_module("sentence_transformers.sentence_transformer.modules")
    except ModuleNotFoundError:  # where they were before version 6
        modules = importlib.import_module("sentence_transformers.models")
    module: nn.Module = modules.StaticEmbedding(tokenizer, embedding_weights=table)
    return module


def special_tokens_around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids of the special tokens before and after a text."""
    texts = ("a", *tokenizer.get_vocab())  # one that is not empty once it is tokenized
    encoding = next(found for found in map(tokenizer.encode, texts) if 0 in found.special_tokens_mask)
    own = [position for position, special in enumerate(encoding.special_tokens_mask) if not special]
    return encoding.ids[: own[0]], encoding.ids[own[-1] + 1 :]
