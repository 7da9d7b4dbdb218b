"""Sentence embeddings without a network: one vector for each token, taken from a sentence encoder once."""

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

UNUSED = re.compile(r"\[unused\d+\]$")  # places that BERT's vocabulary keeps free

_last_student: dict[str, nn.Module] = {}  # the last student that was made from a teacher: each token had to go through it


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
    """A `SentenceTransformer` that averages fixed token vectors: hundreds of times faster than its teacher.

    Each token goes through the encoder on its own, between the special tokens that a text gets, and is pooled as the
    encoder pools. The vectors are centred and projected on their `dimensions` leading principal directions; then frequent
    tokens are weighed down, v ← v · a/(a + p), with p the token's probability: counted in `texts`, or by Zipf's law,
    p ∝ 1/(rank + 1) with the rank in the vocabulary, which starts with the frequent tokens. Special and unused tokens get
    the zero vector. Trim the vocabulary first (`trim_vocabulary`) where the table should be small.

    The result is a starting point that needs no data. Trained on the teacher's sentence embeddings it becomes much better:
    `StaticEncoder` is the same table as a model for that.

    Args:
        encoder: a `SentenceTransformer`, or a Transformers encoder with its `tokenizer`.
        tokenizer: the encoder's fast tokenizer; None takes that of the `SentenceTransformer`.
        dimensions: of the vectors; None keeps the encoder's and does not rotate.
        sif: a; 0 < a, and the larger, the less frequent tokens are weighed down.
        texts: where probabilities are counted instead of assumed.
        pooling: of a Transformers encoder: mean over the tokens, special ones included, or the first token.
        batch_size: tokens that go through the encoder at once.

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
    """`static_embeddings` of a sentence encoder as a model that can be trained; for the arguments see there.

    Every token goes through the teacher, which takes minutes, so the last result is kept: each seed, and the control, starts
    from a copy of it.

    Args:
        half: as of `StaticEncoder`.

    Raises:
        ValueError: a teacher that is no `SentenceEncoder`.
    """
    if not isinstance(teacher, SentenceEncoder):
        kind = type(teacher).__name__
        raise ValueError(f"static_embeddings: a sentence encoder is needed (model: {NAME}), and the teacher is a {kind}")
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
    """A copy of the tokenizer's backend without truncation and padding."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"a SentenceTransformer, or an encoder with its fast tokenizer, is needed; got {type(tokenizer).__name__}"
        )
    return tokenizer_from_spec(json.loads(tokenizer.backend_tokenizer.to_str()))


def _text_tokens(reader: Tokenizer) -> list[int]:
    """Ids of the tokens that stand for text, in ascending order."""
    special = {index for index, token in reader.get_added_tokens_decoder().items() if token.special}
    names = reader.get_vocab()
    return sorted(index for name, index in names.items() if index not in special and not UNUSED.match(name))


def _token_vectors(encoder: nn.Module, reader: Tokenizer, pooling: str | None, batch_size: int) -> Tensor:
    """What the encoder makes of each token alone, by id: [vocabulary, D]. `pooling` None: the encoder pools itself."""
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
    """a/(a + p) for each of the tokens `ordinary`."""
    if texts is None:
        frequency = 1 / torch.arange(2, len(ordinary) + 2, dtype=torch.float64)
    else:
        counts = count_tokens(reader, texts)
        frequency = torch.tensor([float(counts[str(reader.id_to_token(index))]) for index in ordinary], dtype=torch.float64)
    probability = frequency / frequency.sum().clamp(min=1e-300)
    return (sif / (sif + probability)).float()
