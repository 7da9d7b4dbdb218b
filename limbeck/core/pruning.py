"""Removes the modules of a network that an early exit does not need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx, nn

from limbeck.core.actors import RunVariant
from limbeck.core.batch import copy_tensors
from limbeck.core.model_io import LOGITS, call_model, preserve_modes
from limbeck.core.readout import SEED, dense, read_until
from limbeck.core.taps.attention_modules import KINDS
from limbeck.core.taps.batch_statistics import STATISTICS
from limbeck.core.taps.tap import Tap


class Removed(nn.Module):
    """Stands where a module was removed, so that the paths of the others stay as they are."""

    def forward(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("this module was removed from the network, because the exit does not need it")


def remove_modules(model: nn.Module, paths: Iterable[str]) -> None:
    """Replaces the modules at these paths by `Removed`, in place. Hooks that watch them stay."""
    for path in paths:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, _stub_of(model.get_submodule(path)))


def _stub_of(module: nn.Module) -> Removed:
    stub = Removed()
    stub.training = module.training
    return stub


def prune_to_tap(
    model: nn.Module, tap: str, *, run: RunVariant | None = None, example: Any = None
) -> tuple[list[str], int | None]:
    """Finds the modules of `model` that the signal at a tap does not need, and which run of the tapped module gives it.

    The model runs on `example`, or is traced symbolically; a module that was not called before the tap was reached is not
    needed. Submodules of a module that was called are all kept. The children of a container with `independent = True` (exits)
    are needed by nothing but their own tap.

    Returns:
        paths of the modules that can be removed, and the number of the run; nothing and None if neither tells.
    """
    point = Tap.parse(tap).hook_point(model)
    if point.side in (*KINDS, STATISTICS) or tap == LOGITS:
        return [], None
    tapped = model.get_submodule(point.path)
    calls = _Calls(tapped, point.side == "input", point.run)
    if example is not None:
        _follow(model, calls, example, run)
    elif run is None:
        _trace(model, calls)
    if calls.last is None:
        return [], None
    removed = _unneeded(model, calls)
    if example is not None and not _same(model, removed, tap, calls.last, example, run):
        return [], calls.last
    return removed, calls.last


def independent_parts(model: nn.Module) -> list[str]:
    """Paths of the modules that nothing but their own tap needs: the children of containers with `independent = True`."""
    containers = [(path, module) for path, module in model.named_modules() if getattr(module, "independent", False)]
    return [f"{path}.{name}" if path else name for path, module in containers for name, _ in module.named_children()]


class _Calls:
    """The modules that have been called when the run of the tapped module that is read is reached.

    Attributes:
        done: modules that were called and finished, or whose weights were used.
        open: modules that the tapped module runs within.
        last: which run was reached; None: none.
    """

    def __init__(self, tapped: nn.Module, before: bool, wanted: int | None) -> None:
        self.tapped, self.before, self.wanted = tapped, before, wanted
        self.finished: list[nn.Module] = []
        self.stack: list[nn.Module] = []
        self.done: set[nn.Module] = set()
        self.open: set[nn.Module] = set()
        self.last: int | None = None

    def start(self, module: nn.Module) -> None:
        if module is self.tapped and self.before:
            self._reach()
        self.stack.append(module)

    def end(self, module: nn.Module) -> None:
        self.stack.pop()
        self.finished.append(module)
        if module is self.tapped and not self.before:
            self._reach()

    def _reach(self) -> None:
        number = -1 if self.last is None else self.last
        if self.wanted is None or number < self.wanted:
            self.last, self.done, self.open = number + 1, set(self.finished), set(self.stack)


def _follow(model: nn.Module, calls: _Calls, example: Any, run: RunVariant | None) -> None:
    """Runs the model in evaluation mode and records its calls."""
    handles = []
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(lambda module, _: calls.start(module)))
        handles.append(module.register_forward_hook(lambda module, _, __: calls.end(module), prepend=True))
    try:
        with preserve_modes(model), torch.no_grad():
            model.eval()
            if run is None:
                call_model(model, copy_tensors(example))
            else:
                run(model, copy_tensors(example), torch.Generator().manual_seed(SEED))
    finally:
        for handle in handles:
            handle.remove()


def _trace(model: nn.Module, calls: _Calls) -> None:
    """Traces the code of the modules that contain the tap symbolically; what they call is not looked into."""
    try:
        with preserve_modes(model):
            _Tracer(model, calls).trace(model.eval())
    except Exception:  # code that decides by values or shapes; what was called before the tap is known even so
        return


class _Tracer(fx.Tracer):
    """Records the calls of modules. It looks into those that contain the tap, or a module with hooks, in which exits run."""

    def __init__(self, model: nn.Module, calls: _Calls) -> None:
        super().__init__()
        self.calls, self.model = calls, model
        calls.start(model)

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return not any(part is self.calls.tapped or part._forward_hooks for part in module.modules() if part is not module)

    def call_module(self, module: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.calls.start(module)
        output = super().call_module(module, forward, args, kwargs)
        self.calls.end(module)
        if self.is_leaf_module(module, ""):  # its hooks were not called
            for number, hook in module._forward_hooks.items():
                extra = (kwargs,) if number in module._forward_hooks_with_kwargs else ()
                changed = hook(module, args, *extra, output)
                output = output if changed is None else changed
        return output

    def getattr(self, attr: str, value: Any, cache: Any) -> Any:
        if isinstance(value, nn.Parameter | torch.Tensor):
            self._use_owner(value)
        return super().getattr(attr, value, cache)

    def _use_owner(self, tensor: torch.Tensor) -> None:
        """A parameter that code reads from outside its module: the module is needed like one that is called."""
        for module in self.model.modules():
            if any(own is tensor for own in (*module._parameters.values(), *module._buffers.values())):
                self.calls.finished.append(module)


def _unneeded(model: nn.Module, calls: _Calls) -> list[str]:
    """Paths of the outermost modules with parameters or buffers that were not called."""
    removed: list[str] = []
    used = {*calls.done, *calls.open}

    def visit(module: nn.Module, path: str) -> None:
        for name, child in module.named_children():
            others = getattr(module, "independent", False) and calls.tapped not in child.modules()
            if others or not any(part in used for part in child.modules()):
                if child.state_dict():
                    removed.append(f"{path}{name}")
            elif child not in calls.done:
                visit(child, f"{path}{name}.")

    visit(model, "")
    return removed


def _same(model: nn.Module, removed: list[str], tap: str, last: int, example: Any, run: RunVariant | None) -> bool:
    """Whether the signal stays the same without these modules; code may use weights of a module that it does not call."""
    originals = {path: model.get_submodule(path) for path in removed}
    with preserve_modes(model), torch.no_grad():
        model.eval()
        expected, _ = read_until(model, example, tap, last=last, run=run)
        try:
            remove_modules(model, removed)
            found, _ = read_until(model, example, tap, last=last, run=run)
        except Exception:
            return False
        finally:
            for path, module in originals.items():
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, module)
    return torch.equal(dense(found, tap), dense(expected, tap))
