"""Static sentence embeddings: one vector per token, computed once by a sentence encoder."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from limbeck.core.model_io import preserve_modes
from limbeck.data.content_keys import fingerprint
from limbeck.models.architectures.sentence_encoder import SentenceEncoder
from limbeck.models.architectures.static_encoder import NAME, StaticEncoder, special_tokens_around, static_embedding_module
from limbeck.models.loaders import import_package
from limbeck.models.shrink.principal_directions import principal_directions, second_moment
from limbeck.models.shrink.tokenizer_pieces import count_tokens, tokenizer_from_spec

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

UNUSED = re.compile(r"\[unused\d+\]$")  # free entries of the vocabulary of BERT

_last_student: dict[str, nn.Module] = {}  # the last student by teacher and settings, since it takes minutes to make


def static_embeddings(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerFast | None = None,
    *,
    dimensions: int | None = 256,
    sif: float = 1e-4,
    texts: Sequence[str] | None = None,
    pooling: Literal["mean", "cls"] = "mean",
    batch_size: int = 1024,
) -> nn.Module:
    """Makes a `SentenceTransformer` that averages fixed token vectors: hundreds of times faster than its teacher.

    The encoder embeds each token alone, between the special tokens around a text, with its own pooling. The vectors are
    centred and projected on their `dimensions` leading principal directions; then frequent tokens are weighted down,
    v ← v · a/(a + p), where p is the probability of the token: counted in `texts`, or by Zipf's law, p ∝ 1/(rank + 1) with
    the rank in the vocabulary, which starts with frequent tokens. Special and unused tokens have zero vectors. For a small
    table trim the vocabulary first (`trim_vocabulary`).

    The result needs no data. Training on sentence embeddings of the teacher improves it much: `StaticEncoder` is the trainable
    model of the same table.

    Args:
        encoder: a `SentenceTransformer`, or a Transformers encoder with its `tokenizer`.
        tokenizer: the fast tokenizer of the encoder; None: that of the `SentenceTransformer`.
        dimensions: of the vectors; None: those of the encoder, without projection.
        sif: a > 0; larger values weight frequent tokens down less.
        texts: texts in which probabilities are counted.
        pooling: of a Transformers encoder: mean over all tokens, special ones included, or the first token.
        batch_size: tokens per forward pass.

    Returns:
        A `SentenceTransformer` with one module, its native `StaticEmbedding`, on the CPU.

    Raises:
        MissingPackageError: sentence-transformers is not installed.
        ValueError: a missing or slow tokenizer, more dimensions than the encoder has or than there are tokens, `sif` or
            `batch_size` not positive, an unknown `pooling`.

    Source: Tulkens & van Dongen 2024 (Model2Vec); Arora et al. 2017 (SIF), "A Simple but Tough-to-Beat Baseline for
    Sentence Embeddings".
    """
    if sif <= 0 or batch_size < 1 or pooling not in ("mean", "cls"):
        raise ValueError(
            f"sif and batch_size must be positive and pooling 'mean' or 'cls', got {sif}, {batch_size}, {pooling!r}"
        )
    library = import_package(NAME)
    whole = isinstance(encoder, library.SentenceTransformer)
    reader = _backend_tokenizer(getattr(encoder, "tokenizer", None) if tokenizer is None and whole else tokenizer)
    vectors = _token_vectors(encoder, reader, None if whole else pooling, batch_size)
    ordinary = _text_tokens(reader)
    table = torch.zeros(len(vectors), vectors.shape[1] if dimensions is None else dimensions)
    table[ordinary] = _project(vectors[ordinary], dimensions) * _sif_weights(reader, ordinary, sif, texts)[:, None]
    made: nn.Module = library.SentenceTransformer(modules=[static_embedding_module(reader, table)], device="cpu")
    return made


def static_student(
    teacher: nn.Module,
    *,
    dimensions: int | None = 256,
    sif: float = 1e-4,
    texts: Sequence[str] | None = None,
    batch_size: int = 1024,
    half: bool = False,
) -> StaticEncoder:
    """Returns `static_embeddings` of a sentence encoder as a trainable model; the arguments are the same.

    Embedding all tokens takes minutes, so the last result is cached: each seed and the control start from a copy of it.

    Args:
        half: see `StaticEncoder`.

    Raises:
        ValueError: the teacher is not a `SentenceEncoder`.
    """
    if not isinstance(teacher, SentenceEncoder):
        kind = type(teacher).__name__
        raise ValueError(f"static_embeddings: the teacher is a {kind}; expected a sentence encoder (model: {NAME})")
    settings = {"dimensions": dimensions, "sif": sif, "texts": None if texts is None else list(texts)}
    key = fingerprint(teacher.state_dict()) + json.dumps(settings)
    if key not in _last_student:
        whole = teacher.sentence_transformer
        static = static_embeddings(whole, dimensions=dimensions, sif=sif, texts=texts, batch_size=batch_size)
        _last_student.clear()
        _last_student[key] = StaticEncoder(static)
    student = copy.deepcopy(_last_student[key])
    assert isinstance(student, StaticEncoder)
    student.half_in_file = half
    return student


def _backend_tokenizer(tokenizer: Any) -> Tokenizer:
    """Returns a copy of the backend of a fast tokenizer without truncation and padding."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"expected a SentenceTransformer, or an encoder with its fast tokenizer; got {type(tokenizer).__name__}"
        )
    return tokenizer_from_spec(json.loads(tokenizer.backend_tokenizer.to_str()))


def _text_tokens(reader: Tokenizer) -> list[int]:
    """Returns the ids of ordinary tokens, neither special nor unused, in ascending order."""
    special = {index for index, token in reader.get_added_tokens_decoder().items() if token.special}
    names = reader.get_vocab()
    return sorted(index for name, index in names.items() if index not in special and not UNUSED.match(name))


def _token_vectors(encoder: nn.Module, reader: Tokenizer, pooling: str | None, batch_size: int) -> Tensor:
    """Embeds each token alone, by id: [vocabulary, D]. `pooling` is None if the encoder pools itself."""
    before, after = special_tokens_around(reader)
    device = next(encoder.parameters()).device
    count, parts = max(reader.get_vocab().values()) + 1, []
    with torch.no_grad(), preserve_modes(encoder):
        encoder.eval()
        for start in range(0, count, batch_size):
            own = torch.arange(start, min(count, start + batch_size))[:, None]
            around = [torch.tensor(ids, dtype=torch.long).expand(len(own), -1) for ids in (before, after)]
            ids = torch.cat((around[0], own, around[1]), dim=1).to(device)
            batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if pooling is None:
                parts.append(encoder(batch)["sentence_embedding"].float().cpu())
                continue
            tokens = encoder.base_model(**batch).last_hidden_state  # type: ignore[operator]
            parts.append((tokens.mean(1) if pooling == "mean" else tokens[:, 0]).float().cpu())
    return torch.cat(parts)


def _project(vectors: Tensor, dimensions: int | None) -> Tensor:
    if dimensions is None:
        return vectors
    most = min(vectors.shape)
    if not 1 <= dimensions <= most:
        raise ValueError(f"dimensions={dimensions} must be between 1 and {most}: {list(vectors.shape)} tokens and features")
    vectors = vectors - vectors.mean(0)
    return vectors @ principal_directions(second_moment(vectors), dimensions)[0].float()


def _sif_weights(reader: Tokenizer, ordinary: list[int], sif: float, texts: Sequence[str] | None) -> Tensor:
    """Returns a/(a + p) for each of the tokens `ordinary`."""
    if texts is None:
        frequency = 1 / torch.arange(2, len(ordinary) + 2, dtype=torch.float64)
    else:
        counts = count_tokens(reader, texts)
        frequency = torch.tensor([float(counts[str(reader.id_to_token(index))]) for index in ordinary], dtype=torch.float64)
    probability = frequency / frequency.sum().clamp(min=1e-300)
    return (sif / (sif + probability)).float()
