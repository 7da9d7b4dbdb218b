"""The actors of a run: models, each with a role."""

from __future__ import annotations

import copy
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils.weak import WeakIdKeyDictionary

from limbeck.core.model_io import LOGITS
from limbeck.core.originals import originals_first
from limbeck.utils.registry import UnknownNameError

RunVariant = Callable[[nn.Module, Any, torch.Generator], Any]
"""How one variant of a model runs: `(model, inputs, generator) -> output`. The generator is seeded by (seed, step, variant),
so a random subnetwork is a pure function of the run's seed."""


@dataclass(frozen=True)
class Variant:
    """A way to run a model, such as a subnetwork or an exit; a plain function of the same signature is one too.

    Attributes:
        run: `(model, inputs, generator) -> output`; the generator is seeded by (seed, step, name of the variant).
        recalibrate: measure BatchNorm statistics again before this variant is evaluated, because those of the model are
            averages over all variants that trained it.
    """

    run: RunVariant
    recalibrate: bool = False

    def __call__(self, model: nn.Module, inputs: Any, generator: torch.Generator) -> Any:
        return self.run(model, inputs, generator)


class Role(StrEnum):
    TRAINED = "trained"
    FROZEN = "frozen"
    AVERAGE = "average"  # exponential moving average of another actor
    SNAPSHOT = "snapshot"  # copy of another actor as it was when a stage took it


class OutputCache(Protocol):
    """Cached outputs of a frozen actor, by sample key and number of the view.

    Attributes:
        one_view: whether the actor's inputs are the same in all views: then view 0 stands for all of them.
    """

    one_view: bool

    def covers(self, taps: Iterable[str]) -> bool:
        """Whether the signals at all these taps are cached."""

    def flush(self) -> None:
        """Writes what is only in memory: a checkpoint is about to be written, after which a resumed run asks no more for it."""

    def lookup(
        self,
        keys: Tensor,
        views: Tensor,
        taps: list[str],
        device: torch.device,
        compute: Callable[[Tensor | None], Any],
        inputs: Any = None,
    ) -> Mapping[str, Any]:
        """The signals by tap, one row for each item; `compute(rows)` runs the model on rows that are not cached yet."""


@dataclass
class Actor:
    """A model with a role in a run.

    Attributes:
        module: the model; None for an average or snapshot until the run binds it to its original.
        role: who changes it: an optimizer (`trained`), nobody (`frozen`), the run (`average`, `snapshot`).
        of: name of the actor that an average or snapshot copies.
        decay: of an average, applied after every step: new = decay·old + (1 − decay)·original.
        reads: the modality that it is called with, if inputs are a mapping of modalities; None: all of them.
        variants: ways to run it, by name (exits, subnetworks): `student@small`. None: those of the module, if it has an
            attribute `variants`, a mapping from names to functions.
        output: which output of the model its terms, validation and evaluation read: `"logits"`, a key or attribute of the
            output (`"dist"`), a position in a tuple (`"(1)"`), or the tap of a module.
        factory: builds the module if there is none, and a new one for stages that re-initialise the actor.
        channels_last: keep weights and inputs in channels-last memory format; often faster for convolutional models on CPUs.
        precision: data type that the model computes in; None: the run's. On CPUs depthwise convolutions, for one, train faster
            in float32 while their teacher runs faster in bfloat16. Averages and snapshots take both from their original.
        cache: cached outputs of a frozen model (`OutputCache`), which then runs only on items that are not cached; in a
            `Distillation` the `CacheConfig`, from which each training opens the cache.
    """

    module: nn.Module | None
    role: Role = Role.TRAINED
    of: str | None = None
    decay: float = 0.999
    reads: str | None = None
    variants: Mapping[str, RunVariant] = None  # type: ignore[assignment]
    output: str = LOGITS
    factory: Callable[[], nn.Module] | None = None
    channels_last: bool = False
    precision: torch.dtype | None = None
    cache: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.decay, bool) or not isinstance(self.decay, int | float) or not 0 <= self.decay <= 1:
            of = f"average({self.of!r}): " if self.of else ""
            raise ValueError(f"{of}decay is {self.decay!r}; expected a number from 0 to 1, such as 0.999")
        self.adopt_variants()

    def adopt_variants(self) -> None:
        """Takes the variants of the module, if none were given."""
        if not self.variants:
            own = getattr(self.module, "variants", None)
            self.variants = dict(own) if isinstance(own, Mapping) else {}

    @property
    def model(self) -> nn.Module:
        if self.module is None:
            raise ValueError(f"the {self.role} of {self.of!r} is used before the run has bound it")
        return self.module


def trained(module: nn.Module | Callable[..., nn.Module], **options: Any) -> Actor:
    """A model that is trained by the updates that name it; a module, or a function that builds one."""
    return _actor(module, Role.TRAINED, options)


def frozen(module: nn.Module | Callable[..., nn.Module], **options: Any) -> Actor:
    """A model that never changes: evaluation mode, no gradients of its parameters. Gradient still passes *through* it to an
    input that is trained."""
    return _actor(module, Role.FROZEN, options)


def _actor(module: nn.Module | Callable[..., nn.Module], role: Role, options: Mapping[str, Any]) -> Actor:
    if isinstance(module, nn.Module):
        return Actor(module, role, **options)
    return Actor(None, role, **{"factory": module, **options})


AVERAGE_BIBTEX = """
    @inproceedings{tarvainen2017mean,
        title = {Mean teachers are better role models: Weight-averaged consistency targets improve semi-supervised deep
            learning results},
        author = {Tarvainen, Antti and Valpola, Harri},
        booktitle = {Advances in Neural Information Processing Systems},
        year = {2017},
        eprint = {1703.01780},
        archiveprefix = {arXiv},
    }
"""
"""The paper behind averages, Mean Teacher."""


def average(of: str, decay: float = 0.999, **options: Any) -> Actor:
    """The exponential moving average of another actor (Mean Teacher, 1703.01780); buffers are copied, not averaged."""
    return Actor(None, Role.AVERAGE, of=of, decay=decay, **options)


def snapshot(of: str, **options: Any) -> Actor:
    """A frozen copy of another actor, taken at the start of the run and again at the `Snapshot` events of stages."""
    return Actor(None, Role.SNAPSHOT, of=of, **options)


class Actors(Mapping[str, Actor]):
    """The actors of a run by name; creates the modules of averages and snapshots as copies of their originals.

    Raises:
        ValueError: a name that references cannot spell, an unknown original, averages or snapshots in a circle, or a trained
            actor that shares parameters with another one.
    """

    def __init__(self, actors: Mapping[str, Actor]) -> None:
        self._actors = dict(actors)
        for name, actor in self._actors.items():
            if not re.fullmatch(r"[\w.\-]+", name):
                raise ValueError(f"actor name {name!r}: use letters, digits, '_', '-' and '.' only")
            if actor.of is not None and actor.of not in self._actors:
                raise UnknownNameError(f"actor (the original of {name!r})", actor.of, list(self._actors))
        self._in_order = originals_first({name: actor.of for name, actor in self._actors.items()})
        self._averages = [name for name in self._in_order if self._actors[name].role is Role.AVERAGE]
        for actor in (self._actors[name] for name in self._in_order):
            if actor.module is None and actor.factory is not None:
                actor.module = actor.factory()
                actor.adopt_variants()
            if actor.module is None:
                assert actor.of is not None
                original = self._actors[actor.of]
                actor.module = copy.deepcopy(original.model)
                actor.reads = actor.reads if actor.reads is not None else original.reads
                actor.variants = actor.variants or original.variants
                actor.output = original.output if actor.output == LOGITS else actor.output
                actor.channels_last = actor.channels_last or original.channels_last
                actor.precision = actor.precision or original.precision
        check_weights(self._actors)
        for actor in self._actors.values():
            actor.adopt_variants()  # of a module that was given after the actor was made
            if actor.role is not Role.TRAINED:
                freeze(actor.model).eval()
            if actor.channels_last:
                actor.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __getitem__(self, name: str) -> Actor:
        actor = self._actors.get(name)
        if actor is None:
            raise UnknownNameError("actor", name, list(self._actors))
        return actor

    def __iter__(self) -> Iterator[str]:
        return iter(self._actors)

    def __len__(self) -> int:
        return len(self._actors)

    def matching(self, pattern: str) -> list[str]:
        """The names of the actors that a name or a pattern such as `peers.*` matches.

        Raises:
            ValueError: an unknown name, or a pattern that matches no actor.
        """
        if "*" not in pattern:
            self[pattern]
            return [pattern]
        found = [name for name in self._actors if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            raise UnknownNameError("actors", pattern, list(self._actors))
        return found

    def update_averages(self) -> None:
        """Update every average once from its original."""
        for name in self._averages:
            actor = self._actors[name]
            assert actor.of is not None
            update_average(actor.model, self._actors[actor.of].model, actor.decay)

    def flush_caches(self) -> None:
        """Write the cached outputs that are only in memory."""
        for actor in self._actors.values():
            if actor.cache is not None:
                actor.cache.flush()


_frozen_here: WeakIdKeyDictionary = WeakIdKeyDictionary()


def freeze(model: nn.Module) -> nn.Module:
    """Takes the gradient from all parameters, and notes of which: those may be trained in another role later.

    Parameters that come with `requires_grad=False` are a choice of the user, which trainings respect.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            _frozen_here[parameter] = True
        parameter.requires_grad_(False)  # one by one, as TorchScript modules have no requires_grad_
    return model


def carry_frozen(original: nn.Module, copied: nn.Module) -> None:
    """Notes for the parameters of a copy what `freeze` has noted for those of the original."""
    for ours, theirs in zip(copied.parameters(), original.parameters(), strict=True):
        if theirs in _frozen_here:
            _frozen_here[ours] = True


@contextmanager
def preserve_gradient_flags(*models: nn.Module) -> Iterator[None]:
    """Restores `requires_grad` of every parameter afterwards; one that gets it back counts as never frozen."""
    before = [(parameter, parameter.requires_grad) for model in models for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)
            if flag and parameter in _frozen_here:
                del _frozen_here[parameter]


def is_held(parameter: nn.Parameter) -> bool:
    """Whether the user froze this parameter (`requires_grad_(False)`) before handing it over."""
    return not parameter.requires_grad and parameter not in _frozen_here


def check_weights(actors: Mapping[str, Actor]) -> None:
    """Checks that the weights of all modules have shapes and values, and that no trained actor shares any with another.

    Raises:
        ValueError: weights of lazy layers or on the meta device, or those that two actors share; the message names the actors
            and the first.
    """
    for name, actor in actors.items():
        model = actor.module if actor.module is not None else nn.Module()
        for path, tensor in chain(model.named_parameters(), model.named_buffers()):
            if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
                raise ValueError(
                    f"actor {name!r}: {path} has no shape yet, since its layer is lazy; run the model once on a batch "
                    "before you hand it over"
                )
            if tensor.is_meta:
                raise ValueError(
                    f"actor {name!r}: {path} is on the meta device, which keeps shapes and no values; build the model without "
                    "torch.device('meta'), or load weights into it by load_state_dict(…, assign=True)"
                )
    _refuse_shared_parameters(actors)


def _refuse_shared_parameters(actors: Mapping[str, Actor]) -> None:
    """Checks that no trained actor shares parameters or buffers with another: two optimizers would change them, or one what is
    frozen elsewhere. Tensors with the same memory are shared too, whatever objects hold them. Actors without a module (averages
    and those that are built later) share nothing.

    Raises:
        ValueError: two actors share weights; the message names both and the first that they share.
    """
    owners: dict[Any, str] = {}
    for name, actor in actors.items():
        for path, part in {} if actor.module is None else _weights(actor.module).items():
            other = owners.setdefault(part, name)
            roles = (actors[other].role, actor.role)
            if other != name and Role.TRAINED in roles:
                what = f"share parameters ({path})" if path else "share parameters"
                raise ValueError(
                    f"actors {other!r} ({roles[0]}) and {name!r} ({roles[1]}) {what}, and one is trained; hand over a deep "
                    f"copy: copy.deepcopy(model){_peft_remedy(actors[other], actor)}"
                )


def _weights(model: nn.Module) -> dict[str, Any]:
    """What identifies a module and its parameters and buffers, by path."""
    found: dict[str, Any] = {"": id(model)}
    for path, tensor in chain(model.named_parameters(), model.named_buffers()):
        found[path] = _memory_of(tensor)
    return found


def _memory_of(tensor: Tensor) -> Any:
    """Where a tensor lies in memory; without any (empty, not on a device, not yet initialised) the object itself."""
    try:
        address = tensor.data_ptr() if tensor.numel() else 0
    except (RuntimeError, NotImplementedError, ValueError):
        address = 0
    return (str(tensor.device), address) if address else id(tensor)


def _peft_remedy(*actors: Actor) -> str:
    """What to do if one is a PEFT model around the other, whose layers `get_peft_model` replaces in place."""
    if not any(hasattr(actor.module, "peft_config") for actor in actors):
        return ""
    return ". get_peft_model changes its base in place; the base without adapters is copy.deepcopy(student).unload()"


@torch.no_grad()
def update_average(mean: nn.Module, original: nn.Module, decay: float) -> None:
    """mean ← decay·mean + (1 − decay)·original for parameters; buffers are copied."""
    ours: list[Tensor] = list(mean.parameters())
    if ours:
        torch._foreach_lerp_(ours, [p.detach() for p in original.parameters()], 1 - decay)
    for buffer, source in zip(mean.buffers(), original.buffers(), strict=True):
        buffer.copy_(source)


def actor_inputs(actor: Actor, name: str, inputs: Any) -> Any:
    """The inputs that this actor is called with: all of them, or the modality that it reads."""
    if actor.reads is None:
        return inputs
    if not isinstance(inputs, Mapping) or actor.reads not in inputs:
        known = list(inputs) if isinstance(inputs, Mapping) else ["(a single tensor)"]
        raise UnknownNameError(f"modality read by actor {name!r}", actor.reads, known)
    return inputs[actor.reads]
