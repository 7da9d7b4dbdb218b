"""The student as a file for a device: written, checked against PyTorch, measured in its own runtime.

    from limbeck.export import formats

    formats.get("onnx").write(student, Path("student.onnx"), images)

Names load when they are first used: a process that only opens a file must not pay for what writes and judges it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.export.base import Format, Runner
    from limbeck.export.catalogue import formats
    from limbeck.export.costs import Costs, costs_table, profile
    from limbeck.export.error import ExportError
    from limbeck.export.memory import peak_memory
    from limbeck.export.pytorch import PYTORCH
    from limbeck.export.shipment import merged, ship
    from limbeck.export.table import exports_table, remarks

_HOMES = {
    "base": ("Format", "Runner"),
    "catalogue": ("formats",),
    "costs": ("Costs", "costs_table", "profile"),
    "error": ("ExportError",),
    "memory": ("peak_memory",),
    "pytorch": ("PYTORCH",),
    "shipment": ("merged", "ship"),
    "table": ("exports_table", "remarks"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PYTORCH",
    "Costs",
    "ExportError",
    "Format",
    "Runner",
    "costs_table",
    "exports_table",
    "formats",
    "merged",
    "peak_memory",
    "profile",
    "remarks",
    "ship",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"limbeck.export.{_HOME[name]}"), name)
    raise AttributeError(f"module 'limbeck.export' has no attribute {name!r}")
