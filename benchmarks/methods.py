"""Compares many methods on one pair of models: runs the comparison, keeps its verdict, writes table and plot into the guide.

    python -m benchmarks.methods                              # all; needs LIMBECK_DATA; resumes what was stopped
    python -m benchmarks.methods compare-text                 # one
    python -m benchmarks.methods compare-methods --run runs/compare-methods   # keep a finished comparison

Several processes started at the same time share the work; the last one to finish writes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

from benchmarks.recipes import small
from limbeck.evaluation import ComparisonVerdict
from limbeck.evaluation.comparison import row_cells
from limbeck.evaluation.report import methods_figure
from limbeck.recipe import Comparison
from limbeck.runs.compare import run_comparison

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
PAGES = {"compare-methods": GUIDE / "compare.md", "compare-text": GUIDE / "text.md"}


def keep(name: str, run: Path) -> None:
    """Copy the verdict of a comparison beside the other results, and write it into the guide."""
    verdict = ComparisonVerdict.load(run / "comparison.json")
    kept, plot, page = Path(__file__).parent / "results" / name, ROOT / "docs" / "assets" / f"{name}.svg", PAGES[name]
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(run / "recipe.yaml", kept)
    found = json.loads((run / "comparison.json").read_text(encoding="utf-8"))
    (kept / "comparison.json").write_text(small(found), encoding="utf-8")
    plot.parent.mkdir(parents=True, exist_ok=True)
    plot.write_text(methods_figure(verdict), encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    block = f"\\1{table(verdict)}\n\n{summary(verdict)}\n\\2"
    page.write_text(re.sub(r"(<!-- methods -->\n).*?(<!-- end -->)", block, text, flags=re.S), encoding="utf-8")
    print(summary(verdict))


def table(verdict: ComparisonVerdict) -> str:
    """The comparison as Markdown, best first; without the seconds, which several processes on one machine make meaningless."""
    lines = [f"| method | {verdict.metric.name} [95 %] | gain over the control | ranks |", "|---|---|---|---|"]
    lines += [f"| `{method}` | " + " | ".join(row_cells(verdict, row)[:-1]) + " |" for method, row in verdict.rows.items()]
    lines += [f"| `{method}` | failed: {reason.split(';')[0]} | | |" for method, reason in verdict.failed.items()]
    return "\n".join(lines)


def summary(verdict: ComparisonVerdict) -> str:
    """How many methods differ from the control, and which may be the best."""
    gains = [row.gain for row in verdict.rows.values() if row.gain is not None]
    helped, harmed = (sum(gain.effect and (gain.value > 0) is sign for gain in gains) for sign in (True, False))
    first = [method for method, row in verdict.rows.items() if row.rank[0] == 1]
    teacher = "" if verdict.teacher is None else f" Teacher: {100 * verdict.teacher:.1f} %."
    machine = verdict.environment.get("gpu") or verdict.environment.get("cpu", "")
    seeds = ", ".join(map(str, verdict.seeds))
    return (
        f"{verdict.items:,} test items, seeds {seeds}, {machine}.{teacher} Of {len(gains)} methods {helped} "
        f"are better than the control, {harmed} worse, and {len(gains) - helped - harmed} show no effect. "
        f"First rank is possible for: {', '.join(first)}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PAGES, []], default=[])
    parser.add_argument("--run", type=Path, help="keep the verdict of this comparison instead of training")
    args = parser.parse_args()
    for name in args.names or PAGES:
        run = args.run or ROOT / "runs" / name
        if args.run is None:
            job = Comparison.read(ROOT / "recipes" / f"{name}.yaml")
            if run_comparison(job, run, resume=run.exists()) is None:
                continue
        keep(name, run)


if __name__ == "__main__":
    main()
