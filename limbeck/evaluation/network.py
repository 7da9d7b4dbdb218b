"""The modules of a model, in order and with the shapes of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from limbeck.core.actors import Actor, actor_inputs
from limbeck.core.batch import DEFAULT_VIEW, Batch, first_items
from limbeck.core.errors import TapError
from limbeck.core.model_io import EMBEDDING, LOGITS, preserve_modes
from limbeck.core.taps import Probe, Tap
from limbeck.evaluation.record import Record

STATE = "last_hidden_state"  # the output of encoders in Transformers
MAX_MODULES = 16  # of one network; tapped modules are always among them


class ModuleNode(Record):
    """A module with its class and the shape of its output without the batch dimension."""

    path: str
    kind: str
    shape: list[int]


class Network(Record):
    """The modules of a model in the order in which they finish.

    `omitted`: how many others there are; `tap_modules`: the module that a tap reads, where the two have different names.
    """

    model: str
    modules: list[ModuleNode]
    omitted: int = 0
    tap_modules: dict[str, str] = Field(default_factory=dict)

    def module_of(self, tap: str) -> str:
        """The path of the module that a tap reads."""
        return self.tap_modules.get(tap) or Tap.parse(tap).path


def build_network(actor: Actor, name: str, taps: set[str], example: Batch) -> Network:
    """The outermost modules of a model, its tapped modules and its output."""
    model = actor.model
    found: dict[str, ModuleNode] = {}

    def record(path: str) -> Callable[..., None]:
        def after(module: nn.Module, args: Any, output: Any) -> None:
            found.pop(path, None)  # for a module that runs several times, the last run counts
            found[path] = ModuleNode(path=path, kind=type(module).__name__, shape=_shape(output))

        return after

    inputs = actor_inputs(actor, name, first_items(example, 2).inputs[DEFAULT_VIEW])
    modules = dict(model.named_modules(remove_duplicate=False))
    paths = {tap: _path(tap, model) for tap in taps}
    tapped = {path for path in paths.values() if path in modules}
    with ExitStack() as hooks, torch.no_grad(), preserve_modes(model):
        for path in dict.fromkeys([*_outermost(model), *sorted(tapped)]):
            hooks.callback(modules[path].register_forward_hook(record(path)).remove)
        probe = hooks.enter_context(Probe(model.eval(), [LOGITS], output=actor.output))
        try:
            output = probe(inputs)[LOGITS]
        except TapError:  # several outputs, none of which is chosen or read: every term taps a module
            output = None
    kept = _select(list(found.values()), tapped)
    end = [] if LOGITS in modules or output is None else [ModuleNode(path=LOGITS, kind="output", shape=_shape(output))]
    named = {tap: path for tap, path in paths.items() if path != Tap.parse(tap).path}
    return Network(model=type(model).__name__, modules=[*kept, *end], omitted=len(found) - len(kept), tap_modules=named)


def _shape(output: Any) -> list[int]:
    """The shape of a module's output without the batch dimension.

    Of several tensors: the embedding, the last hidden state, or else the first.
    """
    if isinstance(output, Mapping):
        output = next((output[name] for name in (EMBEDDING, "token_embeddings", STATE) if name in output), output)
    output = getattr(output, STATE, output)
    while isinstance(output, tuple | list) and output:
        output = output[0]
    return list(output.shape[1:]) if isinstance(output, Tensor) else []


def _path(tap: str, model: nn.Module) -> str:
    """The path of the module that a tap reads. Taps of other actors have none here and keep their names."""
    try:
        return tap if tap == LOGITS else Tap.parse(tap).hook_point(model).path
    except TapError:
        return tap


def _outermost(model: nn.Module) -> list[str]:
    """The paths of a model's children, without wrappers around a single module."""
    prefix = ""
    while True:
        names = [name for name, child in model.named_children() if not isinstance(child, nn.Identity)]
        if len(names) != 1 or not list(model.get_submodule(names[0]).children()):
            return [prefix + name for name in names]
        model, prefix = model.get_submodule(names[0]), f"{prefix}{names[0]}."


def _select(modules: list[ModuleNode], tapped: set[str]) -> list[ModuleNode]:
    """At most `MAX_MODULES`: the tapped ones, and evenly spaced others."""
    others = [index for index, module in enumerate(modules) if module.path not in tapped]
    room = max(MAX_MODULES - (len(modules) - len(others)), 0)
    if len(others) > room:
        others = [others[index * len(others) // room] for index in range(room)]
    return [module for index, module in enumerate(modules) if module.path in tapped or index in others]
