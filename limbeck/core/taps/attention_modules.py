"""Attention modules: how they are recognised, and which of their signals can be tapped."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from torch import nn

STATES = ("queries", "keys", "values")
MATRICES = ("scores", "attention")
KINDS = (*MATRICES, *STATES)
"""Signals of an attention module; T query tokens, S key tokens (the same in self-attention), d channels of a head:

- `queries`, `keys`, `values`: as the products use them, so after rotary embeddings, [B, heads, T, d]; with grouped queries
  the keys and values have fewer heads.
- `scores`: QKᵀ·scale plus the model's position bias, without any mask, [B, heads, T, S].
- `attention`: softmax(scores + mask), without dropout, [B, heads, T, S], in float32 at least.
"""

REGISTRY = "ALL_ATTENTION_FUNCTIONS"  # the global of Transformers' attention modules that holds their functions
EAGER = "eager_attention_forward"  # their default; each model file has its own

PROJECTIONS = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("query_proj", "key_proj", "value_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("q", "k", "v"),
    ("qkv",),
)
OWN_PROJECTIONS = {"modeling_deberta.DisentangledSelfAttention": ("in_proj",)}
"""Names that mean attention in this code only; in other models an `in_proj` belongs to a mixer or a convolution."""

HEADS = ("num_attention_heads", "num_heads", "n_heads", "heads")


@dataclass(frozen=True)
class Formula:
    """How attention that calls no registered function computes scores from its projections: QKᵀ/√d + bias, then the mask.

    Attributes:
        bias, mask: arguments of its `forward` that are added to the scores.
        rotary: argument of its `forward` with the angles of `apply_rotary_position_embeddings`.
        unless: argument of its `forward` with which scores are computed differently.
        obstacle: what else is added to the scores; only the projections of such a module can be tapped.
    """

    bias: str | None = None
    mask: str | None = None
    rotary: str | None = None
    unless: str | None = None
    obstacle: str = ""


FORMULAS = {
    "modeling_mpnet.MPNetSelfAttention": Formula(bias="position_bias", mask="attention_mask"),
    "modeling_megatron_bert.MegatronBertSelfAttention": Formula(mask="attention_mask"),
    "modeling_rembert.RemBertSelfAttention": Formula(mask="attention_mask"),
    "modeling_convbert.ConvBertSelfAttention": Formula(mask="attention_mask"),
    "modeling_big_bird.BigBirdSelfAttention": Formula(mask="attention_mask"),  # that of `attention_type="original_full"`
    "modeling_tapas.TapasSelfAttention": Formula(mask="attention_mask"),
    "modeling_luke.LukeSelfAttention": Formula(mask="attention_mask", unless="entity_hidden_states"),
    "modeling_roformer.RoFormerSelfAttention": Formula(mask="attention_mask", rotary="sinusoidal_pos"),
    "modeling_deberta_v2.DisentangledSelfAttention": Formula(obstacle="disentangled position terms"),
    "vit_tiny.Attention": Formula(),
}
"""Taken from their sources, and tested. The same names in another model's code may hide rotary embeddings, windows or sinks, so
modules that are not listed are refused."""


def is_attention(module: nn.Module) -> bool:
    """Whether a module computes attention: by Transformers' registry, as torch's own, or by projections of known names."""
    return is_registered(module) or isinstance(module, nn.MultiheadAttention) or bool(projections(module))


def unsupported_reason(module: nn.Module, kind: str) -> str:
    """Why this kind of signal cannot be tapped at this module, and what can be instead; empty if it can."""
    name = type(module).__name__
    if is_registered(module):
        sinks = kind in MATRICES and getattr(module, "sinks", None) is not None
        return f"the softmax of {name} has sinks; queries, keys and values can be tapped" if sinks else ""
    if isinstance(module, nn.MultiheadAttention):
        return f"{name} computes it within one fused function; its layer's output can be tapped"
    formula = formula_of(module)
    if formula is None:
        offer = ", ".join(projections(module))
        return f"{name} has attention code of its own, whose formula is not known; its projections can be tapped: {offer}"
    if formula.obstacle and kind in MATRICES:
        return f"{name} adds {formula.obstacle} to its scores; queries, keys and values can be tapped"
    return ""


def forward_of(module: nn.Module) -> Any:
    """A module's `forward` without its decorators."""
    return inspect.unwrap(type(module).forward)


def called_names(module: nn.Module) -> tuple[str, ...]:
    """The global names and attributes in the code of a module's `forward`."""
    code = getattr(forward_of(module), "__code__", None)
    return () if code is None else code.co_names


def is_registered(module: nn.Module) -> bool:
    """Whether a module takes its attention function from Transformers' registry."""
    return REGISTRY in called_names(module)


def projections(module: nn.Module) -> tuple[str, ...]:
    """The names of the linear layers for queries, keys and values: three, one for all, or none."""
    own = OWN_PROJECTIONS.get(_name_of(module))
    for names in PROJECTIONS if own is None else (own,):
        if all(isinstance(getattr(module, name, None), nn.Linear) for name in names):
            return names
    return ()


def formula_of(module: nn.Module) -> Formula | None:
    """The formula of a module that calls no registered function; None if it is not known."""
    return FORMULAS.get(_name_of(module))


def _name_of(module: nn.Module) -> str:
    kind = type(module)
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}"
