"""How student and teacher were connected: their parts, and where each term reads, through which adapter and how strongly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import Field as DataField
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from limbeck.core.actors import Actor, actor_inputs
from limbeck.core.adapters import Adapter, DropPrefix, MapToTokens, PoolMap, Resize, TokensToMap
from limbeck.core.batch import DEFAULT_VIEW, Batch, first_items
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TapError
from limbeck.core.model_io import EMBEDDING, LOGITS, call_model, logits_of, preserve_modes
from limbeck.core.references import Reference
from limbeck.core.schedules import Constant, Cosine, Linear, Product, Schedule
from limbeck.core.taps.tap import Tap
from limbeck.evaluation.record import Record

STATE = "last_hidden_state"  # as encoders of Transformers name it
PARTS = 16  # of one network; those that terms read are always among them


class ModuleNode(Record):
    """A module, in the order in which it ends, and the shape of its output without the batch."""

    path: str
    kind: str
    shape: list[int]


class Network(Record):
    """A model by its parts; `hidden` others are left out. `places`: the part at which a tap of another name is heard."""

    model: str
    parts: list[ModuleNode]
    hidden: int = 0
    places: dict[str, str] = Field(default_factory=dict)

    def part_of(self, tap: str) -> str:
        """The path of the part that a tap reads."""
        return self.places.get(tap) or Tap.parse(tap).path


class TermEdge(Record):
    """One term. Taps are those of student and teacher; what reads another actor is written as a whole reference."""

    stage: str
    name: str
    objective: str
    student: list[str]
    teacher: list[str]
    adapter: str | None
    weight: str


class TermGraph(Record):
    """Both networks, and what lies between them."""

    student: Network
    teacher: Network | None
    edges: list[TermEdge]


def build_term_graph(criteria: Sequence[tuple[str, Criterion]], example: Batch) -> TermGraph:
    """The connections of a run's stages, as their built criteria know them.

    Args:
        criteria: by the name of the stage ("" where there is only one).
        example: a batch, to see the shapes of what the parts give.
    """
    edges = [edge for stage, criterion in criteria for edge in _wires(stage, criterion)]
    actors = criteria[0][1].actors
    networks = {
        side: _network(actors[side], side, {tap for edge in edges for tap in getattr(edge, side)}, example)
        for side in ("student", "teacher")
        if side in actors and actors[side].module is not None
    }
    return TermGraph(student=networks["student"], teacher=networks.get("teacher"), edges=edges)


def _wires(stage: str, criterion: Criterion) -> Iterable[TermEdge]:
    for term, adapter in zip(criterion.terms, criterion.adapters, strict=True):
        yield TermEdge(
            stage=stage,
            name=term.name,
            objective=term.objective.name,
            student=[_tap(reference, "student") for reference in term.students],
            teacher=[_tap(reference, "teacher") for reference in term.teachers],
            adapter=describe(adapter) or None,
            weight=_weight(term.weight),
        )


def _tap(reference: Reference, side: str) -> str:
    plain = reference.actor == side and reference.variant is None and reference.view == DEFAULT_VIEW
    return reference.tap if plain else str(reference)


def _weight(weight: float | Schedule) -> str:
    """A weight over time in a few words: `0.9`, `linear 1 → 0`, `1000 × warmup(until=0.1)`."""
    if not isinstance(weight, Schedule):
        return f"{weight:.4g}"
    factors = list(_factors(weight))
    constant = math.prod(factor.value for factor in factors if isinstance(factor, Constant))
    others = [_named(factor) for factor in factors if not isinstance(factor, Constant)]
    text = " × ".join([f"{constant:.4g}", *others] if constant != 1 or not others else others)
    return text if len(text) <= 80 else text[:79] + "…"


def _factors(schedule: Schedule) -> Iterator[Schedule]:
    if isinstance(schedule, Product):
        yield from _factors(schedule.first)
        yield from _factors(schedule.second)
    else:
        yield schedule


def _named(schedule: Schedule) -> str:
    name = type(schedule).__name__.lower()
    if isinstance(schedule, Linear | Cosine):
        return f"{name} {schedule.start:g} → {schedule.end:g}"
    known: Iterable[DataField[Any]] = fields(schedule) if is_dataclass(schedule) else ()
    values = {field.name: getattr(schedule, field.name) for field in known if getattr(schedule, field.name) != field.default}
    return f"{name}({', '.join(f'{key}={value}' for key, value in values.items())})" if values else name


def describe(adapter: nn.Module) -> str:
    """An adapter in a few words: `1×1 conv 16 → 64, batch norm, resize to 8×8`; empty where nothing is bridged."""
    if isinstance(adapter, nn.Identity):
        return ""
    said = _WORDS.get(type(adapter))
    if said is not None:
        return said(adapter)
    if isinstance(adapter, Adapter):
        teacher = describe(adapter.teacher_path)
        return ", ".join(filter(None, (describe(adapter.student_path), teacher and f"teacher: {teacher}")))
    children = list(adapter.children())
    if isinstance(adapter, nn.Sequential | nn.ModuleList) or (len(children) == 1 and isinstance(children[0], nn.ModuleList)):
        return ", ".join(dict.fromkeys(filter(None, map(describe, children))))
    return type(adapter).__name__


_WORDS: dict[type[nn.Module], Callable[[Any], str]] = {
    nn.Conv2d: lambda layer: f"{'×'.join(map(str, layer.kernel_size))} conv {layer.in_channels} → {layer.out_channels}",
    nn.BatchNorm2d: lambda layer: "batch norm",
    nn.Linear: lambda layer: f"linear {layer.in_features} → {layer.out_features}",
    Resize: lambda layer: f"resize to {layer.size[0]}×{layer.size[1]}",
    MapToTokens: lambda layer: "map to tokens",
    TokensToMap: lambda layer: "tokens to map",
    DropPrefix: lambda layer: "drop class token",
    PoolMap: lambda layer: "mean over positions",
}


def _network(actor: Actor, name: str, taps: set[str], example: Batch) -> Network:
    """The parts of one model: its outermost modules, whatever the terms read, and its answer."""
    model = actor.model
    parts: dict[str, ModuleNode] = {}

    def listen(path: str) -> Callable[..., None]:
        def after(module: nn.Module, args: Any, output: Any) -> None:
            shape = _shape(output)
            parts.pop(path, None)  # of a module that runs several times the last counts
            parts[path] = ModuleNode(path=path, kind=type(module).__name__, shape=shape)

        return after

    inputs = actor_inputs(actor, name, first_items(example, 2).inputs[DEFAULT_VIEW])
    modules = dict(model.named_modules(remove_duplicate=False))
    places = {tap: _place(tap, model) for tap in taps}
    wanted = {path for path in places.values() if path in modules}
    with ExitStack() as hooks, torch.no_grad(), preserve_modes(model):
        for path in dict.fromkeys([*_outermost(model), *sorted(wanted)]):
            hooks.callback(modules[path].register_forward_hook(listen(path)).remove)
        answer = logits_of(call_model(model.eval(), inputs))
    shape = _shape(answer)
    kept = _few(list(parts.values()), wanted)
    end = [] if LOGITS in modules else [ModuleNode(path=LOGITS, kind="output", shape=shape)]
    named = {tap: path for tap, path in places.items() if path != Tap.parse(tap).path}
    return Network(model=type(model).__name__, parts=[*kept, *end], hidden=len(parts) - len(kept), places=named)


def _shape(output: Any) -> list[int]:
    """Of what a module gives, without the batch; of several tensors that of the first, or of the one that sums them up."""
    if isinstance(output, Mapping):
        output = next((output[name] for name in (EMBEDDING, "token_embeddings", STATE) if name in output), output)
    output = getattr(output, STATE, output)
    while isinstance(output, tuple | list) and output:
        output = output[0]
    return list(output.shape[1:]) if isinstance(output, Tensor) else []


def _place(tap: str, model: nn.Module) -> str:
    """The path of what a tap is heard at; taps of other actors have none here, and keep their names."""
    try:
        return tap if tap == LOGITS else Tap.parse(tap).hook_point(model).path
    except TapError:
        return tap


def _outermost(model: nn.Module) -> list[str]:
    """The children that one sees first; what is only a wrapper around a single module is opened."""
    prefix = ""
    while True:
        names = [name for name, child in model.named_children() if not isinstance(child, nn.Identity)]
        if len(names) != 1 or not list(model.get_submodule(names[0]).children()):
            return [prefix + name for name in names]
        model, prefix = model.get_submodule(names[0]), f"{prefix}{names[0]}."


def _few(parts: list[ModuleNode], wanted: set[str]) -> list[ModuleNode]:
    """At most `PARTS`: those that are read, and of the others as many as there is room for, evenly spaced."""
    others = [place for place, part in enumerate(parts) if part.path not in wanted]
    room = max(PARTS - (len(parts) - len(others)), 0)
    if len(others) > room:
        others = [others[place * len(others) // room] for place in range(room)]
    return [part for place, part in enumerate(parts) if part.path in wanted or place in others]
