"""The embedding of a model as tables: words, positions, token types, and the LayerNorm after their sum."""

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
    """h = P·(γ ⊙ LN(w + p + t) + β) + b, in float32; a table that the model does not have is None.

    Attributes:
        words: w, [vocabulary, e].
        positions: p, [length, e], starting with the row of the first token.
        types: t, [types, e].
        weight: γ, [e].
        project: P, [hidden, e]; None if e is the hidden size.
        shift: P·β + b, or β alone, [hidden].
    """

    words: Tensor
    positions: Tensor | None
    types: Tensor | None
    weight: Tensor
    project: Tensor | None
    shift: Tensor

    def moment(self) -> Tensor:
        """E[xxᵀ] of x = w + p + t, with all rows of a table equally likely: [e, e]."""
        parts = [part for part in (self.words, self.positions, self.types) if part is not None]
        mean = torch.stack([part.double().mean(0) for part in parts]).sum(0)
        spread = [second_moment(part - part.mean(0)) for part in parts]
        return torch.stack(spread).sum(0) + torch.outer(mean, mean)

    def apply_projection(self, matrix: Tensor) -> Tensor:
        """P·M for a matrix [e, …]: applies the projection after the norm."""
        return matrix if self.project is None else self.project @ matrix

    def words_at_first_layer(self) -> Tensor:
        """Input of the first layer for each word at the mean position and type, [vocabulary, hidden]."""
        sums = self.words + sum(part.mean(0) for part in (self.positions, self.types) if part is not None)
        return self.apply_projection((self.weight * nn.functional.layer_norm(sums, sums.shape[-1:])).T).T + self.shift


def embedding_tables(model: PreTrainedModel) -> EmbeddingTables:
    """Returns the embedding tables of `model`.

    Raises:
        ValueError: no token embeddings, no norm after them, or wider positions (MobileBERT).
    """
    words = token_embedding(model)
    holder = next(module for module in model.modules() if any(child is words for child in module.children()))
    children = dict(holder.named_children())
    norm = next((child for name, child in children.items() if "norm" in name.lower()), None)
    if norm is None:
        raise ValueError(f"{type(model).__name__} has no norm after its embeddings; expected an encoder like BERT")
    linear = next((module for path, module in model.base_model.named_modules() if path in PROJECTIONS), None)
    rows, positions = words.weight.detach().float(), _table(children.get("position_embeddings"), first_position(model))
    if positions is not None and positions.shape[1] != rows.shape[1]:
        raise ValueError(f"{type(model).__name__} adds positions after a projection; expected an encoder like BERT")
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
    """Returns the token embedding of a model.

    Raises:
        ValueError: the model has none, such as an image model.
    """
    words = model.get_input_embeddings()
    if not isinstance(words, nn.Embedding):
        raise ValueError(f"{type(model).__name__} has no token embeddings; expected a text model")
    return words


def first_position(model: PreTrainedModel) -> int:
    """Row of the position table for the first token: 0, or the id of the padding token + 1 for models such as RoBERTa."""
    for path, module in model.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.padding_idx + 1
    return 0


def fill(embedding: nn.Embedding, rows: Tensor | None) -> None:
    """Copies `rows` to the first rows of a table; all others become zero."""
    with torch.no_grad():
        embedding.weight.zero_()
        if rows is not None:
            embedding.weight[: len(rows)] = rows.to(embedding.weight)


def _table(embedding: nn.Module | None, first: int = 0) -> Tensor | None:
    return embedding.weight.detach().float()[first:] if isinstance(embedding, nn.Embedding) else None


def _vector(module: nn.Module | None, name: str, default: Tensor) -> Tensor:
    found = getattr(module, name, None)
    return found.detach().float() if isinstance(found, Tensor) else default
