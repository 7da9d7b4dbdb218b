"""`limbeck runs`: the state of each run as it is on disk, and nothing on disk is changed by looking."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from limbeck.recipe import Comparison, Recipe
from limbeck.runs import run_recipe
from limbeck.runs.compare import run_comparison
from limbeck.runs.listing import TAIL, RunSummary, list_runs, runs_table
from limbeck.utils.folder_lock import lock_folder
from tests import tiny
from tests.evaluation.conftest import make_several


def begun(folder: Path, recipe: Recipe, lines: list[dict[str, Any]], checkpoints: dict[str, int] | None = None) -> Path:
    """What a run leaves that was stopped: its recipe, a log, checkpoints."""
    folder.mkdir()
    recipe.write(folder / "recipe.yaml")
    (folder / "log.jsonl").write_text("".join(json.dumps({**line, "values": {"loss": 1.0}}) + "\n" for line in lines))
    for name, step in (checkpoints or {}).items():
        (folder / "checkpoints" / name / "checkpoints" / f"step-{step:09d}").mkdir(parents=True)
    return folder


def line(arm: str, seed: int, update: int, epoch: float) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "stage": 0, "step": update, "update": update, "epoch": epoch}


def only(folder: Path) -> RunSummary:
    (found,) = list_runs(folder)
    return found


def test_a_finished_run_has_its_verdict(tmp_path: Path) -> None:
    run_recipe(tiny.recipe(), tmp_path / "done", progress=False)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "done").rglob("*")}
    found = only(tmp_path)
    assert (found.name, found.kind, found.state) == ("done", "run", "finished")
    assert (found.done, found.total) == (36, 36)  # teacher, student and control, 12 updates each
    assert found.message.startswith("kept ")
    assert only(tmp_path / "done").message == found.message  # the folder of the run itself
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "done").rglob("*")} == before


def test_of_several_results_the_first_is_shown_and_the_others_counted(tmp_path: Path) -> None:
    begun(tmp_path / "peers", tiny.recipe(), [])
    make_several().save(tmp_path / "peers" / "verdict.json")
    message = only(tmp_path).message
    assert message.startswith("a reached accuracy 80.0 %; distillation gave +5.0 points [")
    assert message.endswith("] (and 2 more results)")


def test_further_controls_are_trainings_of_a_run_without_a_teacher(tmp_path: Path) -> None:
    folder = begun(
        tmp_path / "half",
        tiny.recipe("training={steps: 100}"),
        [line("student", 0, 100, 4.0), line("control", 0, 100, 9.0), line("label-noise", 0, 50, 2.0)],
        {"seed-0-label-noise": 60},
    )
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe |= {"teacher": None, "controls": {"label-noise": {"terms": ["hard_targets"]}, "more": {"terms": ["hard_targets"]}}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert [(one.arm, one.done, one.total) for one in only(tmp_path).trainings] == [
        ("student", 100, 100),
        ("control", 100, 100),
        ("label-noise", 60, 100),
        ("more", 0, 100),
    ]


def test_a_stopped_run_says_how_far_it_is(tmp_path: Path) -> None:
    job = tiny.recipe("seeds=[0, 1]", "training={epochs: 20}")
    lines = [line("teacher", 0, 12, 0.4), line("student", 0, 600, 20.0), line("control", 0, 150, 20.0)]
    begun(tmp_path / "half", job, lines, {"teacher": 12, "seed-0-student": 600, "seed-0-control": 160})
    found = only(tmp_path)
    assert found.state == "stopped"
    assert [(one.arm, one.seed, one.done, one.total) for one in found.trainings] == [
        ("teacher", 0, 12, 12),
        ("student", 0, 600, 600),
        ("control", 0, 160, 600),  # as long as the student, though it has fewer items in an epoch
        ("student", 1, 0, 600),
        ("control", 1, 0, 600),
    ]
    assert (found.done, found.total) == (772, 2412)


def test_a_run_whose_control_was_called_alone(tmp_path: Path) -> None:
    """The log, the checkpoints and the verdict of a run before verdicts of format 2."""
    job = tiny.recipe("training={epochs: 20}")
    former = {"arm": "alone", "seed": 0, "stage": 0, "round": 150, "moment": 150, "epoch": 20.0}
    lines = [line("teacher", 0, 12, 0.4), line("student", 0, 600, 20.0), former]
    begun(tmp_path / "half", job, lines, {"teacher": 12, "seed-0-student": 600, "seed-0-alone": 160})
    assert [(one.arm, one.done) for one in only(tmp_path).trainings] == [("teacher", 12), ("student", 600), ("control", 160)]
    verdict = Path(__file__).parents[2] / "benchmarks" / "results" / "cifar10-resnet8" / "verdict.json"
    shutil.copy(verdict, tmp_path / "half" / "verdict.json")
    assert only(tmp_path).state == "finished"
    assert only(tmp_path).message.startswith("kept ")


def test_lengths_come_from_the_recipe_the_log_or_not_at_all(tmp_path: Path) -> None:
    begun(tmp_path / "steps", tiny.recipe(), [])
    begun(tmp_path / "epochs", tiny.recipe("training={epochs: 3}", "control=false"), [line("student", 0, 10, 0.3)])
    begun(tmp_path / "silent", tiny.recipe("training={epochs: 3}"), [])
    staged = tiny.content("control=false", "stages=[{terms: [hint], steps: 5}, {terms: [hint], epochs: 2}]")
    staged["stages"] = [{"terms": ["soft_targets"], "steps": 5}, {"terms": ["soft_targets"], "epochs": 2}]
    del staged["terms"]
    begun(tmp_path / "staged", Recipe.from_dict(staged), [line("student", 0, 10, 0.5)])
    found = {one.name: one for one in list_runs(tmp_path)}
    assert found["steps"].total == 36
    assert found["epochs"].total == 12 + 3 * 33
    assert found["silent"].total is None
    assert found["staged"].total == 12 + 5 + 40


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    lines = [line("student", 0, update, update / 100) for update in range(1, 2001)]
    folder = begun(tmp_path / "long", tiny.recipe("training={epochs: 30}", "control=false"), lines, {"teacher": 12})
    assert (folder / "log.jsonl").stat().st_size > 2 * TAIL
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"arm": "student", "seed": 0, "step": 20')  # a killed process leaves half a line
    assert (only(tmp_path).done, only(tmp_path).total) == (2012, 3012)


def test_a_run_that_a_process_holds_is_running(tmp_path: Path) -> None:
    folder = begun(tmp_path / "held", tiny.recipe(), [line("teacher", 0, 5, 0.1)])
    with lock_folder(folder):
        assert only(tmp_path).state == "running"
    assert only(tmp_path).state == "stopped"


def test_other_folders(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    for name, text in (("torn", "a: [1"), ("odd", "hello"), ("bare", "name: x\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(text)
    newer = begun(tmp_path / "newer", tiny.recipe(), [])
    (newer / "verdict.json").write_text('{"format": 99, "arms": {}}')
    found = {one.name: one for one in list_runs(tmp_path)}
    assert "photos" not in found
    assert found["new"].state == "empty"
    assert {name for name, one in found.items() if one.state == "unreadable"} == {"torn", "odd", "bare", "newer"}
    assert "upgrade" in found["newer"].message
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        list_runs(tmp_path / "nowhere")


def test_a_comparison_counts_its_variants(tmp_path: Path) -> None:
    fields = tiny.content("training.steps=2", "teacher.training.steps=2", "data.test.limit=40")
    terms = fields.pop("terms")
    del fields["name"]
    job = Comparison.from_dict({**fields, "name": "methods", "variants": {"kd": terms, "mse": ["logit_mse"]}})
    run_comparison(job, tmp_path / "methods", progress=False)
    found = only(tmp_path)
    assert (found.kind, found.state, found.done, found.total) == ("comparison", "finished", 3, 3)
    assert found.message
    (tmp_path / "methods" / "comparison.json").unlink()
    (tmp_path / "methods" / "mse" / "verdict.json").unlink()
    (tmp_path / "methods" / "mse" / "failure.txt").write_text("the loss became NaN\n")
    with lock_folder(tmp_path / "methods" / "kd"):
        found = only(tmp_path)
    assert (found.state, found.done) == ("running", 3)
    assert found.message == "running kd; failed: mse"
    assert only(tmp_path).state == "stopped"


def test_the_table_and_its_order(tmp_path: Path) -> None:
    for age, name in ((100_000, "old"), (10, "young"), (4_000, "middle")):
        folder = begun(tmp_path / name, tiny.recipe(), [line("student", 0, 6, 0.2)], {"teacher": 12})
        for path in (folder, *folder.iterdir()):
            os.utime(path, (1e9 - age, 1e9 - age))
    found = list_runs(tmp_path)
    assert [one.name for one in found] == ["young", "middle", "old"]
    console = Console(width=80, record=True, quiet=False, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(runs_table(found, now=1e9))
    text = console.export_text()
    for part in ("stopped", "50 %, student of seed 0: 6", "of 12", "10 s", "1 h", "1 d"):
        assert part in text
    assert yaml.safe_load(json.dumps([one.as_json() for one in found]))[0]["trainings"][0]["arm"] == "teacher"


def test_damage_of_one_run_is_a_row_and_hides_no_other(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished, tmp_path / "good")
    recipe = (finished / "recipe.yaml").read_text()

    def damaged(name: str, file: str, text: str) -> None:
        begun(tmp_path / name, tiny.recipe(), [])
        (tmp_path / name / file).write_text(text)

    damaged("no-seeds", "recipe.yaml", recipe.replace("seeds:\n- 0", "seeds: []"))
    damaged("text-seeds", "recipe.yaml", recipe.replace("seeds:\n- 0", "seeds: abc"))
    damaged("deep", "recipe.yaml", "[" * 100_000)
    damaged("deep-json", "verdict.json", "[" * 100_000)
    damaged("bytes", "recipe.yaml", "")
    (tmp_path / "bytes" / "recipe.yaml").write_bytes(b"\xff\xfe\x00")
    damaged("endless", "log.jsonl", '{"arm": "student", "seed": 0, "values": {}, "step": 1, "epoch": 1, "update": 1e400}\n')
    damaged("empty-verdict", "verdict.json", "")
    begun(tmp_path / "step", tiny.recipe(), [])
    (tmp_path / "step/checkpoints/seed-0-student/checkpoints/step-x").mkdir(parents=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "recipe.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".teacher.abc.draft").mkdir()
    found = {one.name: one for one in list_runs(tmp_path)}
    assert found.pop("good").state == "finished"
    assert set(found) == {path.name for path in tmp_path.iterdir()} - {"good", ".teacher.abc.draft"}
    for name, one in found.items():
        assert (name, one.state) == (name, "unreadable")
        assert one.message
    runs_table(list(found.values()))


def test_temporary_files_that_vanish_do_not_matter(tmp_path: Path) -> None:
    begun(tmp_path / "run", tiny.recipe(), [line("teacher", 0, 5, 0.1)])
    (tmp_path / "run" / "gone.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "run" / ".verdict.json.abcdefgh").symlink_to(tmp_path / "nowhere")
    assert only(tmp_path).state == "stopped"
