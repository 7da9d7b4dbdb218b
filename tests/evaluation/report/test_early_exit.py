"""The section on early exits."""

from __future__ import annotations

from pathlib import Path

from limbeck.evaluation.early_exit import EarlyExits, ExitPoint
from limbeck.evaluation.report import write_report
from limbeck.evaluation.report.early_exit import early_exit
from tests.evaluation.report import made
from tests.evaluation.report.html import check

POINTS = [
    ExitPoint(threshold=0.0, work=0.3, metric=0.7, shares=[1.0, 0.0]),
    ExitPoint(threshold=0.9, work=0.62, metric=0.88, shares=[0.6, 0.4]),
    ExitPoint(threshold=1.01, work=1.05, metric=0.89, shares=[0.0, 1.0]),
]
CURVE = EarlyExits(exits=["exits.<b>", "logits"], macs=[30, 105], plain_macs=100, threshold=0.9, points=POINTS)


def test_a_run_with_an_early_exit_has_the_curve_and_its_values(tmp_path: Path) -> None:
    verdict = made.exits()
    name = next(iter(verdict.results))
    results = {**verdict.results, name: verdict.results[name].model_copy(update={"early_exits": CURVE})}
    page = write_report(made.write(tmp_path / "run", verdict.model_copy(update={"results": results}))).read_text()
    text = check(page).text
    for part in (
        "At 0.9, that of the run, a mean item takes 62 % of the multiply-adds",
        "if none leaves early it is 89.00 %",
        "none leaves early",
        "exits.<b>",
    ):
        assert part in text, part
    assert f"early-exit-{name}" in page


def test_without_one_there_is_no_section() -> None:
    assert early_exit(made.exits()) is None
