"""Records signals inside attention modules: queries, keys, values, scores before the softmax, probabilities after it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.taps.attention_modules import (
    EAGER,
    HEADS,
    MATRICES,
    REGISTRY,
    STATES,
    Formula,
    called_names,
    formula_of,
    forward_of,
    is_registered,
    projections,
)

Callbacks = dict[str, list[Callable[[Tensor], None]]]  # by kind of signal


@contextmanager
def recording_attention(model: nn.Module, wanted: Mapping[nn.Module, Callbacks]) -> Iterator[None]:
    """Calls the callbacks with the signals of these attention modules inside the block.

    Transformers' encoders take their attention function from a registry at every call. Inside the block the function in use is
    replaced there. Modules without callbacks still use it, and so do those with callbacks for queries, keys or values only; for
    scores or probabilities the attention is computed step by step, as with `attn_implementation="eager"`. Models,
    configurations and masks are not changed.

    Raises:
        TapError: gradient checkpointing is on around one of these modules (it would run again in the backward pass, outside the
            block), or the model's implementation of attention computes no scores.
    """
    if wanted and torch.is_grad_enabled() and any(_is_checkpointed(module, wanted) for module in model.modules()):
        raise TapError(f"{type(model).__name__}: attention cannot be tapped under gradient checkpointing; switch it off")
    registries: dict[tuple[int, str | None], MutableMapping[Any, Any]] = {}
    with ExitStack() as stack:
        for module, callbacks in wanted.items():
            if is_registered(module):
                registry = forward_of(module).__globals__[REGISTRY]
                registries[id(registry), _implementation(module, callbacks)] = registry
            else:
                stack.enter_context(_projections_hooked(module, callbacks))
        for (_, name), registry in registries.items():
            stack.enter_context(_replaced(registry, name, wanted))
        yield


def _is_checkpointed(module: nn.Module, wanted: Mapping[nn.Module, Callbacks]) -> bool:
    checkpointed = module.training and bool(getattr(module, "gradient_checkpointing", False))
    return checkpointed and not wanted.keys().isdisjoint(module.modules())


def _implementation(module: nn.Module, callbacks: Callbacks) -> str | None:
    name: str | None = module.config._attn_implementation  # type: ignore[union-attr, assignment]
    if name not in ("eager", "sdpa", None) and not callbacks.keys().isdisjoint(MATRICES):
        raise TapError(
            f"{type(module).__name__} runs {name!r}, which keeps no scores; load the model with attn_implementation='sdpa', "
            "or tap queries, keys and values"
        )
    return name


@contextmanager
def _replaced(registry: MutableMapping[Any, Any], name: str | None, wanted: Mapping[nn.Module, Callbacks]) -> Iterator[None]:
    function = registry.get(name)
    local = getattr(registry, "_local_mapping", registry)  # its entries take precedence over the library's
    before = local.get(name)
    local[name] = _recording_function(function, wanted, name)
    try:
        yield
    finally:
        local.pop(name)
        if before is not None:
            local[name] = before


def _recording_function(
    registered: Callable[..., Any] | None, wanted: Mapping[nn.Module, Callbacks], name: str | None
) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """An attention function that records the wanted modules and calls `registered` for the others."""

    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
        callbacks = wanted.get(module, {})
        _record_states(callbacks, query, key, value)
        if callbacks.keys().isdisjoint(MATRICES):
            function = registered or _own_eager(module)
            result: tuple[Tensor, Tensor | None] = function(module, query, key, value, mask, **options)
            return result
        if name == "sdpa" and mask is None:  # sdpa's kernel applies a causal mask itself
            mask = _causal(module, query, key, options)
        output, weights = _step_by_step(module, query, key, value, mask, callbacks, **options)
        return output, weights if name == "eager" else None

    return attend


def _own_eager(module: nn.Module) -> Callable[..., Any]:
    """The default attention function of a module: the eager one of its own file."""
    names = [name for name in called_names(module) if EAGER in name]
    if len(names) != 1:
        raise TapError(f"{type(module).__name__} has no {EAGER}; load the model with attn_implementation='sdpa'")
    function: Callable[..., Any] = forward_of(module).__globals__[names[0]]
    return function


def _causal(module: nn.Module, query: Tensor, key: Tensor, options: Mapping[str, Any]) -> Tensor | None:
    is_causal = options.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    rows, columns = query.shape[2], key.shape[2]
    return torch.ones(rows, columns, dtype=torch.bool, device=query.device).tril() if is_causal and rows > 1 else None


# --- attention, step by step -----------------------------------------------------------------------------------------


def _step_by_step(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    callbacks: Callbacks,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Returns the output [B, T, heads, d] and the weights after dropout; records scores and probabilities."""
    if softcap is not None:
        raise TapError(f"{type(module).__name__} caps its scores; queries, keys and values can be tapped")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    weights = _record_matrices(callbacks, query, key, mask, scaling, position_bias)
    dropped = F.dropout(weights.to(value.dtype), p=dropout, training=module.training)
    output = torch.matmul(dropped, value)
    if mask is not None and mask.dtype == torch.bool:
        output = output * mask.any(-1, keepdim=True)  # as in the fused kernels, for a token that attends to nothing
    return output.transpose(1, 2).contiguous(), dropped


def _record_states(callbacks: Callbacks, *states: Tensor) -> None:
    for kind, tensor in zip(STATES, states, strict=True):
        _call(callbacks, kind, tensor)


def _record_matrices(
    callbacks: Callbacks,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    scaling: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Computes the scores and their softmax [B, heads, T, S], records both, and returns the softmax."""
    scaling = 1 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    scores = torch.matmul(query, key.transpose(-2, -1)).mul_(scaling)  # autograd would save scaled queries
    if mask is not None and mask.dtype != torch.bool and mask.ndim == 4 and mask.shape[1] > 1:
        bias, mask = _split_bias(mask, bias)
    if bias is not None:
        scores = scores + bias
    _call(callbacks, "scores", scores)
    if mask is not None and mask.dtype == torch.bool:
        masked = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    else:
        masked = scores if mask is None else scores + mask
    weights = masked.softmax(-1, dtype=torch.promote_types(masked.dtype, torch.float32))
    _call(callbacks, "attention", weights)
    return weights


def _split_bias(merged: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Splits a mask that differs between heads into position bias and boolean mask: entries far from −∞ are bias."""
    kept = merged > torch.finfo(merged.dtype).min / 2
    found = merged.masked_fill(~kept, 0)
    return found if bias is None else bias + found, kept


def _call(callbacks: Callbacks, kind: str, tensor: Tensor) -> None:
    for callback in callbacks.get(kind, ()):
        callback(tensor)


# --- attention that calls no registered function ---------------------------------------------------------------------


@contextmanager
def _projections_hooked(module: nn.Module, callbacks: Callbacks) -> Iterator[None]:
    """Records the projections of a module that calls no registered function; its own computation is unchanged."""
    names, formula = projections(module), formula_of(module) or Formula()
    heads = next(int(getattr(module, name)) for name in HEADS if hasattr(module, name))
    projected: dict[str, Tensor] = {}

    def record(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, output: Tensor) -> None:
            projected.setdefault(name, output)  # the second run of a projection is for relative positions

        return hook

    def before(_: nn.Module, args: Any) -> None:
        projected.clear()

    def after(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        matrices = not callbacks.keys().isdisjoint(MATRICES)
        needs_arguments = matrices or formula.unless is not None or formula.rotary is not None
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments if needs_arguments else {}
        if formula.unless is not None and given.get(formula.unless) is not None:
            name, other = type(module).__name__, formula.unless
            raise TapError(f"{name} computes attention differently when given {other}; leave them out, or tap hidden states")
        query, key, value = _split_heads([projected[name] for name in names], heads)
        if formula.rotary is not None and given.get(formula.rotary) is not None:
            query, key, value = _rotated(module, given[formula.rotary], query, key, value)
        _record_states(callbacks, query, key, value)
        if matrices:
            mask, bias = (None if name is None else given.get(name) for name in (formula.mask, formula.bias))
            _record_matrices(callbacks, query, key, mask, bias=bias)

    handles = [module.register_forward_pre_hook(before), module.register_forward_hook(after, with_kwargs=True)]
    handles += [getattr(module, name).register_forward_hook(record(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _split_heads(projected: list[Tensor], heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """[B, T, heads·d] each, or one of [B, T, 3·heads·d] → queries, keys and values [B, heads, T, d]."""
    if len(projected) == 1:
        projected = list(projected[0].chunk(3, dim=-1))
    query, key, value = (one.reshape(*one.shape[:-1], heads, -1).transpose(1, 2) for one in projected)
    return query, key, value


def _rotated(module: Any, angles: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
    """Queries and keys after the module's rotary embeddings, and the values if it rotates them too."""
    rotated = states if getattr(module, "rotary_value", False) else states[:2]
    return (*module.apply_rotary_position_embeddings(angles, *rotated), *states[len(rotated) :])
