"""Records of exports as a table and as messages for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from limbeck import metrics
from limbeck.evaluation import Export, number_format
from limbeck.evaluation.remarks import export_remarks, exported_seed

NARROW_TERMINAL = 100  # terminal width below which some columns are left out


def exports_table(exports: Iterable[Export], width: int = 120, metric: str = "accuracy", seeds: int = 1) -> Table:
    """Returns a table with one row per file: its metric and its costs, or "failed".

    A narrow terminal shows neither the 95th percentile nor the difference. `metric` is the name of the metric, `seeds` their
    number in the run.
    """
    rows = list(exports)
    inputs = list(dict.fromkeys(export.input for export in rows if export.input))
    caption = [exported_seed(metric, seeds), *([f"latency and memory: {', '.join(inputs)}, one thread"] if inputs else [])]
    table = Table(header_style="bold", caption=Text("; ".join(caption)))
    table.add_column("model", overflow="fold", min_width=len("student"))
    table.add_column("as", no_wrap=True)
    left_out = ("p95", "difference") if width < NARROW_TERMINAL else ()
    titles = [title for title in _cells(rows[0], metric) if title not in left_out] if rows else []
    for title in titles:
        table.add_column(Text(title), justify="right", no_wrap=True)
    for export in rows:
        cells = _cells(export, metric)
        shown = ["failed"] if export.error else [cells[title].replace(" [", "\n[") for title in titles]
        table.add_row(
            Text(export.model), Text(f"{export.format} {export.precision}"), *shown, style="red" if export.error else ""
        )
    return table


def remarks(exports: Iterable[Export]) -> list[str]:
    """Returns the remarks on the records (`limbeck.evaluation.remarks`), one line each, with their remedies."""
    return [
        ". ".join(filter(None, (f"{export.model} {export.format} {export.precision}: {message}", remedy)))
        for export, message, remedy in export_remarks(exports)
    ]


def _cells(export: Export, metric: str) -> dict[str, str]:
    """The cells of a record by column title."""
    time = export.latency_ms
    return {
        f"{metric} [95 %]": number_format.measured(
            export.metric, export.ci95, as_percent=metrics.get(metric).percent, digits=1
        ),
        "size": number_format.size(export.bytes),
        "latency": number_format.milliseconds(time.median if time else None),
        "p95": number_format.milliseconds(time.p95 if time else None),
        "memory": number_format.size(export.peak_memory_bytes),
        "difference": number_format.NONE if export.max_abs_diff is None else f"{export.max_abs_diff:.1g}",
    }
