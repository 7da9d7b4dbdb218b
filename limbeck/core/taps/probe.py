"""Probes record the signals of a model at its taps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import LOGITS, call_model, part_of, select_output
from limbeck.core.signals import Signal
from limbeck.core.taps.attention_modules import KINDS
from limbeck.core.taps.attention_recording import Callbacks, recording_attention
from limbeck.core.taps.batch_statistics import STATISTICS, input_statistics
from limbeck.core.taps.encoder_layout import HookPoint
from limbeck.core.taps.tap import Tap

OUTPUT = "(output)"  # what the tap of `Actor.output` is recorded as
tap_watchers: WeakKeyDictionary[nn.Module, Callable[[str, Tensor], None]] = WeakKeyDictionary()
"""By model, what is called with the path and the tensor of each signal that is recorded of it."""


def _tensor_of(value: Any, tap: Tap) -> Tensor:
    """The tensor in the output of a module: itself, the last hidden state, or the first element of a tuple."""
    value = getattr(value, "last_hidden_state", value)
    while isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        raise TapError(f"tap {str(tap)!r} gives {type(value).__name__}, not a tensor")
    return value


class Signals(dict[str, Tensor | Signal]):
    """Signals by tap. A tap that was not reached (an early exit skips what comes later) raises a TapError on access."""

    def __missing__(self, tap: str) -> Tensor | Signal:
        raise TapError(f"tap {tap!r} was not reached when the model ran")


class Hook:
    """One hook of a probe. Its copies do nothing, so that a copied or saved model is not recorded."""

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
    """A model with taps: `probe(inputs)` runs the model once and returns the signal at each tap.

    Hooks stay on the model until `close()` (or the end of a `with` block) and record only during a call; the model's class and
    `state_dict` are unchanged. Of a module that runs several times the last output counts, unless its runs are layers with
    numbers. For attention see `attention_recording.recording_attention`.

    A layer that changes its input in place (such as `ReLU(inplace=True)`) would change a signal after it was recorded. The
    first call detects this by the version of the tensor and runs again; from then on the tap stores a copy.

    Args:
        model: any module.
        taps: what to record; more can be added.
        output: what the tap `logits` stands for; see `Actor.output`.
    """

    def __init__(self, model: nn.Module, taps: Iterable[str | Tap] = (LOGITS,), *, output: str = LOGITS) -> None:
        self.model, self.output = model, output
        self.taps: dict[str, Tap] = {}
        self._recording = False
        self._recorded: dict[str, tuple[Tensor, int]] = {}
        self._runs: dict[str, int] = {}  # number of times each tap was reached in this call
        self._copied: set[str] = set()
        self._attention: dict[nn.Module, Callbacks] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for tap in taps:
            self.add(tap)

    def add(self, tap: str | Tap) -> None:
        """Record one more tap."""
        tap = Tap.parse(tap)
        if str(tap) in self.taps:
            return
        self.taps[str(tap)] = tap
        if tap == Tap(LOGITS) and self.output != LOGITS:
            if is_tap(self.model, self.output):
                self._hook(OUTPUT, Tap.parse(self.output))
        elif tap != Tap(LOGITS) or LOGITS in dict(self.model.named_modules()):  # the model's own output needs no hook
            self._hook(str(tap), tap)

    def _hook(self, name: str, tap: Tap) -> None:
        """Records the signal at a tap under this name."""
        hook_point = tap.hook_point(self.model)
        module = self.model.get_submodule(hook_point.path)
        callback = functools.partial(self._record, name, tap, hook_point)
        if hook_point.side in KINDS:
            self._attention.setdefault(module, {}).setdefault(hook_point.side, []).append(callback)
        elif hook_point.side in ("input", STATISTICS):
            if hook_point.side == STATISTICS:
                callback = functools.partial(self._record_statistics, module, callback)
            self._handles.append(module.register_forward_pre_hook(Hook(callback).before, with_kwargs=True))
        else:
            self._handles.append(module.register_forward_hook(Hook(callback).after))

    def _record(self, name: str, tap: Tap, point: HookPoint, value: Any) -> None:
        if not self._recording:
            return
        tensor = _tensor_of(value, tap)
        self._runs[name] = self._runs.get(name, -1) + 1
        if point.run is not None and self._runs[name] != point.run:
            return
        if tap.of == "cls":
            tensor = tensor[:, 0]
        if name in self._copied or tensor.is_inference():  # inference tensors have no version to compare
            tensor = tensor.clone()
        self._recorded[name] = (tensor, 0 if tensor.is_inference() else tensor._version)
        if tap_watchers:
            self._watch(point.path, tensor)

    def _watch(self, path: str, signal: Any) -> None:
        if isinstance(signal, Tensor) and (watcher := tap_watchers.get(self.model)) is not None:
            watcher(path, signal)

    def _record_statistics(self, layer: nn.Module, record: Callable[[Any], None], value: Any) -> None:
        if self._recording:
            record(input_statistics(layer, _tensor_of(value, Tap("", STATISTICS))))

    def __call__(self, inputs: Any, run: Callable[[nn.Module, Any], Any] | None = None) -> Signals:
        """Runs the model, with `run(model, inputs)` if given, and returns `{tap: signal}`."""
        call, signals = run or call_model, Signals()
        output = self._call_recording(call, inputs, signals) if self.has_hooks else call(self.model, inputs)
        chosen = signals.pop(OUTPUT, None)
        if LOGITS in self.taps and LOGITS not in signals:  # a key of the output goes before a module of that name
            by_tap = chosen is not None and part_of(output, self.output) is None
            signals[LOGITS] = chosen if by_tap and chosen is not None else select_output(output, self.output)
            if tap_watchers:
                self._watch("", signals[LOGITS])
        return signals

    def _call_recording(self, call: Callable[[nn.Module, Any], Any], inputs: Any, signals: Signals) -> Any:
        """Runs the model and returns its output; what the hooks have recorded is added to the signals."""
        self._recorded, self._runs, self._recording = {}, {}, True
        try:
            with recording_attention(self.model, self._attention) if self._attention else nullcontext():
                output = call(self.model, inputs)
        finally:
            self._recording = False
        changed = {name for name, (tensor, version) in self._recorded.items() if _changed_since(tensor, version)}
        if changed:
            self._copied |= changed
            return self._call_recording(call, inputs, signals)
        signals.update({name: tensor for name, (tensor, _) in self._recorded.items()})
        self._recorded = {}
        return output

    @property
    def has_hooks(self) -> bool:
        """Whether anything but the model's own output is recorded."""
        return bool(self._handles or self._attention)

    def close(self) -> None:
        """Remove all hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._attention.clear()

    def __reduce__(self) -> tuple[Callable[..., Probe], tuple[nn.Module, tuple[Tap, ...]]]:
        return functools.partial(Probe, output=self.output), (
            self.model,
            tuple(self.taps.values()),
        )  # a copied probe records the copied model

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_tap(model: nn.Module, text: str) -> bool:
    """Whether the text is a tap of this model."""
    try:
        Tap.parse(text).hook_point(model)
    except TapError:
        return False
    return True


def _changed_since(tensor: Tensor, version: int) -> bool:
    return not tensor.is_inference() and tensor._version != version
