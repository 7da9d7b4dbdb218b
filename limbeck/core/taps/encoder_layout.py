"""How an encoder is built: its layers in the order of execution, its attention modules, and what each of these can tell."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from limbeck.core.errors import TapError

STATES = ("queries", "keys", "values")
MATRICES = ("scores", "attention")
KINDS = (*MATRICES, *STATES)
"""What can be read at an attention module; T query tokens, S key tokens (the same in self-attention), d channels of a head:

- `queries`, `keys`, `values`: as the products use them, so after rotary embeddings, [B, heads, T, d]; with grouped queries
  the keys and values have fewer heads.
- `scores`: QKᵀ·scale plus the model's position bias, without any mask, [B, heads, T, S].
- `attention`: softmax(scores + mask), without dropout, [B, heads, T, S], in float32 at least.
"""

REGISTRY = "ALL_ATTENTION_FUNCTIONS"  # the name under which Transformers' attention modules reach their functions
EAGER = "eager_attention_forward"  # what such a module falls back on; every model has a function of its own

PROJECTIONS = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("query_proj", "key_proj", "value_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("q", "k", "v"),
    ("qkv",),
)
OWN_PROJECTIONS = {"modeling_deberta.DisentangledSelfAttention": ("in_proj",)}
"""Names that tell an attention module in this code only; in others' an `in_proj` stands before a mixer or a convolution."""

TIED = "tie_last_hidden_states"  # whether Transformers counts an encoder's own output as its last hidden state
HEADS = ("num_attention_heads", "num_heads", "n_heads", "heads")


@dataclass(frozen=True)
class Formula:
    """How an attention that calls no registered function makes scores of its projections: QKᵀ/√d + bias, then the mask.

    Attributes:
        bias, mask: arguments of its `forward` that are added to the scores.
        rotary: an argument of its `forward`: by what angles its `apply_rotary_position_embeddings` turns what was projected.
        unless: an argument of its `forward` with which its scores are made otherwise.
        obstacle: what else goes into its scores; such a module gives its projections only.
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
"""Read in their sources and tested, each. The same names in another model's code may hide rotary embeddings, windows or
sinks, so what is not listed is refused rather than guessed."""


# --- what a module is ------------------------------------------------------------------------------------------------


def is_attention(module: nn.Module) -> bool:
    """Whether a module attends: through Transformers' registry, as torch's own, or by projections of known names."""
    return is_registered(module) or isinstance(module, nn.MultiheadAttention) or bool(projections(module))


def unsupported_reason(module: nn.Module, kind: str) -> str:
    """Why this module cannot be asked for this kind, and what is possible instead; empty where it can."""
    name = type(module).__name__
    if is_registered(module):
        sinks = kind in MATRICES and getattr(module, "sinks", None) is not None
        return f"the softmax of {name} has sinks; queries, keys and values can be tapped" if sinks else ""
    if isinstance(module, nn.MultiheadAttention):
        return f"{name} computes it within one fused function; its layer's output can be tapped"
    formula = formula_of(module)
    if formula is None:
        offer = ", ".join(projections(module))
        return f"{name} attends by code of its own, whose formula is not known; its projections can be tapped: {offer}"
    if formula.obstacle and kind in MATRICES:
        return f"{name} adds {formula.obstacle} to its scores; queries, keys and values can be tapped"
    return ""


def forward_of(module: nn.Module) -> Any:
    """A module's `forward` without its decorators."""
    return inspect.unwrap(type(module).forward)


def called_names(module: nn.Module) -> tuple[str, ...]:
    """The global names and attributes that a module's `forward` mentions."""
    code = getattr(forward_of(module), "__code__", None)
    return () if code is None else code.co_names


def is_registered(module: nn.Module) -> bool:
    """Whether a module looks its attention function up in Transformers' registry."""
    return REGISTRY in called_names(module)


def projections(module: nn.Module) -> tuple[str, ...]:
    """The names of the linear layers that make queries, keys and values: three, one for all, or none."""
    own = OWN_PROJECTIONS.get(_name_of(module))
    for names in PROJECTIONS if own is None else (own,):
        if all(isinstance(getattr(module, name, None), nn.Linear) for name in names):
            return names
    return ()


def formula_of(module: nn.Module) -> Formula | None:
    """The formula of a module that calls no registered function, where it is known."""
    return FORMULAS.get(_name_of(module))


def _name_of(module: nn.Module) -> str:
    kind = type(module)
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}"


# --- where the modules stand -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HookPoint:
    """Where in a model a tap listens.

    Attributes:
        path: of the module.
        side: what is read there: its `input`, its `output`, or a kind of attention.
        run: which of the module's runs counts, from 0; None: the last. One module may serve as several layers.
    """

    path: str
    side: str
    run: int | None = None


def attention_layers(model: nn.Module) -> list[str]:
    """The paths of a model's attention modules, as in `named_modules()`; one that serves several layers stands there once."""
    return [path for path, module in model.named_modules() if is_attention(module)]


def attention_hook_point(model: nn.Module, address: str, kind: str) -> HookPoint:
    """Where `kind` is read: at the attention within the module named, or within a layer given by number, 1 to L or −1 to −L.

    Raises:
        TapError: none or several attention modules there, or one that does not tell this kind.
    """
    layer = _layer(model, address) if is_number(address) else HookPoint(address, "output")
    within = dict(model.named_modules(remove_duplicate=False))[layer.path]
    found = attention_layers(within)
    if len(found) != 1:
        offer = [f"{layer.path}.{path}".strip(".") for path in found] or attention_layers(model)
        which = f": {', '.join(offer[:3])}" if offer else ""
        raise TapError(
            f"{layer.path!r} in {type(model).__name__} holds {len(found) or 'no'} attention modules, and one is needed{which}"
        )
    reason = unsupported_reason(within.get_submodule(found[0]), kind)
    if reason:
        raise TapError(f"{type(model).__name__}: {kind} of {layer.path!r} cannot be tapped: {reason}")
    return HookPoint(f"{layer.path}.{found[0]}".strip("."), kind, layer.run)


def hidden_hook_point(model: nn.Module, address: str) -> HookPoint:
    """Where the hidden state after layer 0 to L is read, 0 being the embeddings, as in Transformers' `hidden_states`.

    Models with a final norm count it with the last layer where Transformers does.
    """
    if not is_number(address):
        raise TapError(
            f"hidden states are numbered, 0 for the embeddings, 1 for the first layer, -1 for the last; got {address!r}"
        )
    if int(address) == 0:
        first = layers(model)[0]
        return HookPoint(first.path, "input", first.run)
    layer = _layer(model, address)
    last = layer == layers(model)[-1]
    whole = _ends_with_its_output(model, layer.path) if last else None
    return layer if whole is None else HookPoint(whole, "output")


def layers(model: nn.Module) -> list[HookPoint]:
    """The layers of an encoder in the order of execution: the items of the one list of modules that each hold one attention.

    One module may stand there several times, as ALBERT's groups of shared weights do: each of its runs is a layer. A list of
    attention modules themselves, as XLM keeps them, is none.

    Raises:
        TapError: no such list, or several with different attention modules (an encoder beside a decoder, stages).
    """
    stacks = _stacks(model)
    name = type(model).__name__
    if not stacks:
        bare = [path for path, module in model.named_modules() if _is_bare(module)]
        held = f"; the items of {bare[0]!r} are attention modules alone, whose outputs are no hidden states" if bare else ""
        raise TapError(f"{name} has no list of layers with one attention module each{held}; name the module by its path")
    if len(stacks) > 1:
        raise TapError(f"{name} has several lists of layers: {', '.join(stacks)}; name the module by its path")
    ((path, stack),) = stacks.items()
    order = _order(model, path, len(stack))
    runs: dict[nn.Module, int] = {}
    found = []
    for index in order:
        runs[stack[index]] = runs.get(stack[index], -1) + 1
        found.append((f"{path}.{index}".strip("."), stack[index], runs[stack[index]]))
    return [HookPoint(at, "output", run if runs[module] else None) for at, module, run in found]


def equal_depths(ours: int, theirs: int) -> list[tuple[int, int]]:
    """Pairs (m, n) of layers, counted from 1: for each layer m of `ours` the one of `theirs` at the nearest relative depth.

    n = max(1, ⌊m·theirs/ours + 1/2⌋), the deeper one of two that are equally near. The last layers always meet.
    """
    return [(m, max(1, (2 * m * theirs + ours) // (2 * ours))) for m in range(1, ours + 1)]


def _layer(model: nn.Module, address: str) -> HookPoint:
    found, number = layers(model), int(address)
    if not 1 <= abs(number) <= len(found):
        raise TapError(
            f"{type(model).__name__} has {len(found)} layers: 1 to {len(found)}, or -1 to -{len(found)}; got {number}"
        )
    return found[number - 1 if number > 0 else number]


def is_number(address: str) -> bool:
    """Whether an address counts layers instead of naming a module."""
    return address.removeprefix("-").isdecimal()


def _is_bare(module: nn.Module) -> bool:
    """Whether it lists attention modules alone, beside lists of what follows them. A sequence runs its items one by one, so
    what leaves them is the state whatever they are."""
    return isinstance(module, nn.ModuleList) and len(module) > 0 and all(is_attention(part) for part in module)


def _stacks(model: nn.Module) -> dict[str, nn.ModuleList | nn.Sequential]:
    found: dict[str, nn.ModuleList | nn.Sequential] = {}
    known: list[set[nn.Module]] = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential) or _is_bare(module):
            continue
        held = [[part for part in item.modules() if is_attention(part)] for item in module]
        attentions = {part for parts in held for part in parts}
        if attentions and all(len(parts) == 1 for parts in held) and not any(attentions <= other for other in known):
            known.append(attentions)  # lists within the items of a list hold nothing new
            found[path] = module
    return found


def _order(model: nn.Module, path: str, items: int) -> list[int]:
    """Which item of the stack each layer runs. ALBERT runs each of its groups as often as its configuration says."""
    for _, owner in _around(model, path):
        groups = getattr(getattr(owner, "config", None), "num_hidden_groups", None)
        if groups is not None:
            if groups != items:
                raise TapError(f"{type(model).__name__} runs several layers in each of its groups; name the module by its path")
            total: int = owner.config.num_hidden_layers  # type: ignore[union-attr, assignment]
            return [int(layer / (total / groups)) for layer in range(total)]
    return list(range(items))


def _around(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules around a path with their own, the innermost first."""
    parts = path.split(".")
    for length in range(len(parts) - 1, -1, -1):
        name = ".".join(parts[:length])
        yield name, model.get_submodule(name)


def _ends_with_its_output(model: nn.Module, path: str) -> str | None:
    """The encoder whose own output Transformers counts as its last hidden state; None where that is the last layer's output.

    A decorator of the encoder's `forward` decides, overruled by the configuration. Encoders of the older kind collect the
    states themselves, the last one as they return it.
    """
    around = list(_around(model, path))
    for name, owner in around:
        tied = _tied(owner)
        if tied is not None:
            return name if tied else None
    for name, owner in around:
        if not isinstance(owner, nn.ModuleList | nn.Sequential):
            return name if "output_hidden_states" in inspect.signature(forward_of(owner)).parameters else None
    return None


def _tied(owner: nn.Module) -> bool | None:
    function: Any = type(owner).forward
    while function is not None:
        code = getattr(function, "__code__", None)
        if code is not None and TIED in code.co_freevars:
            decided = getattr(getattr(owner, "config", None), TIED, None)
            return bool(function.__closure__[code.co_freevars.index(TIED)].cell_contents if decided is None else decided)
        function = getattr(function, "__wrapped__", None)
    return None
