"""Where a signal is read: addresses of modules inside a model, and the probe that listens there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.registry import nearest
from limbeck.signals import LinearLogits, Signal

LOGITS = "logits"  # the tap that every model has: what its forward returns


class TapError(ValueError):
    """A tap that does not exist or gives no tensor."""


@dataclass(frozen=True)
class Tap:
    """The address of a signal: a module path as in `named_modules()`, and which side of the module is read.

    Written as text: `"layer3"` is the module's output, `"input(layer3)"` what goes into it, `"logits"` the model's own output.
    """

    path: str
    of: str = "output"

    @classmethod
    def parse(cls, text: str | Tap) -> Tap:
        if isinstance(text, Tap):
            return text
        if text.startswith("input(") and text.endswith(")"):
            return cls(text[len("input(") : -1], of="input")
        return cls(text)

    def __str__(self) -> str:
        return f"input({self.path})" if self.of == "input" else self.path

    def find(self, model: nn.Module) -> nn.Module:
        """The module at this address; an unknown path raises with the three nearest names."""
        modules = dict(model.named_modules())
        if self.path not in modules:
            known = [name for name in modules if name]
            offer = ", ".join(nearest(self.path, known)) or "the model has no submodules"
            raise TapError(f"unknown tap {self.path!r} in {type(model).__name__}; nearest: {offer}")
        return modules[self.path]


def logits_of(output: Any) -> Tensor | Signal:
    """The logits within whatever a model returns: a tensor, an object or mapping with `logits`, or a tuple's first part."""
    if isinstance(output, Tensor | LinearLogits):
        return output
    if isinstance(output, Mapping) and LOGITS in output:
        return logits_of(output[LOGITS])
    if hasattr(output, LOGITS):
        return logits_of(output.logits)
    if isinstance(output, tuple | list) and output:
        return logits_of(output[0])
    raise TapError(f"the model returned {type(output).__name__}, in which no logits were found; name a tap instead")


def _tensor_of(value: Any, tap: Tap) -> Tensor:
    while isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        raise TapError(f"tap {str(tap)!r} gives {type(value).__name__}, not a tensor")
    return value


class Probe:
    """A model with taps: `probe(inputs)` runs the model once and returns what was said at each tap.

    Hooks are attached while the probe lives and record only during a call; the model's class and `state_dict` stay as they
    are. `close()` (or leaving a `with` block) removes them.

    A layer that changes its input in place (such as `ReLU(inplace=True)`) would falsify what was read before it. The first
    call notices this by the tensor's version, and the tap keeps a copy from then on.
    """

    def __init__(self, model: nn.Module, taps: Iterable[str | Tap] = (LOGITS,)) -> None:
        self.model = model
        self.taps: dict[str, Tap] = {}
        self._recording = False
        self._heard: dict[str, tuple[Tensor, int]] = {}
        self._copied: set[str] = set()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for tap in taps:
            self.add(tap)

    def add(self, tap: str | Tap) -> None:
        """Listen at one more address."""
        tap = Tap.parse(tap)
        if str(tap) in self.taps:
            return
        self.taps[str(tap)] = tap
        if tap.path == LOGITS and LOGITS not in dict(self.model.named_modules()):
            return  # the model's own output needs no hook
        module = tap.find(self.model)
        if tap.of == "input":
            self._handles.append(module.register_forward_pre_hook(self._listen_before(str(tap), tap)))
        else:
            self._handles.append(module.register_forward_hook(self._listen_after(str(tap), tap)))

    def _listen_after(self, name: str, tap: Tap) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._record(name, tap, output)

        return hook

    def _listen_before(self, name: str, tap: Tap) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:
            self._record(name, tap, args)

        return hook

    def _record(self, name: str, tap: Tap, value: Any) -> None:
        if self._recording:
            tensor = _tensor_of(value, tap)
            self._heard[name] = (tensor.clone() if name in self._copied else tensor, tensor._version)

    def __call__(self, inputs: Any, run: Callable[[nn.Module, Any], Any] | None = None) -> dict[str, Tensor | Signal]:
        """Run the model on `inputs` (through `run(model, inputs)` where a variant is wanted) and return `{tap: signal}`."""
        self._heard, self._recording = {}, True
        try:
            output = run(self.model, inputs) if run else call(self.model, inputs)
        finally:
            self._recording = False
        changed = {name for name, (tensor, version) in self._heard.items() if tensor._version != version} - self._copied
        if changed:
            self._copied |= changed
            return self(inputs, run)
        signals: dict[str, Tensor | Signal] = {}
        for name, tap in self.taps.items():
            if name in self._heard:
                signals[name] = self._heard[name][0]
            elif tap.path == LOGITS:
                signals[name] = logits_of(output)
            else:
                raise TapError(f"tap {name!r} was not reached when {type(self.model).__name__} ran")
        self._heard = {}
        return signals

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def call(model: nn.Module, inputs: Any) -> Any:
    """Call a model with one tensor, or with keyword arguments where the inputs are a mapping."""
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


@dataclass(frozen=True)
class Depth:
    """A module whose output is a feature map: where it stands on the way from input to output, and its shape."""

    path: str
    position: float  # share of the leaf modules that have run when this one is done, 0 to 1
    shape: tuple[int, ...]


def feature_maps(model: nn.Module, inputs: Any) -> list[Depth]:
    """Every module whose output is a map [B, C, H, W], in the order of execution, the outermost first among equals."""
    finished: list[tuple[str, int, tuple[int, ...]]] = []
    leaves = 0

    def hook(path: str, leaf: bool) -> Callable[..., None]:
        def listen(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal leaves
            leaves += leaf
            if isinstance(output, Tensor) and output.ndim == 4:
                finished.append((path, leaves, tuple(output.shape)))

        return listen

    handles = [
        module.register_forward_hook(hook(path, not any(True for _ in module.children())))
        for path, module in model.named_modules()
        if path
    ]
    was_training = model.training
    try:
        with torch.no_grad():
            call(model.eval(), inputs)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return [Depth(path, count / max(leaves, 1), shape) for path, count, shape in finished]


def stage_ends(maps: list[Depth]) -> list[Depth]:
    """The last map at each resolution: where a network has finished a stage. Of modules that end together (a block and its
    last layer) the outermost is kept, since its name is the one that people know."""
    by_size: dict[tuple[int, ...], list[Depth]] = {}
    for depth in maps:
        by_size.setdefault(depth.shape[2:], []).append(depth)
    ends = []
    for group in by_size.values():
        last = max(depth.position for depth in group)
        ends.append(min((d for d in group if d.position == last), key=lambda d: d.path.count(".")))
    return [end for end in ends if min(end.shape[2:]) > 1] or ends


def auto_pairs(student: nn.Module, teacher: nn.Module, student_inputs: Any, teacher_inputs: Any) -> list[tuple[str, str]]:
    """Pairs of taps at equal relative depth: each stage end of the student with the teacher's nearest one.

    Raises:
        TapError: one of the models has no feature maps.
    """
    ours, theirs = stage_ends(feature_maps(student, student_inputs)), stage_ends(feature_maps(teacher, teacher_inputs))
    for model, ends in ((student, ours), (teacher, theirs)):
        if not ends:
            raise TapError(f"taps 'auto': no module of {type(model).__name__} gives a feature map [B, C, H, W]; name the taps")
    return [(end.path, min(theirs, key=lambda other: abs(other.position - end.position)).path) for end in ours]
