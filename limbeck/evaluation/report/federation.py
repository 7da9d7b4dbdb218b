"""A federation: the metric over rounds, and what travelled."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from limbeck.evaluation import number_format
from limbeck.evaluation.federation import FederatedRound, FederationRecord
from limbeck.evaluation.report.canvas import COLOURS, INK, LINES, Canvas
from limbeck.evaluation.report.page import TITLES, Section, figure, grid, paragraph, table
from limbeck.evaluation.verdict import Verdict

Points = Mapping[str, list[tuple[float, float]]]  # by arm: megabytes or round, and metric


def federation(verdict: Verdict) -> Section | None:
    """Curves over rounds and over bytes for each group, totals, and who was left out; None if there was no federation."""
    record = verdict.federation
    if record is None:
        return None
    groups = list(dict.fromkeys(group for each in record.rounds for group in each.metrics))
    figures = [_figure(group, over, record, verdict) for group in groups for over in ("round", "megabytes")]
    public = (
        f", {record.public_items:,} public items ({number_format.size(record.public_bytes)})" if record.public_items else ""
    )
    facts = f"{record.method}: {record.clients} clients exchange {record.exchanges}{public}. The metric is on validation data."
    return Section("federation", "Rounds", paragraph(facts), grid(figures, two=True), _totals(record), _left_out(record))


def _figure(group: str, over: str, record: FederationRecord, verdict: Verdict) -> str:
    points = _points(group, over, record.rounds)
    last = ", ".join(
        f"{TITLES.get(arm, arm)} {number_format.measured(curve[-1][1], as_percent=verdict.metric.percent)}"
        for arm, curve in points.items()
    )
    rows = [
        (escape(TITLES.get(arm, arm)), f"{x:,.4g}", number_format.measured(y, as_percent=verdict.metric.percent))
        for arm, curve in points.items()
        for x, y in curve
    ]
    values = table(f"{verdict.metric.name} by {over}", ["", over, escape(verdict.metric.name)], rows, tall=True)
    title = f"{verdict.metric.name[:1].upper()}{verdict.metric.name[1:]} over {over}s: {group}".replace("bytess", "bytes")
    caption = f"After the last round, means over seeds: {last}."
    return figure(f"federation-{group}-{over}", title, draw(group, over, points, verdict), caption, values)


def _points(group: str, over: str, rounds: list[FederatedRound]) -> Points:
    """Means over seeds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for arm in dict.fromkeys(each.arm for each in rounds):
        mine = [each for each in rounds if each.arm == arm and group in each.metrics]
        sent = 0.0
        for number in sorted({each.number for each in mine}):
            same = [each for each in mine if each.number == number]
            sent += float(np.mean([each.bytes_down + each.bytes_up for each in same])) / 1e6
            found.setdefault(arm, []).append(
                (sent if over == "megabytes" else number, float(np.mean([each.metrics[group] for each in same])))
            )
    return found


def draw(group: str, over: str, points: Points, verdict: Verdict) -> str:
    """A line for each arm."""
    canvas = Canvas(230, right=66)
    for arm, curve in points.items():
        x, y = zip(*curve, strict=True)
        canvas.axes.plot(x, y, color=COLOURS.get(arm, INK), linestyle=LINES.get(arm, "-."), linewidth=1.6)
    canvas.at_right([(curve[-1][1], TITLES.get(arm, arm), COLOURS.get(arm, INK)) for arm, curve in points.items()])
    canvas.label("y", verdict.metric.name, percent=verdict.metric.percent)
    canvas.label("x", "megabytes, both directions" if over == "megabytes" else over)
    return canvas.svg(f"federation-{group}-{over}")


def _totals(record: FederationRecord) -> str:
    rows = []
    for arm, seed in dict.fromkeys((each.arm, each.seed) for each in record.rounds):
        mine = [each for each in record.rounds if (each.arm, each.seed) == (arm, seed)]
        sizes = [sum(each.bytes_down for each in mine), sum(each.bytes_up for each in mine)]
        shown = [number_format.size(size) for size in (*sizes, sum(sizes))]
        rows.append((f"{escape(TITLES.get(arm, arm))}, seed {seed}", str(len(mine)), *shown))
    return table("Payload of all rounds", ["", "rounds", "to the clients", "from the clients", "together"], rows)


def _left_out(record: FederationRecord) -> str:
    rows = [
        (f"{escape(TITLES.get(each.arm, each.arm))}, seed {each.seed}", str(each.number), escape(node), escape(reason))
        for each in record.rounds
        for node, reason in each.left_out.items()
    ]
    return table("Replies that were left out", ["", "round", "node", "reason"], rows, tall=True, text=3) if rows else ""
