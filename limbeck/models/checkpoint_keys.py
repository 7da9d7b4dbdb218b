"""Finds the weights of a model in checkpoints of training scripts: inside wrappers, and behind prefixes of their keys."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

State = dict[str, Tensor]
Place = tuple[tuple[str, ...], str]  # keys of the wrappers, and a prefix of the names

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # usual keys of the weights; others are found by their content
QUIET = ("module.", "_orig_mod.", "model.")  # prefixes of DataParallel, torch.compile and Lightning, which say nothing
SHOWN = 4  # keys named in an error


def find_state(content: Any, own: Mapping[str, Tensor], path: str | Path, optional: Collection[str] = ()) -> State:
    """Returns the entries of a checkpoint that belong to a model, by the model's own names.

    Wrappers such as `{"state_dict": …}` are opened, and a prefix that stands before all keys (`module.`, `student.`,
    `backbone.`) is stripped. A warning says which one, unless it is a usual one.

    Args:
        own: the `state_dict` of the model.
        path: of the file, for messages.
        optional: names that a file may lack: second names of shared tensors.

    Raises:
        ValueError: there is no state dict, or several that fit: of a student and a teacher, say.
    """
    found = dict(state_dicts(content))
    if not found:
        keys = [str(key) for key in content][:SHOWN] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{path} contains no state_dict (names to tensors), but {keys}")
    fitting = {
        (where, prefix): state
        for where, tensors in found.items()
        for prefix, state in _stripped(tensors, own).items()
        if _fits(state, own, optional)
    }
    if not fitting:
        return _most_likely(found)
    chosen, state = _choose(fitting, path)
    if chosen[1] and _without_usual(chosen[1]):
        left = len(found[chosen[0]]) - len(state)
        others = f", {left} other tensors were left out" if left else ""
        warnings.warn(f"{path}: the prefix {chosen[1]!r} of its keys was stripped{others}", stacklevel=4)
    return state


def state_dicts(content: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], State]]:
    """All mappings of names to tensors in nested wrappers, by their place; plain numbers beside the tensors do not count."""
    if not isinstance(content, Mapping) or len(where) > 3:
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    inner = {str(key): value for key, value in content.items() if isinstance(value, Mapping)}
    if tensors and not inner:
        yield where, tensors
    usual = sorted(inner, key=lambda key: WRAPPERS.index(key) if key in WRAPPERS else len(WRAPPERS))
    for key in usual:
        yield from state_dicts(inner[key], (*where, key))


def _stripped(state: State, own: Mapping[str, Tensor]) -> dict[str, State]:
    """The entries behind each prefix that leads to names of the model."""
    if not own:
        return {"": state}
    last = max(
        (key for key in own if not key.endswith("num_batches_tracked")), key=len, default=""
    )  # it is in few other places
    prefixes = {key[: -len(last)] for key in state if key.endswith(last)} | {""}
    found = {}
    for prefix in prefixes:
        found[prefix] = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return found


def _fits(state: State, own: Mapping[str, Tensor], optional: Collection[str]) -> bool:
    """Whether the state has all tensors of the model in their shapes, and no others under its prefix."""
    needed = {key for key in own if key not in optional and not key.endswith("num_batches_tracked")}
    same = all(key in state and state[key].shape == own[key].shape for key in needed)
    return same and set(state) <= set(own)


def _choose(fitting: Mapping[Place, State], path: str | Path) -> tuple[Place, State]:
    """The one that fits; of several the one in the usual place."""
    names = [".".join([*where, prefix.rstrip(".")]).strip(".") for where, prefix in fitting]
    if len(fitting) > 1:
        usual = [one for one in fitting if not _without_usual(one[1]) and all(key in WRAPPERS for key in one[0])]
        if len(usual) != 1:
            raise ValueError(
                f"{path} holds the weights of several models that fit: {', '.join(sorted(names))}. Save the one that is meant "
                "in a file of its own"
            )
        return usual[0], fitting[usual[0]]
    return next(iter(fitting.items()))


def _without_usual(prefix: str) -> str:
    for usual in QUIET:
        prefix = prefix.replace(usual, "")
    return prefix


def _most_likely(found: Mapping[tuple[str, ...], State]) -> State:
    """What an error is to compare the model with: the state dict in the usual place, without the prefix of all its keys."""
    state = next(iter(found.values()))
    first = Counter(key.split(".")[0] + "." for key in state if "." in key)
    if len(first) == 1 and len(state) == sum(first.values()) and next(iter(first)) in QUIET:
        prefix = next(iter(first))
        return {key.removeprefix(prefix): value for key, value in state.items()}
    return state
