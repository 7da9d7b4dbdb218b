"""Further branches for any backbone: copies of its last modules, and a gate that weighs their outputs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.model_io import LOGITS, preserve_modes
from limbeck.core.signals import shape_of
from limbeck.core.taps import Probe, Tap
from limbeck.models.base import get, record_spec, registry, spec_of
from limbeck.models.exits import example_inputs

BRANCHES, HEADS, GATE = "branches", "heads", "ensemble"
LAN_2018 = """
    @inproceedings{lan2018knowledge,
        title = {Knowledge Distillation by On-the-Fly Native Ensemble},
        author = {Lan, Xu and Zhu, Xiatian and Gong, Shaogang},
        booktitle = {Advances in Neural Information Processing Systems},
        year = {2018},
        eprint = {1806.04606},
        archiveprefix = {arXiv},
    }
"""


class Branch(nn.Module):
    """Copies of the modules of one branch. Returns the logits of its branch, which are what its tap reads."""

    def __init__(self, copies: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleDict({path.replace(".", "_"): module for path, module in copies.items()})

    def copy_of(self, path: str) -> nn.Module:
        return self.copies[path.replace(".", "_")]

    def forward(self, logits: Tensor) -> Tensor:
        return logits


class Gate(nn.Module):
    """Σ_k g_k z_k with g = softmax(ReLU(BN(W f + b))): the ensemble of K branches, weighed for each item.

    f [B, C] is the mean over positions of what the branches read, z_k [B, classes] are their logits.
    """

    def __init__(self, channels: int, branches: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(channels, branches), nn.BatchNorm1d(branches), nn.ReLU())

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        pooled = features.flatten(2).mean(2) if features.ndim == 4 else features.mean(1) if features.ndim == 3 else features
        shares = self.score(pooled).softmax(-1)
        return torch.einsum("bk,kbc->bc", shares.to(logits.dtype), logits)


class Heads(nn.ModuleDict):
    """The further branches by number, and their ensemble."""

    def forward(self, output: Any) -> Any:
        return output

    @property
    def further(self) -> list[Branch]:
        return [head for head in self.values() if isinstance(head, Branch)]

    @property
    def count(self) -> int:
        """Number of branches, the model's own included."""
        return len(self.further) + 1

    @property
    def is_read(self) -> bool:
        """Whether a hook watches any part of it, so that the branches have to run."""
        return any(part._forward_hooks or part._forward_pre_hooks for part in self.modules())


class Branches(nn.Module):
    """Holds the heads. Nothing but their own taps needs them, so that the network is the plain backbone without them."""

    independent = True

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.add_module(HEADS, heads)
        self.features: Tensor | None = None  # what the branches read in the current forward pass

    def forward(self, output: Any) -> Any:
        return output

    @property
    def running(self) -> Heads | None:
        """The heads if anything reads them; None if nothing does, or if they were removed."""
        heads = getattr(self, HEADS)
        return heads if isinstance(heads, Heads) and heads.is_read else None


def _by_branch(rows: Tensor, count: int) -> tuple[Tensor, ...]:
    """The rows of each branch; by their number divided, not in pieces, so that an exported graph takes any number of items."""
    return rows.reshape(count, -1, *rows.shape[1:]).unbind()


class RunCopies:
    """Forward hooks of one module of the branches: its copies run on the rows of their branches, and the rows are joined.

    The first module of a branch is read by all copies alike. From there on the batch holds the rows of all branches, one
    branch after the other, so that layers without weights run once for all of them.
    """

    def __init__(self, branches: Branches, path: str, *, first: bool) -> None:
        self.branches, self.path, self.first = branches, path, first
        self.rows: tuple[Tensor, ...] = ()

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        heads, self.rows = self.branches.running, ()
        if heads is None:
            return None
        if self.first:
            self.branches.features, self.rows = args[0], (args[0],) * heads.count
        else:
            self.rows = _by_branch(args[0], heads.count)
        return (self.rows[0], *args[1:])

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        heads, rows, self.rows = self.branches.running, self.rows, ()
        if heads is None:
            return None
        others = zip(heads.further, rows[1:], strict=True)
        return torch.cat([output, *(head.copy_of(self.path)(own) for head, own in others)])


class Join:
    """Forward hook of the model: shows each head its logits, and returns those of the first branch."""

    def __init__(self, branches: Branches) -> None:
        self.branches = branches

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        heads, features = self.branches.running, self.branches.features
        self.branches.features = None
        if heads is None or features is None:
            return None
        logits = _by_branch(output, heads.count)
        for head, own in zip(heads.further, logits[1:], strict=True):
            head(own)
        heads[GATE](features, torch.stack(logits))
        return logits[0]


@registry.register("with_branches", cite=LAN_2018)
def with_branches(
    model: nn.Module | Mapping[str, Any],
    modules: Sequence[str],
    count: int = 3,
    *,
    example: Any = None,
    features: int | None = None,
) -> nn.Module:
    """A copy of a model whose last modules exist several times, with a gate that weighs the outputs of the branches (ONE).

    The model still returns its own output, that of its first branch, and its paths and keys of the `state_dict` stay as they
    are. The others are taps: `branches.heads.1`, `branches.heads.2`, …, and `branches.heads.ensemble`. They run only where one
    of them is read, all in one forward pass in which the layers before them run once. So the network that is kept, or exported,
    is the plain backbone.

    Args:
        model: the model, which returns logits [B, classes]; or how it is built: `{"model": name, "args": {...}}`.
        modules: paths of the modules of a branch in the order in which they run, such as `["layer3", "linear"]`. Modules that
            run after the first one and are not named are shared by all branches.
        count: number of branches, the model's own included.
        example: inputs for the run that measures shapes, two items or more; None: zeros of a size that the first layer takes.
        features: channels of what the branches read, if they are known; nothing is run then.

    Raises:
        ValueError: fewer than two branches, no or unknown modules, modules in another order than they run in, or a model whose
            code after the first module mixes the items of a batch.

    Source: Lan, Zhu, Gong 2018, Knowledge Distillation by On-the-Fly Native Ensemble (arXiv:1806.04606), section 3.1.
    """
    new = copy.deepcopy(model) if isinstance(model, nn.Module) else get(model["model"], **model.get("args", {}))
    _check_arguments(new, modules, count)
    inputs = None if features is not None else _checked_order(new, modules, example)
    width = features if features is not None else _channels(new, modules[0], inputs)
    spec = spec_of(new) if isinstance(model, nn.Module) else dict(model)
    heads = Heads({str(number): Branch(_new_weights(new, spec, modules)) for number in range(1, count)})
    heads[GATE] = Gate(width, count)
    _attach(new, Branches(heads.to(next(new.parameters()).device)), modules)
    if inputs is not None:
        _check_rows(new, inputs)
    new.__dict__.pop("built_from", None)
    if spec is not None:
        record_spec(new, "with_branches", {"model": spec, "modules": list(modules), "count": count, "features": width})
    return new


def _check_arguments(model: nn.Module, modules: Sequence[str], count: int) -> None:
    if count < 2:
        raise ValueError(f"with_branches: count is {count}; expected at least 2, the model's own branch included")
    if not modules or isinstance(modules, str):
        raise ValueError(f"with_branches: modules is {modules!r}; name those of a branch in a list, as ['layer3', 'linear']")
    if hasattr(model, BRANCHES):
        raise ValueError(f"with_branches: {type(model).__name__} has a part named branches already; name it by its tap")
    for path in modules:
        Tap.parse(path).find(model)


def _channels(model: nn.Module, first: str, inputs: Any) -> int:
    """Channels of what the branches read."""
    tap = f"input({first})"
    with Probe(model, [tap]) as probe, preserve_modes(model), torch.no_grad():
        model.eval()
        shape = shape_of(probe(inputs)[tap])
    return int(shape[1] if len(shape) == 4 else shape[-1])  # type: ignore[arg-type]


def _attach(model: nn.Module, branches: Branches, modules: Sequence[str]) -> None:
    """Adds the branches to a model, with the hooks that run them."""
    model.add_module(BRANCHES, branches.train(model.training))
    for number, path in enumerate(modules):
        hooks, module = RunCopies(branches, path, first=number == 0), model.get_submodule(path)
        module.register_forward_pre_hook(hooks.before)
        module.register_forward_hook(hooks.after)
    model.register_forward_hook(Join(branches))


def _new_weights(model: nn.Module, spec: Mapping[str, Any] | None, modules: Sequence[str]) -> dict[str, nn.Module]:
    """The modules of a further branch with weights of their own, drawn as those of the model are."""
    if spec is not None:
        other = get(spec["model"], **spec["args"])
        return {path: other.get_submodule(path) for path in modules}
    copies = {path: copy.deepcopy(model.get_submodule(path)) for path in modules}
    for each in copies.values():
        for part in each.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
    return copies


def _checked_order(model: nn.Module, modules: Sequence[str], example: Any) -> Any:
    """Inputs with which the model runs; raises if the modules run in another order than named, or not once each."""
    failed: Exception | None = None
    for inputs in [example] if example is not None else example_inputs(model):
        ran: list[str] = []
        handles = [
            model.get_submodule(path).register_forward_pre_hook(lambda *_, path=path, ran=ran: ran.append(path))
            for path in modules
        ]
        try:
            with preserve_modes(model), torch.no_grad():
                output = model.eval()(inputs)
        except Exception as error:
            failed = error
            continue
        finally:
            for handle in handles:
                handle.remove()
        if ran != list(modules):
            raise ValueError(
                f"with_branches: modules are {list(modules)} and run as {ran}; name each once, in the order it runs"
            )
        if not isinstance(output, Tensor) or output.ndim != 2:
            raise ValueError(
                f"with_branches: {type(model).__name__} returns {type(output).__name__}; expected logits [B, classes]"
            )
        return inputs
    why = f"it failed on zeros with: {failed}" if failed is not None else "its first layer does not tell what it reads"
    raise ValueError(f"with_branches: cannot make inputs for {type(model).__name__} ({why}); pass example=inputs") from failed


def _check_rows(model: nn.Module, inputs: Any) -> None:
    """Refuses a model that mixes the items of a batch: its first branch would not be the plain model."""
    tap = f"{BRANCHES}.{HEADS}.{GATE}"
    with preserve_modes(model), torch.no_grad():
        alone = model.eval()(inputs)
        try:
            with Probe(model, [LOGITS, tap]) as probe:
                found = probe(inputs)[LOGITS]
            same = isinstance(found, Tensor) and torch.allclose(found, alone, rtol=1e-3, atol=1e-4)
        except (RuntimeError, ValueError):
            same = False
    if not same:
        raise ValueError(
            f"with_branches: the code of {type(model).__name__} after the first of the modules depends on the size of the "
            "batch; let the branches begin later"
        )
