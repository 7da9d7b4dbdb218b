"""`limbeck report`: a page of one run, one comparison, or several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import console


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run directory, several of them, or that of a comparison.")],
    out: Annotated[Path | None, typer.Option(help="The page; in the directory, or above several, when omitted.")] = None,
) -> None:
    """Write report.html of one run or comparison, or of several runs side by side.

    The page is made from verdict.json and log.jsonl; no data and no models are needed.
    """
    from limbeck.evaluation.report import is_comparison, page_path, write_comparison, write_report, write_side_by_side
    from limbeck.runs import load_verdicts, require_verdict

    runs = list(dict.fromkeys(runs))
    if len(runs) > 1:
        found = load_verdicts(runs)
        page = write_side_by_side(found, dict(zip(found, runs, strict=True)), out or page_path(runs))
    elif is_comparison(runs[0]):
        page = write_comparison(runs[0], out)
    else:
        require_verdict(runs[0])
        page = write_report(runs[0], out)
    console.print(str(page), soft_wrap=True, highlight=False, markup=False)
