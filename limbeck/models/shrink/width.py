"""Makes a student of the teacher's family in smaller sizes, with random weights or weights from the teacher.

`initialise="svd"` rotates the residual stream before slicing it, so that the student keeps its leading directions instead of
its leading coordinates. With V [H, hidden] from hidden states, every weight W that reads the stream becomes W·V, and every
weight and bias that writes to it Vᵀ·W and Vᵀ·b, embeddings included. V is orthonormal, keeps the mean of the coordinates
(which LayerNorm subtracts) and otherwise the directions with the largest second moment.

The weights γ of a norm do not commute with a rotation: they become the nearest diagonal of Vᵀ·diag(γ)·V, which is
Σ_i γ_i V_ij², times √(share·H/hidden), since LayerNorm scales the fewer coordinates of the student to unit variance. To keep
the error small, coordinates whose γ differs by more than a quarter from the median of a norm are not rotated, at most
hidden/4 of them: trained encoders have a few such outliers. If all γ of a norm are equal and hidden is that of the teacher, the
rotated student computes the same function, up to the non-linearities of pooler and head, which are rotated as if linear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from limbeck.models.shrink.depth import config_of_depth, layer_stack, with_layers
from limbeck.models.shrink.embedding_tables import embedding_tables
from limbeck.models.shrink.principal_directions import layernorm_projection_keeping, second_moment
from limbeck.models.shrink.transformers_variants import build_same_class
from limbeck.models.shrink.weight_axes import (
    ATTENTION_INNER,
    EMBEDDING,
    FEED_FORWARD,
    HEADS,
    HIDDEN,
    Axis,
    axes_of,
    field_of,
    resize_config,
    slice_blocks,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Initialise = Literal["random", "truncate", "svd"]
OUTLIER = 0.25  # relative deviation from the median of a norm above which a coordinate is not rotated
UNSUPPORTED_SIZES = ("intra_bottleneck_size", "num_key_value_heads")  # fields of architectures that cannot be shrunk here


def narrower(
    teacher: PreTrainedModel,
    *,
    layers: int | None = None,
    hidden: int | None = None,
    heads: int | None = None,
    feed_forward: int | None = None,
    embedding: int | None = None,
    initialise: Initialise = "random",
    states: Tensor | None = None,
) -> PreTrainedModel:
    """Makes a student of the teacher's class and head in other sizes, such as 4 layers of 312 (TinyBERT) or 6 of 384 (MiniLM).

    `initialise` sets its weights:

    - `"random"`: as the class initialises them.
    - `"truncate"`: the leading slice of each weight of the teacher, in layers evenly spaced from the first to the last
      (0, 2, 4, 7, 9, 11 of twelve). Attention keeps the leading heads, and of each head its leading dimensions.
    - `"svd"`: the same for heads, feed-forward networks and layers, but the residual stream keeps the leading directions of
      `states`, by a rotation V [H, hidden] of all weights (see the docstring of this module).

    Args:
        teacher: an encoder of Transformers with one stack of layers.
        layers, hidden, heads, feed_forward: sizes. Default: layers and hidden size of the teacher; heads and feed-forward
            width in proportion to the hidden size (heads: the nearest number that divides it).
        embedding: width of a factorised embedding (ELECTRA, ALBERT). Default: in proportion.
        states: hidden states of the teacher, [..., H], for `"svd"`: those of all layers on a few hundred texts of the task.
            Default: the token embeddings, which represent deeper layers badly: `"svd"` is then no better than `"truncate"`.
            Image models need them.

    Returns:
        A model in the teacher's precision and on its device, every parameter trainable, in evaluation mode.

    Raises:
        ValueError: heads that do not divide the hidden size (with those that do), a size below 1, `embedding` for a family
            without one, a family whose sizes are not these, an unknown `initialise`; with weights from the teacher, a size
            larger than the teacher's or attention weights that are not recognised.

    Source: Jiao et al. 2020 (TinyBERT, arXiv:1909.10351); Xu et al. 2024 (arXiv:2311.18823) for slicing the weights of a larger
    model; Ashkboos et al. 2024 (SliceGPT, arXiv:2401.15024) for rotating the stream before slicing.
    """
    sizes = _sizes(teacher, hidden, heads, feed_forward, embedding)
    count = teacher.config.num_hidden_layers
    depth = count if layers is None else layers
    if depth < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
    if initialise == "random":
        return build_same_class(
            teacher, resize_config(config_of_depth(teacher.config, [m * count // depth for m in range(depth)]), **sizes)
        )
    if initialise not in ("truncate", "svd"):
        raise ValueError(f"initialise={initialise!r}: use 'random', 'truncate' or 'svd'")
    _require_no_larger(teacher, sizes | {"num_hidden_layers": depth})
    moments = _moments(teacher, states) if initialise == "svd" else {}
    return _smaller_copy(teacher, depth, sizes, moments)


def _smaller_copy(teacher: PreTrainedModel, depth: int, sizes: dict[str, int], moments: dict[str, Tensor]) -> PreTrainedModel:
    """Returns a student with weights of the teacher, in `depth` evenly spaced layers."""
    count = teacher.config.num_hidden_layers
    chosen = [round(layer * (count - 1) / max(1, depth - 1)) for layer in range(depth)]
    config = config_of_depth(teacher.config, chosen)
    state = teacher.state_dict()
    if not hasattr(config, "num_hidden_groups"):  # ALBERT's one layer is the same however often it is repeated
        state = with_layers(state, layer_stack(teacher), chosen)
    return build_same_class(
        teacher, resize_config(config, **sizes), _transfer_weights(type(teacher), config, sizes, state, moments)
    )


def _sizes(
    teacher: PreTrainedModel,
    hidden: int | None,
    heads: int | None,
    feed_forward: int | None,
    embedding: int | None,
) -> dict[str, int]:
    """Returns the sizes of the student; those not given are in proportion to the teacher's."""
    config, name = teacher.config, type(teacher).__name__
    known = all(hasattr(config, field_of(config, size)) for size in (HIDDEN, HEADS, FEED_FORWARD))
    if not known or config.is_encoder_decoder or any(hasattr(config, field) for field in UNSUPPORTED_SIZES):
        raise ValueError(f"{name}: expected an encoder whose sizes are hidden size, heads and feed-forward width")
    hidden = config.hidden_size if hidden is None else hidden
    share = hidden / config.hidden_size
    sizes = {
        HIDDEN: hidden,
        FEED_FORWARD: round(_size_of(config, FEED_FORWARD) * share) if feed_forward is None else feed_forward,
    }
    if hasattr(config, EMBEDDING):
        sizes[EMBEDDING] = round(config.embedding_size * share) if embedding is None else embedding
    elif embedding is not None:
        raise ValueError(f"{name} has no factorised embedding; factorised({name}, embedding={embedding}) makes one")
    wrong = [f"{field}={size}" for field, size in sizes.items() if size < 1]
    if wrong:
        raise ValueError(f"sizes must be at least 1, got {', '.join(wrong)}")
    return sizes | {HEADS: _heads(config, hidden, heads)}


def _heads(config: PreTrainedConfig, hidden: int, heads: int | None) -> int:
    fitting = [count for count in range(1, hidden + 1) if hidden % count == 0]
    if hasattr(config, "rope_parameters"):  # rotary positions rotate pairs of dimensions of a head
        fitting = [count for count in fitting if hidden // count % 2 == 0]
    if heads is None:
        wanted = config.num_attention_heads * hidden / config.hidden_size
        heads = min(fitting, key=lambda count: abs(count - wanted), default=0)
    if heads not in fitting:
        raise ValueError(f"heads={heads} do not divide hidden={hidden}; these do: {', '.join(map(str, fitting)) or 'none'}")
    return heads


def _require_no_larger(teacher: PreTrainedModel, sizes: dict[str, int]) -> None:
    """Checks that the teacher has weights for all sizes."""
    own = {name: _size_of(teacher.config, name) for name in sizes}
    for name, size in sizes.items():
        if size > own[name]:
            raise ValueError(f"{name} is {size}, the teacher's is {own[name]}: only initialise='random' can make it larger")
    if EMBEDDING in sizes and (sizes[EMBEDDING] == sizes[HIDDEN]) != (own[EMBEDDING] == own[HIDDEN]):
        raise ValueError(
            f"embedding={sizes[EMBEDDING]} with hidden={sizes[HIDDEN]}: the projection between them would appear or vanish, "
            f"the teacher has {own[EMBEDDING]} and {own[HIDDEN]}; use initialise='random', or factorised(...)"
        )


Rotation = tuple[Tensor, float]  # V, and the scale of a norm after it


def _moments(teacher: PreTrainedModel, states: Tensor | None) -> dict[str, Tensor]:
    """Second moments of the residual stream and, if it is projected, of the embedding."""
    width = teacher.config.hidden_size
    if states is not None and states.shape[-1] != width:
        raise ValueError(f"states are {list(states.shape)}; the last axis must be the teacher's hidden size {width}")
    stream = embedding_tables(teacher).words_at_first_layer() if states is None else states.detach().reshape(-1, width)
    moments = {HIDDEN: second_moment(stream.to(teacher.device))}
    if hasattr(teacher.config, EMBEDDING) and embedding_tables(teacher).project is not None:
        moments[EMBEDDING] = second_moment(embedding_tables(teacher).words)
    return moments


def _rotation(moment: Tensor, width: int, norms: list[Tensor]) -> Rotation:
    """Returns V for one space, which keeps coordinates that are outliers in `norms`."""
    gamma = torch.stack([norm.double() for norm in norms])
    median = gamma.median(1, keepdim=True).values
    deviation = ((gamma - median).abs() / median.abs()).max(0).values
    ranked = deviation.argsort(descending=True)[: width // 4]
    rotation, share = layernorm_projection_keeping(moment, width, ranked[deviation[ranked] > OUTLIER])
    return rotation.float(), (share * len(moment) / width) ** 0.5


def _transfer_weights(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    sizes: dict[str, int],
    state: dict[str, Tensor],
    moments: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Slices or rotates each axis of the teacher's weights to the student's size. `config` has the student's depth."""
    axes = axes_of(kind, config)
    if not any(axis and axis.follows == ATTENTION_INNER for found in axes.values() for axis in found):
        raise ValueError(f"the attention weights of {kind.__name__} are not recognised; use initialise='random'")
    before = _axis_blocks(config, {name: _size_of(config, name) for name in sizes})
    after = _axis_blocks(config, sizes)
    if any(
        new > old for new, old in zip(after[ATTENTION_INNER], before[ATTENTION_INNER], strict=True)
    ):  # heads fewer, but wider
        before[ATTENTION_INNER], after[ATTENTION_INNER] = before[HIDDEN], after[HIDDEN]
    rotations: dict[str, Rotation] = {}
    for size, moment in moments.items():
        same = [Axis(name, 1) for name in ((size,) if EMBEDDING in moments else (HIDDEN, EMBEDDING))]
        norms = [
            state[name] for name, found in axes.items() if len(found) == 1 and found[0] in same and name.endswith("weight")
        ]
        rotations |= {axis.follows: _rotation(moment, sizes[size], norms) for axis in same}
    carried = {}
    for name, weight in state.items():
        for dim, axis in enumerate(axes.get(name, [])):
            if axis is not None:
                weight = _resize(name, weight, dim, axis, before, after, rotations)
        carried[name] = weight
    return carried


def _resize(name: str, weight: Tensor, dim: int, axis: Axis, before: Any, after: Any, rotations: dict[str, Rotation]) -> Tensor:
    if axis.follows not in rotations:
        return slice_blocks(weight, dim, axis.times, before[axis.follows], after[axis.follows])
    rotation, scale = rotations[axis.follows]
    rotation = rotation.to(weight.device)
    if weight.dim() == 1 and name.endswith("weight"):  # of a norm
        rotated = weight.float() @ rotation.square() * scale
    else:
        rotated = (weight.float().movedim(dim, -1) @ rotation).movedim(-1, dim)
    return rotated.to(weight.dtype)


def _axis_blocks(config: PreTrainedConfig, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Block sizes of the axes that follow each size."""
    return {name: (size,) for name, size in sizes.items()} | {ATTENTION_INNER: (sizes[HEADS], sizes[HIDDEN] // sizes[HEADS])}


def _size_of(config: PreTrainedConfig, name: str) -> int:
    return int(getattr(config, field_of(config, name)))
