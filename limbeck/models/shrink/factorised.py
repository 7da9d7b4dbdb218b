"""Makes a student with a factorised embedding table, as an ELECTRA or an ALBERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from limbeck.models.shrink.depth import init_from_teacher
from limbeck.models.shrink.embedding_tables import EmbeddingTables, embedding_tables, fill
from limbeck.models.shrink.principal_directions import layernorm_projection
from limbeck.models.shrink.transformers_variants import class_in_family, copy_matching, label_config, match_teacher

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")  # same layer weights as ELECTRA
SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)


def factorised(
    teacher: PreTrainedModel,
    embedding: int = 128,
    *,
    shared: bool = False,
    initialise: Literal["svd", "random"] = "svd",
) -> tuple[PreTrainedModel, float]:
    """Replaces the embedding tables [vocabulary, H] of the teacher by [vocabulary, e] and a projection e → H.

    The student is an ELECTRA, or with `shared` an ALBERT, which applies one layer as often as the teacher has layers. An
    ELECTRA student copies the layers of the teacher, and the parts of the head with equal name and shape; its head for
    sequence classification has another activation and must be trained. The layer of ALBERT is initialised randomly. For fewer
    or smaller layers shrink the teacher first: `factorised(init_from_teacher(teacher, [0, 3, 6]), 64)`. After
    `trim_vocabulary` the e dimensions represent the words of the task better.

    With `"svd"` the embedding is computed from the teacher's. BERT computes γ ⊙ LN(w + p + t) + β in H dimensions, ELECTRA
    and ALBERT P·(γ' ⊙ LN(w' + p' + t') + β') + b with LN in e. Let V [H, e] be the orthonormal map that commutes with LayerNorm
    and keeps the largest share of E[xxᵀ], x = w + p + t; then w' = Vᵀw (the best approximation of rank e − 1, plus the mean),
    likewise p' and t', γ' = 1, β' = 0, P = √(share·H/e)·diag(γ)·V and b = β. The result is exact if the tables
    of the teacher have rank e − 1 after their mean is subtracted.

    Args:
        teacher: BERT, RoBERTa, XLM-RoBERTa, CamemBERT or ELECTRA.
        embedding: e, between 2 and H − 1.
        shared: use one layer for all depths.
        initialise: the embedding, from the teacher or randomly.

    Returns:
        The student, in evaluation mode, and the share of the variance of x that V keeps, 0 to 1 (NaN for `"random"`).

    Raises:
        ValueError: another family, `embedding` out of range, an unknown `initialise`, a head that the student's
            family does not have.

    Source: Lan et al. 2020 (ALBERT, arXiv:1909.11942); Clark et al. 2020 (ELECTRA, arXiv:2003.10555).
    """
    kind = teacher.config.model_type
    if kind not in FAMILIES:
        raise ValueError(f"factorised takes {', '.join(FAMILIES)}, got {kind}, whose layers differ from those of ELECTRA")
    if initialise not in ("svd", "random"):
        raise ValueError(f"initialise={initialise!r}: use 'svd' or 'random'")
    tables = embedding_tables(teacher)
    if not 2 <= embedding < tables.words.shape[1]:
        raise ValueError(f"embedding={embedding} must be between 2 and {tables.words.shape[1] - 1}, below the teacher's width")
    student = _build_student(teacher, tables, embedding, "Albert" if shared else "Electra")
    share = _fill_embedding(student, tables) if initialise == "svd" else float("nan")
    if not shared:
        _copy_layers_and_head(student, teacher)
    return student, share


def factorised_student(
    teacher: PreTrainedModel,
    embedding: int = 128,
    *,
    layers: Sequence[int] | None = None,
    shared: bool = False,
    initialise: Literal["svd", "random"] = "svd",
) -> PreTrainedModel:
    """Returns the student of `factorised`, for recipes, with some `layers` of the teacher (from 0) or all."""
    start = teacher if layers is None else init_from_teacher(teacher, layers)
    return factorised(start, embedding, shared=shared, initialise=initialise)[0]


def _build_student(teacher: PreTrainedModel, tables: EmbeddingTables, embedding: int, family: str) -> PreTrainedModel:
    """Builds a student of `family` with the head and sizes of the teacher, except the embedding."""
    import transformers

    fields: dict[str, Any] = {field: getattr(teacher.config, field) for field in SHARED}
    config = getattr(transformers, f"{family}Config")(
        embedding_size=embedding,
        max_position_embeddings=_rows(tables.positions),
        type_vocab_size=_rows(tables.types),
        **fields,
        **label_config(teacher),
    )
    return match_teacher(teacher, class_in_family(teacher, family)(config))


def _rows(table: torch.Tensor | None) -> int:
    return 1 if table is None else len(table)


def _fill_embedding(student: PreTrainedModel, tables: EmbeddingTables) -> float:
    """Fills the tables of the student by the formula above, and returns the share of the variance that is kept."""
    embeddings, width = student.base_model.embeddings, student.config.embedding_size
    projection, share = layernorm_projection(tables.moment(), width)
    projection = projection.float()
    scale = (share * len(projection) / width) ** 0.5
    fill(embeddings.word_embeddings, tables.words @ projection)
    fill(embeddings.position_embeddings, None if tables.positions is None else tables.positions @ projection)
    fill(embeddings.token_type_embeddings, None if tables.types is None else tables.types @ projection)
    linear = _projection(student)
    with torch.no_grad():
        linear.weight.copy_(tables.apply_projection(tables.weight[:, None] * projection * scale))
        linear.bias.copy_(tables.shift)
    return share


def _copy_layers_and_head(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    copy_matching(student.base_model.encoder, teacher.base_model.encoder)
    if teacher is teacher.base_model:
        return
    for name, part in teacher.named_children():
        if part is not teacher.base_model and hasattr(student, name):
            copy_matching(getattr(student, name), part)


def _projection(student: PreTrainedModel) -> nn.Linear:
    base = student.base_model
    found: nn.Linear = getattr(base, "embeddings_project", None) or base.encoder.embedding_hidden_mapping_in
    return found
