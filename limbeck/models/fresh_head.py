"""Weights with another head: those of the trunk are loaded, and the head starts anew."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from limbeck.models.checkpoint_keys import SHOWN, State, state_dicts

LEAST = 0.5  # share of the parameters (without the head's) that a file must have


def trunk_of(content: object, own: Mapping[str, Tensor], path: str | Path, optional: Collection[str] = ()) -> State:
    """Returns the weights of a checkpoint that belong to the trunk of a model, and warns of what is left out.

    The head is what differs from the file in name or shape, if it comes last in the model, as heads do. If nothing differs
    it is the last layer: its classes may be others, in the same number.

    Args:
        content: of the file.
        own: the `state_dict` of the model.
        path: of the file, for messages.
        optional: names that a file may lack: second names of shared tensors.

    Raises:
        ValueError: the file has no weights, or differs from the model elsewhere than at its end.
    """
    state = _most_fitting(content, own, path)
    head = [key for key in own if key not in optional and not _fits(key, state, own)]
    head = [key for key in head if not key.endswith("num_batches_tracked")] or _last_layer(own)
    kept = {key: value for key, value in state.items() if key in own and key not in head}
    _check_last(head, own, optional, path)
    _check_share(kept, head, own, path)
    left = sorted((key for key in state if key not in kept), key=lambda key: key.endswith("num_batches_tracked"))
    warnings.warn(
        f"{path}: fresh_head: {_named(head, own)} of the model start anew, and {_named(left, state)} of the file "
        f"{'is' if len(left) == 1 else 'are'} left out; the other {len(kept)} tensors are loaded",
        stacklevel=3,
    )
    return kept


def _most_fitting(content: object, own: Mapping[str, Tensor], path: str | Path) -> State:
    """The state in the checkpoint, behind the prefix, of which most tensors fit."""
    best, most, others = State(), 0, 0
    for _, tensors in state_dicts(content):
        prefixes = {key[: -len(name)] for name in own for key in tensors if key.endswith(name)}
        for prefix in sorted(prefixes, key=len):
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            fitting = sum(_fits(key, state, own) for key in own)
            others = 1 if fitting > most else others + (fitting == most)
            if fitting > most:
                best, most = state, fitting
    if not most:
        raise ValueError(f"{path}: none of its tensors fits this model by name and shape; it belongs to another architecture")
    if others > 1:
        raise ValueError(
            f"{path} holds the weights of {others} models of which as many tensors fit. Save the one that is meant in a file "
            "of its own"
        )
    return best


def _fits(key: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    return key in state and state[key].shape == own[key].shape


def _last_layer(own: Mapping[str, Tensor]) -> list[str]:
    """The tensors of the last layer with a matrix of weights."""
    last = [key for key, value in own.items() if value.ndim > 1][-1]
    layer = last.rpartition(".")[0]
    return [key for key in own if key.rpartition(".")[0] == layer]


def _check_last(head: Collection[str], own: Mapping[str, Tensor], optional: Collection[str], path: str | Path) -> None:
    names = [key for key in own if key not in optional and not key.endswith("num_batches_tracked")]
    first = names.index(next(iter(head)))
    within = [key for key in names[first:] if key not in head]
    if within:
        key = next(iter(head))
        raise ValueError(
            f"{path}: {key} {list(own[key].shape)} does not fit this model, and layers after it do ({within[-1]}): this is no "
            "other head but another architecture, size or number of channels"
        )


def _check_share(kept: State, head: Collection[str], own: Mapping[str, Tensor], path: str | Path) -> None:
    fitting, wanted = len(kept), len(own)
    if fitting < LEAST * wanted:
        raise ValueError(
            f"{path}: {fitting} of {wanted} tensors of this model are in it, so {_named(list(head), own)} is more than a head; "
            "it belongs to another architecture"
        )


def _named(keys: Collection[str], state: Mapping[str, Tensor]) -> str:
    shown = [f"{key} {list(state[key].shape)}" for key in list(keys)[:SHOWN]]
    return (", ".join(shown) + (f", … {len(keys)} in all" if len(keys) > SHOWN else "")) or "nothing"
