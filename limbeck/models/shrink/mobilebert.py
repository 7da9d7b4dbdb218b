"""Makes a MobileBERT: as deep as the teacher and with its hidden size, but with bottlenecks inside the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limbeck.models.shrink.embedding_tables import EmbeddingTables, embedding_tables, fill
from limbeck.models.shrink.principal_directions import centred, principal_directions, second_moment
from limbeck.models.shrink.transformers_variants import class_in_family, copy_matching, label_config, match_teacher

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def mobilebert(
    teacher: PreTrainedModel,
    *,
    layers: int | None = None,
    intra: int | None = None,
    heads: int | None = None,
    feed_forward: int | None = None,
    feed_forward_networks: int = 4,
    embedding: int | None = None,
    trigram: bool = True,
) -> PreTrainedModel:
    """Makes a MobileBERT with the vocabulary, head and hidden size of the teacher, so that feature maps need no adapters.

    Each layer projects the stream from H to `intra`, applies attention and several small feed-forward networks, and projects
    back; its norms are a scale and a shift (NoNorm), which cost less than LayerNorm. Attention maps match one by one if
    `intra` is divisible by the number of heads of the teacher.

    The embedding is the teacher's: with x = w + p + t and L = diag(γ)·C/σ, C subtracting the mean over the features and σ
    the root mean square deviation of x, LayerNorm is approximately L·x + β. The words L·w become a table [vocabulary, e] and
    e of the 3·e columns of the input layer, their best approximation of rank e; positions L·p and types L·t are full tables.
    The other 2·e columns belong to the next and the previous token (the trigram input: a convolution of width 3 over the
    words, which compensates for the small table) and start at zero. The layers are initialised randomly; parts of the head
    with equal name and shape are copied (pooler and classifier of BERT).

    Args:
        teacher: an encoder with token embeddings, such as BERT, RoBERTa, DistilBERT or MPNet.
        layers: default: the teacher's.
        intra: width inside a layer, default: a quarter of the hidden size.
        heads: default: the teacher's if they divide `intra`, otherwise the largest smaller number that does.
        feed_forward: width inside a feed-forward network, default 4·intra.
        feed_forward_networks: number of feed-forward networks per layer.
        embedding: e, default: a quarter of the hidden size.
        trigram: whether the input of a token includes its neighbours.

    Returns:
        `MobileBertModel` or `MobileBertFor…`, in the teacher's precision and on its device, in evaluation mode.

    Raises:
        ValueError: heads that do not divide `intra` (with those that do), a size below 1 or above the hidden size, a head
            that MobileBERT does not have, a teacher without token embeddings.

    Source: Sun et al. 2020 (arXiv:2004.02984).
    """
    tables, hidden = embedding_tables(teacher), teacher.config.hidden_size
    intra = max(1, hidden // 4) if intra is None else intra
    embedding = max(1, hidden // 4) if embedding is None else embedding
    sizes = {
        "num_hidden_layers": teacher.config.num_hidden_layers if layers is None else layers,
        "intra_bottleneck_size": intra,
        "embedding_size": embedding,
        "intermediate_size": 4 * intra if feed_forward is None else feed_forward,
        "num_feedforward_networks": feed_forward_networks,
    }
    _check_sizes(sizes, hidden)
    sizes["num_attention_heads"] = _heads(teacher.config.num_attention_heads, intra, heads)
    student = _build_student(teacher, tables, sizes, trigram)
    _fill_embedding(student, tables, embedding, trigram)
    _copy_head(student, teacher)
    return student


def _check_sizes(sizes: dict[str, int], hidden: int) -> None:
    wrong = [f"{name}={size}" for name, size in sizes.items() if size < 1]
    wrong += [f"{name}={sizes[name]}" for name in ("intra_bottleneck_size", "embedding_size") if sizes[name] > hidden]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: sizes must be at least 1, and widths at most the hidden size {hidden}")


def _heads(theirs: int, intra: int, heads: int | None) -> int:
    fitting = [count for count in range(1, intra + 1) if intra % count == 0]
    heads = max(count for count in fitting if count <= theirs) if heads is None else heads
    if heads not in fitting:
        raise ValueError(f"heads={heads} do not divide intra={intra}; these do: {', '.join(map(str, fitting))}")
    return heads


def _build_student(teacher: PreTrainedModel, tables: EmbeddingTables, sizes: dict[str, int], trigram: bool) -> PreTrainedModel:
    from transformers import MobileBertConfig

    kept: dict[str, Any] = {name: getattr(teacher.config, name) for name in ("vocab_size", "hidden_size", "pad_token_id")}
    config = MobileBertConfig(
        max_position_embeddings=teacher.config.max_position_embeddings if tables.positions is None else len(tables.positions),
        type_vocab_size=1 if tables.types is None else len(tables.types),
        trigram_input=trigram,
        **kept,
        **sizes,
        **label_config(teacher),
    )
    return match_teacher(teacher, class_in_family(teacher, "MobileBert")(config))


def _fill_embedding(student: PreTrainedModel, tables: EmbeddingTables, embedding: int, trigram: bool) -> None:
    embeddings, linear = student.base_model.embeddings, _as_linear(tables)
    words = tables.words @ linear.T
    passes = trigram or embedding < len(linear)  # otherwise MobileBERT has no input layer
    directions = principal_directions(second_moment(words), embedding)[0].float() if passes else torch.eye(embedding).to(words)
    fill(embeddings.word_embeddings, words @ directions)
    if tables.positions is not None:
        fill(embeddings.position_embeddings, tables.positions @ linear.T)
    fill(embeddings.token_type_embeddings, None if tables.types is None else tables.types @ linear.T)
    own = slice(embedding, 2 * embedding) if trigram else slice(None)  # columns: next token, this one, previous one
    with torch.no_grad():
        embeddings.embedding_transformation.weight.zero_()
        embeddings.embedding_transformation.weight[:, own] = directions.to(embeddings.embedding_transformation.weight)
        embeddings.embedding_transformation.bias.zero_()
        embeddings.LayerNorm.bias.copy_(tables.shift)


def _as_linear(tables: EmbeddingTables) -> Tensor:
    """L [hidden, e] with LayerNorm and projection ≈ L·x + …, for the mean deviation instead of that of each token."""
    moment = centred(tables.moment())
    deviation = (moment.trace() / len(moment)).sqrt().float()
    linear = torch.diag(tables.weight) / deviation
    linear = linear - linear.mean(1, keepdim=True)  # times C
    return tables.apply_projection(linear)


def _copy_head(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    parts = [(student, teacher), (student.base_model, teacher.base_model)]
    for ours, theirs in parts:
        for name, part in theirs.named_children():
            own = getattr(ours, name, None)
            if own is not None and part is not teacher.base_model and name not in ("embeddings", "encoder"):
                copy_matching(own, part)
