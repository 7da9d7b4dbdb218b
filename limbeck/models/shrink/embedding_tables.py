"""How a model embeds its tokens, as tables: words, positions, token types, and the norm above their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from limbeck.models.shrink.principal_directions import second_moment

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROJECTIONS = ("embeddings_project", "encoder.embedding_hidden_mapping_in")  # ELECTRA's and ALBERT's


@dataclass(frozen=True)
class EmbeddingTables:
    """h = P·(γ ⊙ LN(w + p + t) + β) + b. All in float32; a table that the model lacks is None.

    Attributes:
        words: w, [vocabulary, e].
        positions: p, [length, e], the row of the first token first.
        types: t, [types, e].
        weight: γ, [e].
        project: P, [hidden, e]; None where the embedding has the hidden size.
        shift: P·β + b, or β alone, [hidden].
    """

    words: Tensor
    positions: Tensor | None
    types: Tensor | None
    weight: Tensor
    project: Tensor | None
    shift: Tensor

    def moment(self) -> Tensor:
        """E[xxᵀ] of x = w + p + t, each row of each table as likely as the others: [e, e]."""
        parts = [part for part in (self.words, self.positions, self.types) if part is not None]
        mean = torch.stack([part.double().mean(0) for part in parts]).sum(0)
        spread = [second_moment(part - part.mean(0)) for part in parts]
        return torch.stack(spread).sum(0) + torch.outer(mean, mean)

    def apply_projection(self, matrix: Tensor) -> Tensor:
        """P·M for a matrix [e, …]: what stands behind the norm."""
        return matrix if self.project is None else self.project @ matrix

    def words_at_first_layer(self) -> Tensor:
        """Each word at the mean position and type as it enters the first layer, [vocabulary, hidden]."""
        sums = self.words + sum(part.mean(0) for part in (self.positions, self.types) if part is not None)
        return self.apply_projection((self.weight * nn.functional.layer_norm(sums, sums.shape[-1:])).T).T + self.shift


def embedding_tables(model: PreTrainedModel) -> EmbeddingTables:
    """The tables of `model`.

    Raises:
        ValueError: a model without token embeddings, without a norm above them, or with wider positions (MobileBERT).
    """
    words = token_embedding(model)
    holder = next(module for module in model.modules() if any(child is words for child in module.children()))
    children = dict(holder.named_children())
    norm = next((child for name, child in children.items() if "norm" in name.lower()), None)
    if norm is None:
        raise ValueError(f"{type(model).__name__} has no norm above its embeddings; an encoder of BERT's kind is needed")
    linear = next((module for path, module in model.base_model.named_modules() if path in PROJECTIONS), None)
    rows, positions = words.weight.detach().float(), _table(children.get("position_embeddings"), first_position(model))
    if positions is not None and positions.shape[1] != rows.shape[1]:
        raise ValueError(f"{type(model).__name__} adds positions behind a projection; an encoder of BERT's kind is needed")
    bias = _vector(norm, "bias", torch.zeros_like(rows[0]))
    return EmbeddingTables(
        words=rows,
        positions=positions,
        types=_table(children.get("token_type_embeddings")),
        weight=_vector(norm, "weight", torch.ones_like(rows[0])),
        project=None if linear is None else linear.weight.detach().float(),
        shift=bias if linear is None else nn.functional.linear(bias, linear.weight.float(), linear.bias.float()).detach(),
    )


def token_embedding(model: PreTrainedModel) -> nn.Embedding:
    """The module that turns token ids into vectors.

    Raises:
        ValueError: the model has none, such as one that reads images.
    """
    words = model.get_input_embeddings()
    if not isinstance(words, nn.Embedding):
        raise ValueError(f"{type(model).__name__} has no token embeddings; a text model is needed")
    return words


def first_position(model: PreTrainedModel) -> int:
    """The row of the position table that the first token reads: 0, or for RoBERTa and its like the padding token's id + 1."""
    for path, module in model.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.padding_idx + 1
    return 0


def fill(embedding: nn.Embedding, rows: Tensor | None) -> None:
    """Put `rows` into a table of at least their number; without any, zeros."""
    with torch.no_grad():
        embedding.weight.zero_()
        if rows is not None:
            embedding.weight[: len(rows)] = rows.to(embedding.weight)


def _table(embedding: nn.Module | None, first: int = 0) -> Tensor | None:
    return embedding.weight.detach().float()[first:] if isinstance(embedding, nn.Embedding) else None


def _vector(module: nn.Module | None, name: str, default: Tensor) -> Tensor:
    found = getattr(module, name, None)
    return found.detach().float() if isinstance(found, Tensor) else default
