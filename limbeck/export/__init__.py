"""Exports models to ONNX and ExecuTorch, checks each file against PyTorch and measures it in its own runtime.

    from limbeck.export import formats

    formats.get("onnx").write(student, Path("student.onnx"), images)

Names are imported on first use, so that a process that only opens a file does not import what writes and evaluates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.utils.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from limbeck.export.base import Format, Runner
    from limbeck.export.catalogue import formats
    from limbeck.export.costs import Costs, costs_table, profile
    from limbeck.export.errors import ExportError, UnknownShapeError
    from limbeck.export.exporter import export_models, failed_records, merge_records
    from limbeck.export.memory import peak_memory
    from limbeck.export.pytorch import PYTORCH
    from limbeck.export.summary import exports_table, remarks

_HOMES = {
    "limbeck.export.base": ("Format", "Runner"),
    "limbeck.export.catalogue": ("formats",),
    "limbeck.export.costs": ("Costs", "costs_table", "profile"),
    "limbeck.export.errors": ("ExportError", "UnknownShapeError"),
    "limbeck.export.memory": ("peak_memory",),
    "limbeck.export.pytorch": ("PYTORCH",),
    "limbeck.export.exporter": ("merge_records", "failed_records", "export_models"),
    "limbeck.export.summary": ("exports_table", "remarks"),
}

__all__ = [
    "PYTORCH",
    "Costs",
    "ExportError",
    "Format",
    "Runner",
    "UnknownShapeError",
    "costs_table",
    "export_models",
    "exports_table",
    "failed_records",
    "formats",
    "merge_records",
    "peak_memory",
    "profile",
    "remarks",
]

__getattr__ = lazy_attributes(__name__, _HOMES)
