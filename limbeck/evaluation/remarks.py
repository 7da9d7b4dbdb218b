"""What a reader of a table should know: int8 that is slower, latencies that vary, whose seed a metric is.

The remarks are computed from the figures, so that terminal and report say the same, of older runs too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import TEACHER
from limbeck.evaluation.model_cost import Latency
from limbeck.evaluation.verdict import Export, Verdict

FEW = 30  # test items below which a bootstrap is rough
UNSTEADY = 3.0  # ratio of the 95th percentile to the median above which a latency is not to be trusted
SLOWER = 1.05  # ratio of int8's median to that of fp32 above which int8 is called slower
AGAIN = "Measure again on an idle machine: limbeck profile RUN"


class Remark(NamedTuple):
    """An error or a warning about one exported file; `remedy` may be empty."""

    export: Export
    message: str
    remedy: str


def latency_remark(latency: Latency | None) -> str:
    """Says that a latency varies much; empty if it does not."""
    if latency is None or latency.p95 <= UNSTEADY * latency.median:
        return ""
    times = number_format.number(latency.p95 / latency.median, 1)
    return (
        f"its latency varies: the 95th percentile, {number_format.milliseconds(latency.p95)}, is {times} times the median, "
        f"{number_format.milliseconds(latency.median)}"
    )


def export_remarks(exports: Iterable[Export]) -> list[Remark]:
    """Returns the errors and warnings of records, what is slower in int8, and the latencies that vary."""
    rows = list(exports)
    whole = {(row.model, row.format): row.latency_ms for row in rows if row.precision == "fp32"}
    found = []
    for row in rows:
        if message := row.error or row.warning:
            found.append(Remark(row, message, row.remedy or ""))
        if row.precision == "int8" and (slower := _slower(row.latency_ms, whole.get((row.model, row.format)))):
            found.append(Remark(row, slower, ""))
        if varies := latency_remark(row.latency_ms):
            found.append(Remark(row, varies, AGAIN))
    return found


def _slower(int8: Latency | None, fp32: Latency | None) -> str:
    if int8 is None or fp32 is None or int8.median <= SLOWER * fp32.median:
        return ""
    small = number_format.milliseconds(int8.median).removesuffix(" ms")
    return f"ship fp32: int8 is slower here ({small} against {number_format.milliseconds(fp32.median)})"


def arm_remarks(verdict: Verdict) -> list[str]:
    """Returns what limits the comparison of the arms: few test items, a teacher that nobody reads, latencies that vary much."""
    return [*_few_items(verdict), *_unread_teacher(verdict), *_unsteady_latencies(verdict)]


def _few_items(verdict: Verdict) -> list[str]:
    if verdict.items is None or verdict.items >= FEW:
        return []
    items = "1 item" if verdict.items == 1 else f"{verdict.items} items"
    return [f"the test data has {items}: intervals of fewer than {FEW} are rough, and too narrow rather than too wide"]


def _unread_teacher(verdict: Verdict) -> list[str]:
    if verdict.distils or verdict.teacher is None:
        return []
    return [f"{TEACHER}: no term reads it; it is only shown beside the student"]


def _unsteady_latencies(verdict: Verdict) -> list[str]:
    arms = {TEACHER: verdict.teacher} | {
        name if len(verdict.results) > 1 else "student": result.distilled for name, result in verdict.results.items()
    }
    return [f"{name}: {text}. {AGAIN}" for name, arm in arms.items() if arm and (text := latency_remark(arm.latency_ms))]


def mean_of_seeds(verdict: Verdict) -> str:
    """Says of how many seeds the metric of an arm is the mean: "accuracy: mean of 3 seeds"."""
    count = len(verdict.seeds)
    return f"{verdict.metric.name}: " + (f"mean of {count} seeds" if count > 1 else "one seed")


def exported_seed(metric: str, seeds: int) -> str:
    """Says of which seed the metric of an exported file is."""
    return f"{metric}: of the exported model, one of {seeds} seeds" if seeds > 1 else f"{metric}: one seed"
