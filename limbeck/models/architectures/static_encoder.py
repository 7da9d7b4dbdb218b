"""Static embeddings as a model: the mean of the vectors of the tokens, without a network."""

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

NAME = "sentence_transformers"  # name of the loader of its folder


class StaticEncoder(nn.Module):
    """Static embeddings over padded ids: the mean of the vectors of the tokens, [B, L] → [B, D].

    It shares its table with the `SentenceTransformer`, so that training changes both. Special tokens around a text are ignored,
    as there. `save_pretrained` writes a folder that Sentence Transformers loads.

    Args:
        static: from `static_embeddings`, or any `SentenceTransformer` whose first module is a `StaticEmbedding`; a table in
            half precision is converted to float32.
        half: save the table in float16, which halves the file, with a relative error up to 1/2048. Training and evaluation use
            float32.

    Raises:
        ValueError: the first module is not a `StaticEmbedding`.
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
        record_spec(self, NAME, {})  # the folder has everything else

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None) -> Tensor:
        """Returns the mean over tokens with mask 1, zero if there are none. Token types are ignored."""
        counted = (input_ids[..., None] != self.around).all(-1)  # ONNX has no operator for torch.isin
        if attention_mask is not None:
            counted = counted & attention_mask.bool()
        vectors = F.embedding(input_ids, self.embedding.weight) * counted[..., None]
        return vectors.sum(1) / counted.sum(1, keepdim=True).clamp(min=1)

    def save_pretrained(self, folder: str | Path) -> None:
        """Saves a `SentenceTransformer` of one `StaticEmbedding`, with safetensors; it loads in the precision of the file."""
        table = self.embedding.weight.detach().cpu().to(torch.float16 if self.half_in_file else torch.float32)
        static = import_package(NAME).SentenceTransformer(
            modules=[static_embedding_module(self.tokenizer, table)], device="cpu"
        )
        static.save_pretrained(str(folder), create_model_card=False)


def static_embedding_module(tokenizer: Tokenizer, table: Tensor) -> nn.Module:
    """Builds the `StaticEmbedding` of the installed version of Sentence Transformers."""
    try:
        modules = importlib.import_module("sentence_transformers.sentence_transformer.modules")
    except ModuleNotFoundError:  # before version 6
        modules = importlib.import_module("sentence_transformers.models")
    module: nn.Module = modules.StaticEmbedding(tokenizer, embedding_weights=table)
    return module


def special_tokens_around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Returns the ids of the special tokens before and after a text."""
    texts = ("a", *tokenizer.get_vocab())  # the first that does not tokenize to nothing
    encoding = next(found for found in map(tokenizer.encode, texts) if 0 in found.special_tokens_mask)
    own = [position for position, special in enumerate(encoding.special_tokens_mask) if not special]
    return encoding.ids[: own[0]], encoding.ids[own[-1] + 1 :]
