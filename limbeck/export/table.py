"""Exports as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from limbeck.verdict import Export, wording

TITLES = ("accuracy [95 %]", "size", "latency", "p95", "memory", "difference")


def exports_table(exports: Iterable[Export]) -> Table:
    """One row a file: what it reaches and what it costs in its own runtime. A failed one shows its reason."""
    table = Table(header_style="bold")
    table.add_column("model")
    table.add_column("as", no_wrap=True)
    for title in TITLES:
        table.add_column(Text(title), justify="right")
    for export in exports:
        cells = ["failed"] if export.error else _cells(export)
        table.add_row(export.model, f"{export.format} {export.precision}", *cells, style="red" if export.error else "")
    return table


def remarks(exports: Iterable[Export]) -> list[str]:
    """What went wrong or must be known, one line each, with its remedy."""
    return [
        ". ".join(filter(None, (f"{export.model} {export.format} {export.precision}: {said}", export.remedy)))
        for export in exports
        if (said := export.error or export.warning)
    ]


def _cells(export: Export) -> list[str]:
    time = export.latency_ms
    return [
        wording.measured(export.metric, export.ci95, digits=1),
        wording.size(export.bytes),
        wording.milliseconds(time.median if time else None),
        wording.milliseconds(time.p95 if time else None),
        wording.size(export.peak_memory_bytes),
        wording.NONE if export.max_abs_diff is None else f"{export.max_abs_diff:.1g}",
    ]
