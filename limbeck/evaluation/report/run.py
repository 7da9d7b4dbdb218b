"""The page of one run, from its `verdict.json`, and its log and recipe if they are there."""

from __future__ import annotations

from pathlib import Path

from limbeck.evaluation.report import appendix, numbers
from limbeck.evaluation.report.calibration import calibration
from limbeck.evaluation.report.changes import changes
from limbeck.evaluation.report.classes import classes
from limbeck.evaluation.report.controls import controls
from limbeck.evaluation.report.device import device
from limbeck.evaluation.report.early_exit import early_exit
from limbeck.evaluation.report.federation import federation
from limbeck.evaluation.report.made_inputs import made_inputs
from limbeck.evaluation.report.networks import networks
from limbeck.evaluation.report.page import Section, write_page
from limbeck.evaluation.report.results import results
from limbeck.evaluation.report.sizes import sizes
from limbeck.evaluation.report.training import training
from limbeck.evaluation.verdict import Verdict


def write_report(run_dir: str | Path, out: Path | None = None) -> Path:
    """Write `report.html` into a run's directory, or to `out`.

    Raises:
        FileNotFoundError: the directory holds no verdict.
        ValueError: it is not a verdict that this version reads.
    """
    run = Path(run_dir)
    verdict = Verdict.load(run / "verdict.json")
    first = verdict.only(next(iter(verdict.results)))
    several = len(verdict.results) > 1
    log, federated = run / "log.jsonl", verdict.federation is not None  # whose rounds are its training
    arms = _of_first(numbers.arms(first), verdict)
    sections = [
        numbers.data(verdict),
        numbers.targets(verdict),
        results(verdict) if several else arms,
        controls(verdict),
        sizes(verdict),
        early_exit(verdict),
        federation(verdict),
        arms if several else None,
        device(first),
        made_inputs(verdict),
        _of_first(changes(first), verdict),
        _of_first(classes(first), verdict),
        _of_first(calibration(first), verdict),
        networks(verdict),
        None if federated and not log.exists() else training(log, verdict.metric, verdict.classes),
        appendix.recipe(run / "recipe.yaml"),
        appendix.papers(run / "recipe.yaml"),
        appendix.environment(verdict),
    ]
    made_from = "verdict.json, log.jsonl and recipe.yaml"
    return write_page(out or run / "report.html", verdict.name, numbers.head(verdict), sections, made_from)


def _of_first(section: Section | None, verdict: Verdict) -> Section | None:
    """A section on the first of several results, whose name its heading then has."""
    if section is not None and len(verdict.results) > 1:
        section.heading = f"{section.heading}: {next(iter(verdict.results))}"
    return section
