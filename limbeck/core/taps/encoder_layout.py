"""The layers of an encoder in the order of execution, and where their signals are read."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.taps.attention_modules import forward_of, is_attention, unsupported_reason

TIED = "tie_last_hidden_states"  # whether Transformers counts an encoder's own output as its last hidden state


@dataclass(frozen=True)
class HookPoint:
    """Where in a model a hook is attached.

    Attributes:
        path: of the module.
        side: what is recorded: its `input`, its `output`, statistics of its input, or a kind of attention.
        run: which run of the module is recorded, from 0; None: the last. One module may be used as several layers.
    """

    path: str
    side: str
    run: int | None = None


def attention_layers(model: nn.Module) -> list[str]:
    """The paths of a model's attention modules as in `named_modules()`; one that is used as several layers appears once."""
    return [path for path, module in model.named_modules() if is_attention(module)]


def attention_hook_point(model: nn.Module, address: str, kind: str) -> HookPoint:
    """Where `kind` is recorded: at the attention within the named module, or within a layer by number, 1 to L or −1 to −L.

    Raises:
        TapError: none or several attention modules there, or one at which this kind cannot be tapped.
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
    """Where the hidden state after layer 0 to L is recorded; 0 is the embeddings, as in Transformers' `hidden_states`.

    A final norm belongs to the last layer if it does in Transformers.
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
    """The layers of an encoder in the order of execution: the items of its one list of modules with one attention each.

    A module may appear several times, as ALBERT's groups of shared weights do: each of its runs is a layer. A list of attention
    modules alone, as in XLM, does not count.

    Raises:
        TapError: no such list, or several with different attention modules (an encoder and a decoder, or stages).
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

    n = max(1, ⌊m·theirs/ours + 1/2⌋), the deeper one of two that are equally near. The last layers are always paired.
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
    """Whether an address is the number of a layer instead of the path of a module."""
    return address.removeprefix("-").isdecimal()


def _is_bare(module: nn.Module) -> bool:
    """Whether it is a list of attention modules alone. A `Sequential` is none: it runs its items one by one, so their outputs
    are the hidden states."""
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
            known.append(attentions)  # not lists within the items of another list
            found[path] = module
    return found


def _order(model: nn.Module, path: str, items: int) -> list[int]:
    """Which item of the stack each layer uses. ALBERT runs each of its groups as often as its configuration says."""
    for _, owner in _around(model, path):
        groups = getattr(getattr(owner, "config", None), "num_hidden_groups", None)
        if groups is not None:
            if groups != items:
                raise TapError(f"{type(model).__name__} runs several layers in each of its groups; name the module by its path")
            total: int = owner.config.num_hidden_layers  # type: ignore[union-attr, assignment]
            return [int(layer / (total / groups)) for layer in range(total)]
    return list(range(items))


def _around(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of all modules around a path, the innermost first."""
    parts = path.split(".")
    for length in range(len(parts) - 1, -1, -1):
        name = ".".join(parts[:length])
        yield name, model.get_submodule(name)


def _ends_with_its_output(model: nn.Module, path: str) -> str | None:
    """The path of the encoder if Transformers counts its output as the last hidden state; None if the last layer's output.

    A decorator of the encoder's `forward` decides, which the configuration can override. Older encoders collect the hidden
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
