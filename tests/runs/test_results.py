"""Runs with several results: each is kept, exported, evaluated and measured by its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from limbeck import models, runs
from limbeck.evaluation import Verdict
from limbeck.evaluation.arms import ArmName, arm_folder
from limbeck.export import costs, exporter
from limbeck.recipe import Recipe, RecipeError
from limbeck.runs.results import choose_results, load_results, reader_of, readers_of
from limbeck.utils.registry import UnknownNameError
from tests.runs import several

RESULTS = {"peers": ["a", "b", "both"], "exits": ["student", "early.layer1", "early.layer2"]}


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs: two peers with their ensemble, and a student with two exits."""
    folder = tmp_path_factory.mktemp("runs")
    runs.run_recipe(several.recipe(several.PEERS), folder / "peers", progress=False)
    runs.run_recipe(several.recipe(several.EXITS), folder / "exits", progress=False)
    return folder


@pytest.mark.parametrize("name", ["peers", "exits"])
def test_every_kept_model_gives_the_metric_of_the_verdict(folder: Path, name: str) -> None:
    verdict = Verdict.load(folder / name)
    assert list(verdict.results) == RESULTS[name]
    test = several.recipe(several.PEERS).load().test
    images = test.fetch(torch.arange(len(test))).float() / 255
    for result, found in verdict.results.items():
        for arm, expected in (("student", found.distilled), ("control", found.control)):
            model = models.load_model(folder / name / arm_folder(str(ArmName(result, arm)), next(iter(verdict.results))))
            with torch.no_grad():
                accuracy = (model(images).argmax(1) == test.target).double().mean()
            assert expected is not None
            assert float(accuracy) == pytest.approx(expected.metric, abs=1e-12)


@pytest.mark.parametrize("name", ["peers", "exits"])
def test_evaluation_of_the_run_has_all_results(folder: Path, name: str) -> None:
    evaluated = runs.evaluate_run(folder / name, "digits", split="test")
    assert list(evaluated.as_json()["results"]) == RESULTS[name]
    assert evaluated.verdict.items == 599


@pytest.mark.parametrize("name", ["peers", "exits"])
def test_every_result_is_exported_by_its_name(folder: Path, name: str, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder / name, tmp_path / name))
    records = runs.export_run(run, precisions=["fp32", "int8"], progress=False)
    assert [each.error for each in records] == [None] * 9
    files = {path.name: path.stat().st_size for path in (run / "exports").iterdir()}
    assert set(files) == {f"{result}-{precision}.onnx" for result in RESULTS[name] for precision in ("fp32", "int8")}
    verdict = Verdict.load(run)
    assert [each.model for each in verdict.exports if each.path is None] == RESULTS[name]
    for record in verdict.exports:
        if record.precision == "fp32":
            assert record.metric == verdict.results[record.model].distilled.metric
    if name == "exits":
        assert files["early.layer1-fp32.onnx"] < files["early.layer2-fp32.onnx"] < files["student-fp32.onnx"]
    page = (run / "report.html").read_text()
    assert all(f"{result} onnx fp32" in page for result in RESULTS[name])
    path = run / "exports" / f"{RESULTS[name][-1]}-fp32.onnx"
    alone = runs.evaluate_file(path, "digits", split="test").verdict.student.metric
    whole = runs.evaluate_run(run, "digits", split="test").verdict.results[RESULTS[name][-1]].distilled.metric
    assert alone == whole


def test_one_result_is_exported_when_it_is_named(folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder / "exits", tmp_path / "exits"))
    runs.export_run(run, results=["early.layer1"], progress=False)
    assert [path.name for path in (run / "exports").iterdir()] == ["early.layer1-fp32.onnx"]
    with pytest.raises(UnknownNameError, match=r"result 'early.layer3'.*nearest: early.layer"):
        runs.export_run(run, results=["early.layer3"], progress=False)


def test_a_result_that_cannot_be_exported_is_a_record(folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder / "peers", tmp_path / "peers"))
    (run / "results" / "b" / "student" / "config.json").unlink()
    records = runs.export_run(run, progress=False)
    assert {each.model for each in records if each.error is None} == {"a", "both"}
    (failed,) = [each for each in records if each.error is not None]
    assert (failed.model, failed.format, failed.precision) == ("b", "onnx", "fp32")
    assert "holds no model that can be loaded" in str(failed.error)


def test_names_and_patterns_choose_results() -> None:
    names = ["student", "early.layer1", "early.layer2"]
    assert choose_results(names, []) == names
    assert choose_results(names, ["early"]) == choose_results(names, ["early.*"]) == names[1:]
    assert choose_results(names, ["early.layer2", "student"]) == ["student", "early.layer2"]


def test_results_read_what_their_actor_reads() -> None:
    actors = {**several.PEERS["actors"], "mean": {"average": "peers.b"}}
    evaluate = {"all": "peers.*", "mean": "mean", "both": {"ensemble": {"of": ["peers.b:logits", "peers.a"]}}}
    recipe = several.recipe(several.PEERS, actors=actors, evaluate=evaluate)
    readers = {name: reader_of(recipe, name) for name in ("all.a", "all.b", "mean", "both")}
    assert readers == {"all.a": "peers.a", "all.b": "peers.b", "mean": "peers.b", "both": "peers.b"}
    assert reader_of(several.recipe(several.EXITS), "early.layer1") == "student"


def test_results_of_a_method_read_what_their_actors_read() -> None:
    small = {"model": "tiny_cnn", "args": {"width": 4, "size": 8}}
    data = {"train": {"path": "digits", "split": "train"}, "test": {"path": "digits", "split": "test"}}
    content = {"name": "run", "data": data, "method": "mutual_learning", "actors": {"peers.a": small, "peers.b": small}}
    recipe = Recipe.from_dict(content)
    assert readers_of(recipe, ["peers.b", "ensemble"]) == {"peers.b": "peers.b", "ensemble": "peers.a"}


def test_a_recipe_names_the_results_that_it_exports(tmp_path: Path) -> None:
    recipe = several.recipe(several.PEERS, export={"results": ["both"]})
    runs.run_recipe(recipe, tmp_path / "run", progress=False)
    assert [path.name for path in (tmp_path / "run" / "exports").iterdir()] == ["both-fp32.onnx"]
    assert list(load_results(tmp_path / "run", ["b*"]).models) == ["b", "both"]
    with pytest.raises(RecipeError, match=r"export.results: .*'bith'.*nearest: both"):
        several.recipe(several.PEERS, export={"results": ["bith"]})


@pytest.mark.parametrize("name", ["peers", "exits"])
def test_every_result_is_profiled(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "peak_memory", lambda kind, path, shape: 10**6)
    rows = runs.profile_run(folder / name)
    assert list(rows) == [f"{result} pytorch fp32" for result in RESULTS[name]]
    counts = [row.parameters for row in rows.values()]
    assert counts == [result.distilled.parameters for result in Verdict.load(folder / name).results.values()]


def test_a_control_with_a_training_of_its_own_is_as_long_as_that(tmp_path: Path) -> None:
    recipe = several.recipe(
        several.EXITS,
        control=False,
        controls={"longer": {"terms": ["hard_targets"], "training": {**several.TRAINING, "steps": 9}}},
    )
    runs.run_recipe(recipe, tmp_path / "run", progress=False)
    last = max((tmp_path / "run" / "checkpoints" / "seed-0-longer" / "checkpoints").iterdir())
    assert last.name == "step-000000009"
    shown = runs.list_runs(tmp_path / "run")[0].trainings
    assert [(each.arm, each.done) for each in shown] == [("student", 6), ("longer", 9)]
