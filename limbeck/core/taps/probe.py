"""Probes record the signals of a model at its taps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import LOGITS, call_model, logits_of
from limbeck.core.signals import Signal
from limbeck.core.taps.attention import Callbacks, recording_attention
from limbeck.core.taps.encoder_layout import KINDS
from limbeck.core.taps.tap import Tap


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
