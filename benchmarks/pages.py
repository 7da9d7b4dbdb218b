"""Write the measured figures into README.md and docs/benchmarks.md, from benchmarks/results/bars.json.

    python -m benchmarks.pages

The prose of both pages is written by hand. What stands between `<!-- bars: TOPIC -->`, `<!-- highlights -->` or
`<!-- overview -->` and the next `<!-- end -->` is written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.bars import load

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
BLOCK = re.compile(r"(<!-- (bars|highlights|overview)(?:: ([\w-]+))? -->\n).*?(<!-- end -->)", re.S)

Row = dict[str, Any]


@dataclass(frozen=True)
class Highlight:
    """A recorded figure as a visitor reads it.

    Attributes:
        of: the part of Limbeck that it belongs to.
        topic, figure: the row of bars.json.
        label: what was measured.
        form: how the value and the ends of its interval are printed.
        unit: printed after the value.
        readme: whether it is one of the few in the README.
    """

    of: str
    topic: str
    figure: str
    label: str
    form: str = ".2f"
    unit: str = ""
    readme: bool = False


HIGHLIGHTS = (
    Highlight(
        "Gain",
        "main-job",
        "cifar10-resnet8: gain over the control, points",
        "accuracy gained over the control, ResNet-56 → ResNet-8, all labels",
        "+.1f",
        " points",
        readme=True,
    ),
    Highlight(
        "Gain",
        "proof",
        "cifar10-mobilenetv3: gain over the control, points",
        "accuracy gained over the control, ResNet-56 → MobileNetV3, a tenth of the labels",
        "+.1f",
        " points",
        readme=True,
    ),
    Highlight(
        "Gain",
        "text",
        "minilm_v2: gain over the control, points",
        "F1 gained over the control, MiniLM-L6 → 2 layers, questions",
        "+.1f",
        " points",
    ),
    Highlight(
        "Retention",
        "text",
        "tinybert: retention",
        "student's accuracy ÷ teacher's, TinyBERT with 1/8 of the parameters",
        ".3f",
        readme=True,
    ),
    Highlight("Retention", "main-job", "digits: retention", "the same, digits with 1/59 of the parameters", ".3f"),
    Highlight(
        "Device",
        "text",
        "tinybert: ONNX Runtime int8, one sentence: teacher's latency ÷ student's",
        "teacher's latency ÷ student's, the same TinyBERT, both int8 in ONNX Runtime",
        ".1f",
        "×",
        readme=True,
    ),
    Highlight(
        "Device", "proof", "ONNX Runtime int8: teacher's latency ÷ student's", "the same, ResNet-56 → ResNet-8", ".1f", "×"
    ),
    Highlight(
        "Device", "proof", "ExecuTorch int8: teacher's latency ÷ student's", "the same in ExecuTorch with XNNPACK", ".1f", "×"
    ),
    Highlight(
        "Device",
        "proof",
        "ONNX Runtime: points that int8 loses of the student's accuracy",
        "accuracy lost by int8, ResNet-8 in ONNX Runtime",
        ".2f",
        " points",
    ),
    Highlight(
        "Teacher cache",
        "store",
        "epoch with a complete cache ÷ epoch of plain training",
        "time of an epoch with cached teacher outputs ÷ an epoch of training without a teacher",
        readme=True,
    ),
    Highlight(
        "Teacher cache",
        "store",
        "three students after one cache, the build included, ÷ the same with the live teacher",
        "time of three students with the cache, its build included, ÷ with the live teacher",
    ),
    Highlight(
        "Engine",
        "main-job",
        "plain training through the engine ÷ bare loop, items per second",
        "speed of training through the engine ÷ a bare PyTorch loop",
    ),
    Highlight(
        "Objectives",
        "main-job",
        "rkd_angle: times faster than the naive form",
        "`rkd_angle`: speed ÷ that of the usual implementation, same value",
        ".0f",
        "×",
    ),
)


def highlights(shown: Sequence[Highlight], with_parts: bool) -> str:
    """Returns the main figures as a Markdown table."""
    rows = {(row["topic"], row["figure"]): row for row in load()}
    lines = [["measured", "value [95 %]", "on", "seeds", "machine"], ["---"] * 5]
    for each in shown:
        row = rows[each.topic, each.figure]
        lines.append([_cell(each.label), f"**{_value(each, row)}**", _cell(row["data"]), _seeds(row), row["machine"]])
    if with_parts:
        lines = [[of, *line] for of, line in zip(["", "---", *(each.of for each in shown)], lines, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(topic: str) -> str:
    """Returns all figures of one topic: a Markdown table for each command and data set."""
    rows = [row for row in load() if row["topic"] == topic]
    order = list(dict.fromkeys(map(_group, rows)))
    rows.sort(key=lambda row: order.index(_group(row)))
    return "\n\n".join(_table(list(group)) for _, group in groupby(rows, _group))


def _group(row: Row) -> tuple[str, ...]:
    return row["command"], row["data"], _seeds(row), row["machine"]


def _table(rows: Sequence[Row]) -> str:
    seeds = int(_seeds(rows[0]))
    about = [rows[0]["data"], *([f"{seeds} seed{'s' * (seeds > 1)}"] if seeds else []), rows[0]["machine"]]
    notes = dict.fromkeys(row["note"] or "" for row in rows)
    about += notes if len(notes) == 1 and all(notes) else []  # said once where it is of all rows
    noted = len(notes) > 1
    lines = [f"`{rows[0]['command']}`<br>", " · ".join(map(_line, about)), ""]
    titles = ["figure", "bar", "measured [95 %]", "met", *(["note"] if noted else [])]
    lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows:
        cells = [row["figure"], row["bar"], _measured(row), "yes" if row["met"] else "**no**"]
        cells += [row["note"] or ""] if noted else []
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _value(each: Highlight, row: Row) -> str:
    plain = each.form.lstrip("+")
    text = f"{row['value']:{each.form}}{each.unit}"
    if row["ci95"] is not None:
        text += f" [{row['ci95'][0]:{plain}}, {row['ci95'][1]:{plain}}]"
    return text.replace("-", "−")


def _measured(row: Row) -> str:
    text = f"{row['value']:,g}" if abs(row["value"]) < 1e6 else f"{row['value']:g}"
    return text if row["ci95"] is None else f"{text} [{row['ci95'][0]:g}, {row['ci95'][1]:g}]"


def _seeds(row: Row) -> str:
    return str(row["seeds"] if isinstance(row["seeds"], int) else len(row["seeds"]))


def _cell(value: object) -> str:
    return _line(value).replace("|", "\\|")


def _line(value: object) -> str:
    return " ".join(str(value).split())


def _generated(kind: str, topic: str | None) -> str:
    if kind == "bars":
        return tables(topic or "")
    return highlights([each for each in HIGHLIGHTS if each.readme or kind == "overview"], with_parts=kind == "overview")


def fill(text: str) -> str:
    """A page with its generated blocks written again."""
    return BLOCK.sub(lambda block: f"{block[1]}{_generated(block[2], block[3])}\n{block[4]}", text)


def topics(pages: Iterable[Path] = PAGES) -> set[str]:
    """The topics that have a place on a page."""
    return {block[3] for page in pages for block in BLOCK.finditer(page.read_text(encoding="utf-8")) if block[3]}


def main() -> None:
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
