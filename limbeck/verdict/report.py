"""`report.html`: the verdict of a run as one page that opens anywhere, made from the files of the run alone.

The page loads nothing and runs nothing. Whatever comes from a file (names, classes, the recipe) is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from limbeck.verdict import curves, wording
from limbeck.verdict.files import write_whole
from limbeck.verdict.table import arm_row
from limbeck.verdict.targets import Target, is_floor
from limbeck.verdict.verdict import Verdict

ARM_TITLES = {"teacher": "teacher", "alone": "alone", "student": "distilled"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #626a74; --page: #fff; --card: #f6f7f8; --line: #dfe2e6;
  --good: #1a7f4b; --bad: #b8372b; --student: #d9730d; --alone: #4c8bd6; --teacher: #8a8f98; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3ad; --page: #15181c; --card: #1d2126;
  --line: #333940; --good: #5fc98f; --bad: #f08a7e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 1.1rem; font-weight: 600; color: var(--soft); }
h2 { margin: 2.5rem 0 .6rem; font-size: 1.15rem; }
h3 { margin: 0 0 .3rem; font-size: .9rem; font-weight: 600; }
.sentence { margin: .4rem 0 .6rem; font-size: clamp(1.3rem, 4.5vw, 1.9rem); line-height: 1.25; font-weight: 650;
  text-wrap: balance; }
.sentence::first-letter { text-transform: uppercase; }
.soft, caption { color: var(--soft); font-size: .88rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
.tall { max-height: 32rem; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .75rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; background: var(--card); color: var(--soft); font-weight: 600; position: sticky; top: 0; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--page); }
thead th:first-child { background: var(--card); z-index: 1; }
tbody th { font-weight: 600; max-width: 16rem; overflow: hidden; text-overflow: ellipsis; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
figure { margin: 0; padding: .8rem; background: var(--card); border-radius: 8px; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .35em; }
.student { background: var(--student); } .alone { background: var(--alone); } .teacher { background: var(--teacher); }
details { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .9rem; margin-top: 1rem; }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 30rem) { th, td { padding: .4rem .5rem; } table { font-size: .82rem; } }
pre { overflow-x: auto; font: .85rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` into a run's directory from its `verdict.json`, and its log and recipe where it has them."""
    run = Path(run_dir)
    verdict = Verdict.load(run / "verdict.json")
    sections = [
        _headline(verdict),
        _targets(verdict),
        _arms(verdict),
        _classes(verdict),
        _curves(run / "log.jsonl"),
        _exports(verdict),
        _details("Recipe", run / "recipe.yaml"),
        _environment(verdict),
    ]
    path = run / "report.html"
    write_whole(path, _PAGE.format(title=escape(verdict.name), style=_STYLE, body="\n".join(filter(None, sections))))
    return path


def _headline(verdict: Verdict) -> str:
    seeds = f"{len(verdict.seeds)} seed{'s' if len(verdict.seeds) != 1 else ''}"
    facts = [verdict.task, verdict.metric.name, seeds]
    if verdict.gain is not None:
        facts.append(f"p = {verdict.gain.p:.2g}")
    if verdict.cost is not None:
        facts += [f"{verdict.cost.student_steps:,} student steps", f"{verdict.cost.wall_s:,.0f} s"]
    return (
        f"<header><h1>{escape(verdict.name)}</h1>\n"
        f'<p class="sentence">{escape(verdict.sentence())}.</p>\n'
        f'<p class="soft">{escape(" · ".join(facts))}. Brackets are 95 % intervals.</p></header>'
    )


def _targets(verdict: Verdict) -> str:
    if not verdict.targets:
        return ""
    shade, what = ("good", "All targets met") if verdict.met else ("bad", "Targets missed")
    rows = [(name, *_target(name, target, verdict)) for name, target in verdict.targets.items()]
    table = _table(["target", "", "goal", "reached", ""], rows)
    return f'<section><h2 class="{shade}">{what}</h2>\n{table}</section>'


def _target(name: str, target: Target, verdict: Verdict) -> list[str]:
    sign = "≥" if is_floor(name, verdict.metric.higher_is_better) else "≤"
    reached = wording.NONE if target.value is None else f"{target.value:.4g}"
    mark = '<span class="good">met</span>' if target.met else '<span class="bad">missed</span>'
    why = f'<span class="soft">{escape(target.reason or "")}</span>'
    return [mark, f"{sign} {target.goal:g}", reached, why]


def _arms(verdict: Verdict) -> str:
    rows = {arm: arm_row(found, as_percent=verdict.metric.percent) for arm, found in verdict.arms.present().items()}
    titles = ["model", escape(verdict.metric.name), *list(rows["student"])[1:]]
    table = _table(titles, [(f"{_key(arm)}{ARM_TITLES[arm]}", *row.values()) for arm, row in rows.items()])
    ratios = [
        ("kept of the teacher", wording.measured(verdict.retention, verdict.retention_ci95)),
        ("smaller", wording.times(verdict.compression)),
        ("faster", wording.times(verdict.speedup)),
        ("less memory", wording.times(verdict.memory_ratio)),
        ("same answer as the teacher", wording.percent(verdict.agreement)),
    ]
    line = " · ".join(f"{what} {value}" for what, value in ratios if value != wording.NONE)
    return f'<section><h2>Teacher, control and student</h2>\n{table}<p class="soft">{escape(line)}</p></section>'


def _classes(verdict: Verdict) -> str:
    columns = {arm: found.per_class for arm, found in verdict.arms.present().items() if found.per_class}
    if not columns:
        return ""
    count = min(map(len, columns.values()))
    names = verdict.classes or [str(index) for index in range(count)]
    percent = verdict.metric.percent
    rows = [
        (escape(name), *(wording.measured(values[index], as_percent=percent, digits=1) for values in columns.values()))
        for index, name in enumerate(names[:count])
    ]
    table = _table(["class", *(f"{_key(arm)}{ARM_TITLES[arm]}" for arm in columns)], rows, tall=True)
    return f"<section><h2>By class</h2>\n{table}</section>"


def _curves(log: Path) -> str:
    if not log.exists():
        return ""
    training, validation = curves.read_curves(log)
    arms = {arm for found in (training, validation) for lines in found.values() for arm, _ in lines}
    legend = " &ensp; ".join(f"{_key(arm)}{ARM_TITLES[arm]}" for arm in ARM_TITLES if arm in arms)
    parts = []
    for title, found in (("Validation", validation), ("Training", training)):
        if found:
            figures = "\n".join(f"<figure><h3>{escape(name)}</h3>{curves.draw(found[name])}</figure>" for name in found)
            note = f'<p class="soft">{legend} &ensp; by update, one line per seed</p>'
            parts.append(f'<section><h2>{title}</h2>\n{note}\n<div class="grid">{figures}</div></section>')
    return "\n".join(parts)


def _exports(verdict: Verdict) -> str:
    if not verdict.exports:
        return ""
    rows = [
        (
            escape(export.path),
            escape(export.format),
            escape(export.precision),
            wording.size(export.bytes),
            wording.measured(export.metric, as_percent=verdict.metric.percent),
            wording.milliseconds(export.latency_ms.median if export.latency_ms else None),
            wording.NONE if export.max_abs_diff is None else f"{export.max_abs_diff:.2g}",
        )
        for export in verdict.exports
    ]
    titles = ["file", "format", "precision", "size", escape(verdict.metric.name), "latency", "largest difference"]
    return f"<section><h2>Exports</h2>\n{_table(titles, rows)}</section>"


def _details(title: str, path: Path) -> str:
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    return f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>"


def _environment(verdict: Verdict) -> str:
    lines = [*(f"{name}: {value}" for name, value in verdict.environment.items()), f"seeds: {_listed(verdict.seeds)}"]
    return f"<details><summary>Environment</summary><pre>{escape(chr(10).join(lines))}</pre></details>"


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _key(arm: str) -> str:
    return f'<span class="key {arm}"></span>'


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, tall: bool = False) -> str:
    """A table that scrolls inside its frame. Titles and cells are HTML: callers escape what comes from files."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    lines = (f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    body = "\n".join(lines)
    frame = "scroll tall" if tall else "scroll"
    return f'<div class="{frame}"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
