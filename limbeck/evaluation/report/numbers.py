"""The top of a run's page: the verdict in a sentence, the targets, and the arms side by side."""

from __future__ import annotations

from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import ARMS, CONTROL
from limbeck.evaluation.remarks import arm_remarks, mean_of_seeds
from limbeck.evaluation.report.page import Section, arm_title, key_numbers, mark, paragraph, stacked, table
from limbeck.evaluation.report.page import head as page_head
from limbeck.evaluation.table import arm_row
from limbeck.evaluation.targets import Target, is_floor, split_target
from limbeck.evaluation.verdict import Verdict
from limbeck.tasks import task_type

KEY_RESULTS = 6  # results among the key figures; the table has all


def head(verdict: Verdict) -> str:
    """The verdict in a sentence, facts about the run, and its key figures."""
    facts = [verdict.task.replace("_", " "), seeds(verdict)]
    if verdict.items is not None:
        facts.append(f"{verdict.items:,} test {task_type(verdict.task).unit}")
    if verdict.federation is not None:  # whose steps only the clients know
        rounds = max((each.number for each in verdict.federation.rounds), default=0)
        facts.append(f"{rounds:,} round{'' if rounds == 1 else 's'} of {verdict.federation.clients:,} clients")
    elif verdict.cost is not None:
        facts.append(f"{verdict.cost.student_steps:,} student steps")
    if verdict.cost is not None:
        facts.append(f"{verdict.cost.wall_s:,.0f} s of computation")
    if len(verdict.results) == 1:
        return page_head(verdict.name, verdict.sentence(), facts) + key_numbers(_key(verdict))
    first = next(iter(verdict.results))
    sentence = f"{first} {verdict.only(first).sentence()}"
    return page_head(verdict.name, sentence, facts, verbatim=True) + key_numbers(_key_of_results(verdict))


def data(verdict: Verdict) -> Section | None:
    """What speaks against the test data: items that the run has seen before."""
    if verdict.shared_items is None:
        return None
    said = f"{verdict.shared_items.describe()}. Results on them say little about new data."
    return Section("data", "Test items seen before", paragraph(said[:1].upper() + said[1:]))


def seeds(verdict: Verdict) -> str:
    return f"{len(verdict.seeds)} seed{'' if len(verdict.seeds) == 1 else 's'}"


def _key(verdict: Verdict) -> list[tuple[str, str, str]]:
    found = []
    if (told := verdict.told(verdict.result)) is not None:
        control, gain = told
        value, _, bracket = number_format.difference(gain.value, gain.ci95, as_percent=verdict.metric.percent).partition(" [")
        note = f"[{bracket}, p {number_format.p_value(gain.p)}"
        over = "over the control" if control == CONTROL else f"over {control}"
        found.append((over, value, note if gain.effect else f"no effect: {note}"))
    if verdict.retention is not None:
        value, _, bracket = number_format.measured(verdict.retention, verdict.result.retention_ci95, digits=1).partition(" [")
        found.append(("of the teacher’s metric kept", value, f"[{bracket}" if bracket else ""))
    costs = (
        ("smaller", verdict.result.compression, "parameters"),
        ("faster", verdict.result.speedup, "PyTorch, one item, one thread"),
    )
    found += [(what, number_format.times(ratio), note) for what, ratio, note in costs if ratio]
    return found


def _key_of_results(verdict: Verdict) -> list[tuple[str, str, str]]:
    """The metric of each result, with its gain below."""
    found, percent = [], verdict.metric.percent
    for name, result in verdict.results.items():
        note = "no control"
        if (told := verdict.told(result)) is not None:
            control, gain = told
            over = "its control" if control == CONTROL else control
            note = f"{number_format.difference(gain.value, gain.ci95, as_percent=percent)} over {over}"
            note = note if gain.effect else f"no effect: {note}"
        found.append((name, number_format.measured(result.distilled.metric, as_percent=percent), note))
    return found[:KEY_RESULTS]


def targets(verdict: Verdict) -> Section | None:
    if not verdict.targets:
        return None
    rows = [(escape(name), *_target(name, target, verdict)) for name, target in verdict.targets.items()]
    rows = rows if any(target.reason for target in verdict.targets.values()) else [row[:-1] for row in rows]
    titles = ["target", "result", "goal", "reached", "reason"]
    missed = sum(not target.met for target in verdict.targets.values())
    summary = "all targets met" if verdict.met else f"{missed} of {len(rows)} targets missed"
    return Section(
        "targets",
        "Targets met" if verdict.met else "Targets missed",
        f"<p>{mark(verdict.met, summary)}</p>",
        table("Targets of the recipe", titles[: len(rows[0])], rows, text=4),
    )


def _target(name: str, target: Target, verdict: Verdict) -> tuple[str, ...]:
    sign = "≥" if is_floor(name, verdict.metric.higher_is_better) else "≤"
    reached = number_format.NONE if target.value is None else goal_text(name, target.value, verdict)
    return (
        mark(target.met, "met" if target.met else "missed"),
        f"{sign} {goal_text(name, target.goal, verdict)}",
        reached,
        escape(target.reason or ""),
    )


def goal_text(name: str, value: float, verdict: Verdict) -> str:
    """A goal or the value reached, in its usual unit."""
    percent, name = verdict.metric.percent, split_target(name)[1]
    if name == "retention" or (name == "metric" and percent):
        return f"{100 * value:.4g} %"
    units = {"compression": "×", "speedup": "×", "memory_ratio": "×", "gain": " points" if percent else ""}
    if name in ("parameters", "file_bytes", "latency_ms"):
        return {"parameters": number_format.count, "file_bytes": number_format.size, "latency_ms": number_format.milliseconds}[
            name
        ](value)
    return f"{value:.4g}{units.get(name, '')}".replace("-", "−")


def arms(verdict: Verdict) -> Section:
    """The arms as columns and their measures as rows, which fits a phone."""
    present = verdict.compared
    columns = {arm: arm_row(found, as_percent=verdict.metric.percent) for arm, found in present.items()}
    rows = []
    for measure in columns["student"]:
        cells = [column[measure] for column in columns.values()]
        if set(cells) != {number_format.NONE}:
            title = verdict.metric.name if measure.startswith("metric") else _MEASURES.get(measure, measure)
            rows.append((escape(title), *map(stacked, cells), stacked(_against(verdict, measure))))
    rows[1:1] = _gains(verdict)
    rows += _by_seed(verdict)
    titles = ["", *(arm_title(arm) for arm in present), "student : teacher"]
    if verdict.teacher is None:
        titles, rows = titles[:-1], [row[:-1] for row in rows]
    names = [name for name in ARMS if name in present] if verdict.teacher is None else ARMS
    heading = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return Section(
        "arms",
        heading[:1].upper() + heading[1:],
        paragraph(_explained(verdict)),
        table(f"Metric and cost of each arm; {mean_of_seeds(verdict)}", titles, rows),
        *(paragraph(f"{line}.") for line in arm_remarks(verdict)),
    )


def _gains(verdict: Verdict) -> list[tuple[str, ...]]:
    """The gain over each control, in its column, if there are several controls."""
    if not verdict.result.gains:
        return []
    gains = {CONTROL: verdict.gain, **verdict.result.gains}
    percent = verdict.metric.percent
    cells = [
        "" if (gain := gains.get(arm)) is None else stacked(number_format.difference(gain.value, gain.ci95, as_percent=percent))
        for arm in verdict.compared
    ]
    return [("gain over it", *cells, "")]


_MEASURES = {
    "parameters": "parameters",
    "file": "file, float32",
    "MACs": "multiply-adds",
    "latency": "latency, median",
    "p95": "latency, 95th percentile",
    "memory": "peak memory",
    "ECE": "calibration error",
}


def _explained(verdict: Verdict) -> str:
    control = "The control is the same student, trained with labels only on the same data for the same number of steps. "
    if verdict.without_data:
        control = "The control is the same student, trained with labels on data that the student has not seen. "
    if verdict.federation is not None:
        control = "The control is FedAvg: the same clients, rounds and local steps, and a server that averages weights only. "
    return (control if verdict.control else "This run trained no control. ") + (
        "Costs are of one inference on one item, on one CPU thread in PyTorch."
    )


def _against(verdict: Verdict, measure: str) -> str:
    """The ratio of student to teacher in one measure, as text."""
    if measure.startswith("metric"):
        return number_format.measured(verdict.retention, verdict.result.retention_ci95, digits=1)
    ratios = {
        "parameters": verdict.result.compression,
        "latency": verdict.result.speedup,
        "memory": verdict.result.memory_ratio,
    }
    ratios |= {name: _ratio(verdict, field) for name, field in (("file", "file_bytes"), ("MACs", "macs"))}
    ratio = ratios.get(measure)
    return "" if ratio is None else f"1 : {ratio:,.3g}"


def _ratio(verdict: Verdict, field: str) -> float | None:
    if verdict.teacher is None:
        return None
    teacher, student = (getattr(arm, field) for arm in (verdict.teacher, verdict.student))
    return teacher / student if teacher and student else None


def _by_seed(verdict: Verdict) -> list[tuple[str, ...]]:
    """The metric of every seed, if there are several."""
    present = verdict.compared
    rows: list[tuple[str, ...]] = []
    for index, seed in enumerate(verdict.seeds if len(verdict.seeds) > 1 else []):
        cells = [
            number_format.measured(arm.per_seed[index], as_percent=verdict.metric.percent) if len(arm.per_seed) > index else ""
            for arm in present.values()
        ]
        rows.append((f"{escape(verdict.metric.name)}, seed {seed}", *cells, ""))
    return rows
