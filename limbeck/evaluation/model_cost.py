"""The cost of a model: size, multiply-accumulates, latency and memory of one inference.

Everything is measured with a batch size of one, on the CPU by default. Device, train or eval mode, gradients and the number of
threads are restored afterwards.
"""

from __future__ import annotations

import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves, tree_map

from limbeck.evaluation.flops import count_flops

WARM_UP = 5
TURN = 10  # timed inferences of a model before the next model has its turn


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference: median and 95th percentile."""

    median: float
    p95: float


@dataclass(frozen=True)
class ModelCost:
    """The cost of one model."""

    parameters: int
    file_bytes: int
    macs: int
    latency_ms: Latency
    peak_memory_bytes: int


def measure_costs(
    models: Mapping[str, nn.Module], example: Any, *, runs: int = 50, device: str = "cpu"
) -> dict[str, ModelCost]:
    """The costs of `models` by name, on the first item of a batch.

    Args:
        example: the batch: a tensor, a tuple, or a mapping of keyword arguments.
        runs: timed inferences of each model.
    """
    times = latency(models, example, runs=runs, device=device)
    return {
        name: ModelCost(
            parameters(model),
            file_bytes(model),
            macs(model, example, device=device),
            times[name],
            peak_memory(model, example, device=device),
        )
        for name, model in models.items()
    }


def parameters(model: nn.Module) -> int:
    """Number of parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def file_bytes(model: nn.Module) -> int:
    """Size of the model as a safetensors file, which is written to a temporary folder.

    Tensors that hold others, such as the quantized weights of torchao, count as what they hold.
    """
    from safetensors.torch import save_file, save_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        state = model.state_dict()
        if any(map(is_traceable_wrapper_subclass, state.values())):
            save_file({key: part for name, tensor in state.items() for key, part in _held(name, tensor)}, str(path))
        else:
            save_model(model, str(path))
        return path.stat().st_size


def _held(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The plain tensors that a tensor consists of, by name."""
    if not is_traceable_wrapper_subclass(tensor):
        yield name, tensor.detach().cpu().contiguous().clone()
        return
    for part in tensor.__tensor_flatten__()[0]:
        yield from _held(f"{name}.{part}", getattr(tensor, part))


def macs(model: nn.Module, example: Any, *, device: str = "cpu") -> int:
    """Multiply-accumulates of one inference: half of the FLOPs that torch counts in matrix products and convolutions.

    Runs without fused kernels, as `count_flops` does.
    """
    return macs_until(model, [None], example, device=device)[0]


def macs_until(model: nn.Module, modules: Sequence[nn.Module | None], example: Any, *, device: str = "cpu") -> list[int]:
    """Multiply-accumulates of one inference until each of these modules has finished; None: until the end. See `macs`."""
    found: dict[nn.Module | None, int] = {}
    with _evaluating(model, device), count_flops() as counter, ExitStack() as hooks:
        for module in modules:
            if module is not None:
                handle = module.register_forward_hook(lambda module, *_: found.update({module: counter.get_total_flops() // 2}))
                hooks.callback(handle.remove)
        _call(model, _one(example, device))
    found[None] = counter.get_total_flops() // 2
    return [found[module] for module in modules]


def latency(models: Mapping[str, nn.Module], example: Any, *, runs: int = 50, device: str = "cpu") -> dict[str, Latency]:
    """Latency of one inference of each model, on one thread.

    The models take turns in one process, so that disturbances affect all of them. A turn has several inferences, the first of
    which is not timed: on its device a model runs alone, with its own weights in the caches.
    """
    if runs < 1:
        raise ValueError(f"runs is {runs}; expected at least 1")
    times: dict[str, list[float]] = {name: [] for name in models}
    with _one_thread(), _all_evaluating(list(models.values()), device):
        item = _one(example, device)
        for model in models.values():
            _times(model, item, device, WARM_UP)
        for start in range(0, runs, TURN):
            for name, model in models.items():
                times[name] += _times(model, item, device, min(TURN, runs - start) + 1)[1:]
    return {name: Latency(float(np.median(ms)), float(np.percentile(ms, 95))) for name, ms in times.items()}


def peak_memory(model: nn.Module, example: Any, *, device: str = "cpu") -> int:
    """Bytes of parameters and buffers, plus the peak of the tensors allocated during one inference.

    On the CPU the result of each operator counts until its storage is freed (scratch memory of a kernel is not seen); on CUDA
    the allocator's statistics are used.
    """
    with _evaluating(model, device):
        item = _one(example, device)
        owned: dict[int, int] = {
            storage._cdata: storage.nbytes() for storage in _storages([*model.parameters(), *model.buffers()])
        }
        weights = sum(owned.values())
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = int(torch.cuda.memory_allocated())
            _call(model, item)
            return weights + int(torch.cuda.max_memory_allocated()) - before
        tracker = _AllocationTracker(set(owned) | {storage._cdata for storage in _storages(tree_leaves(item))})
        with tracker:
            _call(model, item)
        return weights + tracker.peak


class _AllocationTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the sizes of new storages while operators run, and subtracts them when they are freed."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known = known
        self.live: int = 0
        self.peak: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for storage in _storages(tree_leaves(result)):
            if storage._cdata not in self.known:
                self.known.add(storage._cdata)
                self.live += storage.nbytes()
                weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return result

    def _free(self, address: int, size: int) -> None:
        self.known.discard(address)  # the address may be reused
        self.live -= size


def output_of(result: Any) -> Any:
    """The logits of a model's output: the tensor itself, or `.logits` of a Transformers output."""
    return result.logits if hasattr(result, "logits") else result


def _call(model: nn.Module, item: Any) -> Any:
    with torch.no_grad():
        if isinstance(item, Mapping):
            return output_of(model(**item))
        return output_of(model(*item) if isinstance(item, tuple) else model(item))


def _one(example: Any, device: str) -> Any:
    """The first item of a batch, on `device`. The first dimension of every tensor is the batch."""
    plain = dict(example) if isinstance(example, Mapping) else example
    return tree_map(lambda leaf: leaf[:1].to(device) if isinstance(leaf, Tensor) else leaf, plain)


def _storages(leaves: list[Any]) -> Iterator[torch.UntypedStorage]:
    return (leaf.untyped_storage() for leaf in leaves if isinstance(leaf, Tensor))


def _times(model: nn.Module, item: Any, device: str, count: int) -> list[float]:
    """Milliseconds of each of `count` inferences, synchronised with the device."""
    found = []
    for _ in range(count):
        _synchronise(device)
        start = time.perf_counter_ns()
        _call(model, item)
        _synchronise(device)
        found.append((time.perf_counter_ns() - start) / 1e6)
    return found


def _synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _evaluating(model: nn.Module, device: str) -> Iterator[None]:
    """Runs with `model` in eval mode on `device`; restores the mode of every module and the device afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    devices = {tensor.device for tensor in [*model.parameters(), *model.buffers()]}
    elsewhere = devices - {torch.empty(0, device=device).device}
    if len(devices) > 1 and elsewhere:
        raise ValueError(f"the model is on {sorted(map(str, devices))}; move it to one device before measuring")
    model.eval()
    if elsewhere:
        model.to(device)
    try:
        yield
    finally:
        if elsewhere:
            model.to(next(iter(elsewhere)))
        for module, training in modes:
            module.training = training


@contextmanager
def _all_evaluating(models: list[nn.Module], device: str) -> Iterator[None]:
    if not models:
        yield
        return
    with _evaluating(models[0], device), _all_evaluating(models[1:], device):
        yield
