"""The repeated blocks of a model: the units in which its weights are gathered and its activations computed again."""

from __future__ import annotations

from torch import nn


def repeated_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the outermost items of lists of alike modules, by path: encoder layers, residual blocks.

    A list is a `ModuleList` or a `Sequential`. Its items are alike if they are of one class, two or more, and have submodules
    with parameters; single layers, as those of a `Sequential` of convolutions, are no blocks. A module that stands in several
    places is found once.
    """
    found: dict[str, nn.Module] = {}
    _collect(model, "", found)
    return found


def _collect(module: nn.Module, path: str, found: dict[str, nn.Module]) -> None:
    alike = _alike(module) if isinstance(module, nn.ModuleList | nn.Sequential) else set()
    for name, child in module.named_children():  # each module once
        below = f"{path}.{name}".strip(".")
        if child in alike:
            if not any(child is other for other in found.values()):
                found[below] = child
        else:
            _collect(child, below, found)


def _alike(items: nn.ModuleList | nn.Sequential) -> set[nn.Module]:
    """The items that are blocks."""
    inner = [item for item in items if any(True for child in item.children() for _ in child.parameters())]
    kinds = [type(item) for item in inner]
    return {item for item in inner if kinds.count(type(item)) > 1 and not isinstance(item, nn.ModuleList | nn.Sequential)}
