"""Where a signal is read: addresses of modules inside a model, and the probe that listens there."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.signals import LinearLogits, Signal
from limbeck.core.taps.attention import Callbacks, recording_attention
from limbeck.core.taps.encoder_layout import (
    KINDS,
    HookPoint,
    TapError,
    attention_hook_point,
    equal_depths,
    hidden_hook_point,
    is_number,
    layers,
)
from limbeck.utils.registry import nearest

EMBEDDING = "sentence_embedding"  # what a model of Sentence Transformers returns
LOGITS = "logits"  # the tap that every model has: what its forward returns


SIDES = ("input", "hidden", "cls", *KINDS)  # what is written in front of the address; a bare path is its output
_WRITTEN = re.compile(r"(\w+)\((.*)\)")


@dataclass(frozen=True)
class Tap:
    """The address of a signal: a module's path as in `named_modules()` or a layer's number, and what is read there.

    Written as text, with D the width of a hidden state, d of a head, T the tokens:

        layer3, input(layer3)                 what leaves a module, what goes into it
        logits                                the model's own output
        hidden(N), cls(N)                     the state after layer N [B, T, D], and its first token [B, D]; 0: the embeddings
        scores(P)                             QKᵀ·scale with position biases, before any mask [B, heads, T, T]
        attention(P)                          the distributions, before dropout [B, heads, T, T]
        queries(P), keys(P), values(P)        as the attention uses them [B, heads, T, d]

    P is the path of an attention module or of a module that holds exactly one, or the number N of its layer: 1 to L from
    the input, -1 to -L from the output. Numbers are for encoders that have one list of layers; see `encoders.layers`.

    Raises:
        TapError: an unknown kind, path or number, or attention that the module cannot tell; the message names what it can.
    """

    path: str
    of: str = "output"

    @classmethod
    def parse(cls, text: str | Tap) -> Tap:
        if isinstance(text, Tap):
            return text
        written = _WRITTEN.fullmatch(text)
        if written is None:
            return cls(text)
        of, path = written.groups()
        if of not in SIDES:
            raise TapError(f"unknown kind {of!r} in tap {text!r}; there are a bare path and {', '.join(SIDES)}")
        return cls(path, of)

    def __str__(self) -> str:
        return self.path if self.of == "output" else f"{self.of}({self.path})"

    def hook_point(self, model: nn.Module) -> HookPoint:
        """The module to listen at; an unknown path raises with the three nearest names."""
        if self.of in ("hidden", "cls"):
            return hidden_hook_point(model, self.path)
        if self.of in KINDS and is_number(self.path):
            return attention_hook_point(model, self.path, self.of)
        modules = dict(model.named_modules(remove_duplicate=False))  # a shared module answers to each of its names
        if self.path not in modules:
            known = [name for name in modules if name]
            offer = ", ".join(nearest(self.path, known)) or "the model has no submodules"
            raise TapError(f"unknown tap {self.path!r} in {type(model).__name__}; nearest: {offer}")
        return attention_hook_point(model, self.path, self.of) if self.of in KINDS else HookPoint(self.path, self.of)

    def find(self, model: nn.Module) -> nn.Module:
        """The module at this address."""
        return model.get_submodule(self.hook_point(model).path)


def logits_of(output: Any) -> Tensor | Signal:
    """The logits within whatever a model returns: a tensor, an object or mapping with `logits`, or a tuple's first part. Of a
    model of extractive answers, where they start and where they end, [B, 2, T]; of a sentence encoder, the embedding."""
    if isinstance(output, Tensor | LinearLogits):
        return output
    if isinstance(output, Mapping) and LOGITS in output:
        return logits_of(output[LOGITS])
    if hasattr(output, LOGITS):
        return logits_of(output.logits)
    if hasattr(output, "start_logits"):
        return torch.stack([output.start_logits, output.end_logits], 1)
    if isinstance(output, Mapping) and EMBEDDING in output:
        return logits_of(output[EMBEDDING])
    if isinstance(output, tuple | list) and output:
        return logits_of(output[0])
    raise TapError(f"the model returned {type(output).__name__}, in which no logits were found; name a tap instead")


def _tensor_of(value: Any, tap: Tap) -> Tensor:
    value = getattr(value, "last_hidden_state", value)  # of an encoder
    while isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        raise TapError(f"tap {str(tap)!r} gives {type(value).__name__}, not a tensor")
    return value


class Signals(dict[str, Tensor | Signal]):
    """Signals by tap. A tap that the model did not reach (an early exit leaves out what comes later) raises when asked for."""

    def __missing__(self, tap: str) -> Tensor | Signal:
        raise TapError(f"tap {tap!r} was not reached when the model ran")


class Hook:
    """One hook of a probe. A copied or saved model is not listened to: its ears are deaf."""

    def __init__(self, callback: Callable[[Any], None] | None = None) -> None:
        self.callback = callback

    def __reduce__(self) -> tuple[type[Hook], tuple[()]]:
        return Hook, ()

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self.callback is not None:
            self.callback((*args, *kwargs.values()))

    def after(self, module: nn.Module, args: Any, output: Any) -> None:
        if self.callback is not None:
            self.callback(output)


class Probe:
    """A model with taps: `probe(inputs)` runs the model once and returns what was said at each tap.

    Hooks are attached while the probe lives and record only during a call; the model's class and `state_dict` stay as they
    are. `close()` (or leaving a `with` block) removes them. Of a module that runs several times the last output counts, unless
    its runs are layers that are named by number. How attention is listened to is told at `attention.listening`.

    A layer that changes its input in place (such as `ReLU(inplace=True)`) would falsify what was read before it. The first
    call notices this by the tensor's version, and the tap keeps a copy from then on.
    """

    def __init__(self, model: nn.Module, taps: Iterable[str | Tap] = (LOGITS,)) -> None:
        self.model = model
        self.taps: dict[str, Tap] = {}
        self._recording = False
        self._recorded: dict[str, tuple[Tensor, int]] = {}
        self._runs: dict[str, int] = {}  # how often each tap was passed in this call
        self._copied: set[str] = set()
        self._attention: dict[nn.Module, Callbacks] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for tap in taps:
            self.add(tap)

    def add(self, tap: str | Tap) -> None:
        """Listen at one more address."""
        tap = Tap.parse(tap)
        if str(tap) in self.taps:
            return
        self.taps[str(tap)] = tap
        if tap == Tap(LOGITS) and LOGITS not in dict(self.model.named_modules()):
            return  # the model's own output needs no hook
        hook_point = tap.hook_point(self.model)
        module, callback = self.model.get_submodule(hook_point.path), functools.partial(self._record, tap, hook_point.run)
        if hook_point.side in KINDS:
            self._attention.setdefault(module, {}).setdefault(hook_point.side, []).append(callback)
        elif hook_point.side == "input":
            self._handles.append(module.register_forward_pre_hook(Hook(callback).before, with_kwargs=True))
        else:
            self._handles.append(module.register_forward_hook(Hook(callback).after))

    def _record(self, tap: Tap, run: int | None, value: Any) -> None:
        if not self._recording:
            return
        tensor, name = _tensor_of(value, tap), str(tap)
        self._runs[name] = self._runs.get(name, -1) + 1
        if run is not None and self._runs[name] != run:
            return
        if tap.of == "cls":
            tensor = tensor[:, 0]
        if name in self._copied or tensor.is_inference():  # inference tensors keep no version to notice changes by
            tensor = tensor.clone()
        self._recorded[name] = (tensor, 0 if tensor.is_inference() else tensor._version)

    def __call__(self, inputs: Any, run: Callable[[nn.Module, Any], Any] | None = None) -> Signals:
        """Run the model on `inputs` (through `run(model, inputs)` where a variant is wanted) and return `{tap: signal}`."""
        self._recorded, self._runs, self._recording = {}, {}, True
        try:
            with recording_attention(self.model, self._attention):
                output = run(self.model, inputs) if run else call_model(self.model, inputs)
        finally:
            self._recording = False
        changed = {name for name, (tensor, version) in self._recorded.items() if _changed_since(tensor, version)}
        if changed:
            self._copied |= changed
            return self(inputs, run)
        signals = Signals({name: tensor for name, (tensor, _) in self._recorded.items()})
        if LOGITS in self.taps and LOGITS not in signals:
            signals[LOGITS] = logits_of(output)
        self._recorded = {}
        return signals

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._attention.clear()

    def __reduce__(self) -> tuple[type[Probe], tuple[nn.Module, tuple[Tap, ...]]]:
        return Probe, (self.model, tuple(self.taps.values()))  # a copied probe listens to the copied model

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _changed_since(tensor: Tensor, version: int) -> bool:
    return not tensor.is_inference() and tensor._version != version


@contextmanager
def preserve_modes(*models: nn.Module) -> Iterator[None]:
    """Leave every submodule in the mode (training or evaluation) that it has now, whatever happens inside."""
    before = [(module, module.training) for model in models for module in model.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a model with one tensor, or with keyword arguments where the inputs are a mapping."""
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


@dataclass(frozen=True)
class FeatureMap:
    """A module whose output is a feature map: where it stands on the way from input to output, and its shape."""

    path: str
    position: float  # share of the leaf modules that have run when this one is done, 0 to 1
    shape: tuple[int, ...]


def feature_maps(model: nn.Module, inputs: Any) -> list[FeatureMap]:
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
    try:
        with torch.no_grad(), preserve_modes(model):
            call_model(model.eval(), inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [FeatureMap(path, count / max(leaves, 1), shape) for path, count, shape in finished]


def stage_ends(maps: list[FeatureMap]) -> list[FeatureMap]:
    """The last map at each resolution: where a network has finished a stage. Of modules that end together (a block and its
    last layer) the outermost is kept, since its name is the one that people know."""
    by_size: dict[tuple[int, ...], list[FeatureMap]] = {}
    for depth in maps:
        by_size.setdefault(depth.shape[2:], []).append(depth)
    ends = []
    for group in by_size.values():
        last = max(depth.position for depth in group)
        ends.append(min((d for d in group if d.position == last), key=lambda d: d.path.count(".")))
    return [end for end in ends if min(end.shape[2:]) > 1] or ends


def pair_taps(
    student: nn.Module, teacher: nn.Module, student_inputs: Any, teacher_inputs: Any, kinds: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pairs of taps at equal relative depth: each stage end of the student with the teacher's nearest one; or, where `kinds` of
    signals of an encoder's layers are named, each numbered layer of the student with the teacher's nearest one.

    Of several kinds all pairs of a layer stand together: queries(1) and queries(2), keys(1) and keys(2), …

    Raises:
        TapError: one of the models has no feature maps, or no numbered layers.
    """
    if kinds:
        depths = equal_depths(*(_count_layers(model, kinds) for model in (student, teacher)))
        return [(f"{kind}({ours})", f"{kind}({theirs})") for ours, theirs in depths for kind in kinds]
    ours, theirs = stage_ends(feature_maps(student, student_inputs)), stage_ends(feature_maps(teacher, teacher_inputs))
    for model, ends in ((student, ours), (teacher, theirs)):
        if not ends:
            name = type(model).__name__
            raise TapError(
                f"taps 'auto': no module of {name} gives a feature map [B, C, H, W]; name the taps (of texts: hidden(-1))"
            )
    return [(end.path, min(theirs, key=lambda other: abs(other.position - end.position)).path) for end in ours]


def _count_layers(model: nn.Module, kinds: Sequence[str]) -> int:
    try:
        return len(layers(model))
    except TapError as error:
        raise TapError(f"taps 'auto' ({', '.join(kinds)} of numbered layers): {error}") from error
