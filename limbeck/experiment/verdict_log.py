"""The verdict of a run in its trackers, beside the curves of its trainings."""

from __future__ import annotations

from limbeck.engine.trackers import Trackers
from limbeck.evaluation import Verdict
from limbeck.experiment.experiment import Experiment

FOLDER = "checkpoints/verdict"  # of trackers that write files


def log_verdict(experiment: Experiment, verdict: Verdict) -> None:
    """Logs the figures of a verdict, its sentence and the path of the report; does nothing without trackers or a folder."""
    if experiment.folder is None:
        return
    settings = experiment.settings_of(experiment.plan)
    trackers = Trackers(
        settings.trackers, experiment.folder / FOLDER, project=settings.project, run="verdict", config=settings.config
    )
    trackers.start()
    trackers.log(figures(verdict), step=0)
    trackers.log_text("verdict", verdict.sentence())
    trackers.log_text("report", str(experiment.folder / "report.html"))
    trackers.finish()


def figures(verdict: Verdict) -> dict[str, float]:
    """The figures of a verdict by name, `RESULT/…` of each result; those that it does not have are left out."""
    metric = verdict.metric.name
    found: dict[str, float | None] = {f"teacher/{metric}": None if verdict.teacher is None else verdict.teacher.metric}
    for name, result in verdict.results.items():
        told = verdict.told(result)
        gain = told and told[1]
        found |= {
            f"{name}/{metric}": result.distilled.metric,
            f"{name}/control/{metric}": None if result.control is None else result.control.metric,
            f"{name}/gain": None if gain is None else gain.value,
            f"{name}/gain_low": None if gain is None else gain.ci95[0],
            f"{name}/gain_high": None if gain is None else gain.ci95[1],
            f"{name}/retention": result.retention,
            f"{name}/compression": result.compression,
            f"{name}/speedup": result.speedup,
        }
    return {name: float(value) for name, value in found.items() if value is not None}
