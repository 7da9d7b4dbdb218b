"""Exports of a run: in its recipe or after it, in the verdict and the report, and without data or teacher."""

from __future__ import annotations

import errno
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from limbeck import runs
from limbeck.data import Items
from limbeck.evaluation import Export, Verdict
from limbeck.export import costs, exporter, formats
from limbeck.export.quantization import qat as aware
from limbeck.recipe import RecipeError
from limbeck.runs import RunError, run_recipe
from limbeck.utils.disk_full import DiskFullError
from tests import tiny


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)
    monkeypatch.setattr(costs, "peak_memory", lambda kind, path, shape: 10**6)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)
        run_recipe(tiny.recipe("export={formats: [onnx]}"), folder, progress=False)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def kinds(folder: Path) -> list[tuple[str, str, str]]:
    return [(each.model, each.format, each.precision) for each in Verdict.load(folder).exports]


BOTH = ("student", "teacher")


def test_a_recipe_ships_at_its_end(finished: Path) -> None:
    assert kinds(finished) == [(model, kind, "fp32") for kind in ("pytorch", "onnx") for model in BOTH]
    assert {path.name for path in (finished / "exports").iterdir()} == {"student-fp32.onnx", "teacher-fp32.onnx"}
    assert Verdict.load(finished).exports[0].metric == Verdict.load(finished).student.metric


def test_a_finished_run_is_shipped_again(run: Path) -> None:
    before = {(each.model, each.format, each.precision): each for each in Verdict.load(run).exports}
    records = runs.export_run(run, precisions=["int8"], progress=False)
    assert [(each.format, each.precision, each.error) for each in records if each.format == "onnx"] == [
        ("onnx", "int8", None)
    ] * 2
    assert sorted(kinds(run)) == sorted([*before, ("student", "onnx", "int8"), ("teacher", "onnx", "int8")])
    kept = next(each for each in Verdict.load(run).exports if (each.model, each.precision) == ("student", "fp32") and each.path)
    older = before["student", "onnx", "fp32"]
    assert kept == older.model_copy(update={"latency_ms": kept.latency_ms})
    assert kept.latency_ms != older.latency_ms  # timed again, interleaved with int8


def test_a_run_without_its_teacher_ships_the_student_alone(run: Path) -> None:
    shutil.rmtree(run / "teacher")
    records = runs.export_run(run, progress=False)
    assert {each.model for each in records} == {"student"}


def test_the_student_alone_is_exported_without_its_teacher(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rebuild(*_: object) -> None:
        raise AssertionError("the teacher is not needed")

    monkeypatch.setattr("limbeck.runs.export.rebuild_teacher", rebuild)
    written = yaml.safe_load((run / "recipe.yaml").read_text())
    written["export"] = {"precisions": ["fp32", "int8"], "quantization_aware": {"epochs": 2}}
    (run / "recipe.yaml").write_text(yaml.safe_dump(written))
    records = runs.export_run(run, student_only=True, progress=False)
    assert [(each.model, each.precision, each.error) for each in records if each.format == "onnx"] == [
        ("student", "fp32", None),
        ("student", "int8", None),
    ]


def test_the_student_learns_to_be_quantized_where_the_recipe_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def quantization_aware(student: nn.Module, teacher: nn.Module, train: Items, **options: Any) -> nn.Module:
        asked.append((len(train), options["epochs"], options["batch_size"], options["folder"].relative_to(run).parts))
        return student

    monkeypatch.setattr(aware, "quantization_aware", quantization_aware)
    written = yaml.safe_load((run / "recipe.yaml").read_text())
    written["export"] = {"precisions": ["fp32", "int8"], "quantization_aware": {"epochs": 2}, "teacher": False}
    (run / "recipe.yaml").write_text(yaml.safe_dump(written))
    records = runs.export_run(run, progress=False)
    assert {each.model for each in records} == {"student"}
    assert asked == [(1078, 2.0, 32, ("checkpoints", "quantization-aware"))]


def test_a_run_without_its_data_says_so(run: Path) -> None:
    written = (run / "recipe.yaml").read_text().replace("path: digits", "path: /nowhere/images.parquet")
    (run / "recipe.yaml").write_text(written)
    with pytest.raises(RunError, match=r"checked on the run's data, and that cannot be loaded: .*nowhere"):
        runs.export_run(run, progress=False)
    costs = runs.profile_run(run)
    assert set(costs) == {f"{model} {kind} fp32" for kind in ("pytorch", "onnx") for model in BOTH}
    assert costs["student onnx fp32"].path == "exports/student-fp32.onnx"
    assert costs["student onnx fp32"].parameters == costs["student pytorch fp32"].parameters
    assert costs["teacher pytorch fp32"].parameters != costs["student pytorch fp32"].parameters


def test_unfinished_runs_and_unknown_formats_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown format 'onyx'; nearest: onnx"):
        runs.export_run(run, into=["onyx"])
    with pytest.raises(RecipeError, match="unknown format 'onyx'"):
        tiny.recipe("export={formats: [onyx]}")
    (run / "verdict.json").unlink()
    with pytest.raises(RunError, match="it has no verdict yet"):
        runs.export_run(run)
    with pytest.raises(RunError, match="there is no"):
        runs.export_run(tmp_path / "gone")


def test_a_missing_package_is_found_out_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match="format 'onnx' needs onnxscript"):
        run_recipe(tiny.recipe("export={formats: [onnx]}"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_good_file_stays_until_its_successor_is_checked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = run / "exports" / "student-fp32.onnx"
    before, onnx = file.read_bytes(), formats.get("onnx")
    (run / "exports" / ".draft").mkdir()
    (run / "exports" / ".draft" / "student-int8.onnx").touch()  # left by a killed process

    def fail(error: BaseException) -> list[Export]:
        def write(self: object, model: nn.Module, path: Path, *_: object, **__: object) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(type(onnx), "write", write)
            return runs.export_run(run, progress=False)

    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    for full in (OSError(errno.ENOSPC, "No space left on device"), Exception("No space left on device (os error 28)")):
        with pytest.raises(DiskFullError, match=r"exports: .*No space left.*exported before are complete; make room"):
            fail(full)
    assert [record.error for record in fail(ValueError("odd graph")) if record.format == "onnx"] == ["odd graph"] * 2
    kept = next(each for each in Verdict.load(run).exports if each.path == "exports/student-fp32.onnx")
    assert kept.warning == "this is an older file, a later export failed: odd graph"
    assert kept.error is None
    assert file.read_bytes() == before
    assert {path.name for path in (run / "exports").iterdir()} == {"student-fp32.onnx", "teacher-fp32.onnx"}


def test_a_failed_export_leaves_no_file_of_another_student(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict.load(run)
    verdict.model_copy(update={"exports": []}).save(run / "verdict.json")  # as after a resume that trained more seeds

    def write(*_: object, **__: object) -> None:
        raise ValueError("odd graph")

    monkeypatch.setattr(type(formats.get("onnx")), "write", write)
    runs.export_run(run, progress=False)
    assert not list((run / "exports").iterdir())


def test_a_resumed_run_keeps_what_was_exported(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict that a resumed run writes lists the files of the same weights, also when a kill or a failure follows."""
    recipe, file = tiny.recipe("export={formats: [onnx]}"), run / "exports" / "student-fp32.onnx"
    before, listed = file.read_bytes(), kinds(run)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def fail(*_: object, **__: object) -> None:
        raise ValueError("odd graph")

    for write, raised in ((die, pytest.raises(KeyboardInterrupt)), (fail, nullcontext())):
        monkeypatch.setattr(type(formats.get("onnx")), "write", write)
        with raised:
            run_recipe(recipe, run, resume=True, progress=False)
        assert sorted(kinds(run)) == sorted(listed)
        assert file.read_bytes() == before
    run_recipe(tiny.recipe(), run, resume=True, progress=False)  # without `export`
    assert sorted(kinds(run)) == sorted(listed)


def test_a_resumed_run_drops_the_exports_of_other_weights(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict.load(run)
    other = [each.model_copy(update={"weights": "of another seed"}) for each in verdict.exports if each.model == "student"]
    verdict.model_copy(update={"exports": other}).save(run / "verdict.json")
    run_recipe(tiny.recipe(), run, resume=True, progress=False)
    assert kinds(run) == []


def test_records_are_written_file_by_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx, listed = formats.get("onnx"), []
    write = type(onnx).write

    def noting(self: object, *given: object, **options: object) -> None:
        listed.append([record[2] for record in kinds(run) if record[1] == "onnx"])
        write(self, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(onnx), "write", noting)
    runs.export_run(run, precisions=["fp32", "int8"], progress=False)
    assert listed[0] == ["fp32", "fp32"]
    shutil.rmtree(run / "teacher")
    verdict = Verdict.load(run)
    verdict.model_copy(update={"exports": []}).save(run / "verdict.json")
    listed.clear()
    runs.export_run(run, precisions=["fp32", "int8"], progress=False)
    assert listed == [[], ["fp32"]]
