"""The reliability diagram: accuracy over confidence."""

from __future__ import annotations

from limbeck.evaluation import number_format
from limbeck.evaluation.report.canvas import COLOURS, LINES, SOFT, Canvas
from limbeck.evaluation.report.page import TITLES, Section, arm_title, figure, table
from limbeck.evaluation.verdict import Verdict

FEW = 5  # smaller bins are not drawn


def calibration(verdict: Verdict) -> Section | None:
    arms = [name for name, arm in verdict.arms.items() if arm.calibration]
    if not arms:
        return None
    rows = [
        (arm_title(arm), number_format.percent(found.confidence), number_format.percent(found.accuracy), f"{found.count:,}")
        for arm in arms
        for found in verdict.arms[arm].calibration
    ]
    behind = table(
        "Predictions by confidence, all seeds together",
        ["", "mean confidence", "accuracy", "predictions"],
        rows,
        tall=len(rows) > 20,
    )
    title = "Confidence against accuracy"
    return Section(
        "calibration", "Calibration", figure("reliability", title, draw(verdict), _caption(verdict, arms), behind, wide=True)
    )


def _caption(verdict: Verdict, arms: list[str]) -> str:
    errors = [f"{TITLES[arm]} {number_format.number(ece, 3)}" for arm in arms if (ece := verdict.arms[arm].ece) is not None]
    text = "On the diagonal confidence equals accuracy; below it an arm is overconfident. Larger points hold more predictions; "
    text += f"bins of fewer than {FEW} are only in the table."
    return text + (f" Expected calibration error: {', '.join(errors)}." if errors else "")


def draw(verdict: Verdict) -> str:
    canvas = Canvas(290, left=50, right=58, top=14)
    axes = canvas.axes
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.1, linestyle=(0, (2, 3)))
    ends, lowest = [], 1.0
    for arm, measured in verdict.arms.items():
        bins = [found for found in measured.calibration if found.count >= FEW]
        if not bins:
            continue
        total = sum(found.count for found in bins)
        x, y = [found.confidence for found in bins], [found.accuracy for found in bins]
        axes.plot(x, y, color=COLOURS[arm], linestyle=LINES[arm], linewidth=1.4, alpha=0.85)
        for found in bins:
            canvas.mark(arm, found.confidence, found.accuracy, size=3.5 + 9 * (found.count / total) ** 0.5)
        lowest = min(lowest, x[0])
        ends.append((y[-1], TITLES[arm], COLOURS[arm]))
    axes.set_xlim(max(lowest - 0.05, 0) if ends else 0, 1.02)
    axes.set_ylim(-0.03, 1.03)
    axes.locator_params(nbins=6)
    axes.set_xticks([tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= 1])
    canvas.label("x", "confidence", percent=True)
    canvas.label("y", "accuracy", percent=True)
    canvas.at_right(ends)
    return canvas.svg("reliability")
