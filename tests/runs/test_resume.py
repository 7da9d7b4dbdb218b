"""A run is never overwritten unasked, and resumed by its own recipe only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from torch import nn

from limbeck import models
from limbeck.recipe import Recipe
from limbeck.runs import RunError, evaluate_run, run_recipe
from limbeck.runs import distill as distill_module
from limbeck.runs.own_files import MARKER, delete_run
from limbeck.runs.resume import changed_fields, check_folder, read_resolved
from tests import tiny
from tests.runs.run_files import bytes_of


@pytest.mark.parametrize("options", [{}, {"resume": True, "force": True}])
def test_a_run_is_never_overwritten_unasked(finished: Path, options: dict[str, bool]) -> None:
    before = bytes_of(finished)
    with pytest.raises(RunError, match=r"--resume.*--force"):
        run_recipe(tiny.recipe(), finished, progress=False, **options)  # type: ignore[arg-type]
    assert bytes_of(finished) == before


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}])
def test_files_that_are_no_run_stay(tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(RunError, match=r"no run.*another --out"):
        run_recipe(tiny.recipe(), tmp_path, progress=False, **options)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is a file"):
        run_recipe(tiny.recipe(), tmp_path / "thesis.tex", progress=False, **options)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"no run.*another --out"):  # the same folder, by way of one that is not there
        run_recipe(tiny.recipe(), tmp_path / "missing" / "..", progress=False, **options)  # type: ignore[arg-type]
    assert bytes_of(tmp_path) == {"thesis.tex": b"ten years"}


def test_force_starts_over_but_not_before_the_new_job_is_known_to_work(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    run_recipe(tiny.recipe("training.steps=3", "control=false"), folder, progress=False)
    before = bytes_of(folder)
    with pytest.raises(ValueError, match="outputs 5 classes"):
        run_recipe(tiny.recipe("student.args.classes=5"), folder, force=True, progress=False)
    assert bytes_of(folder) == before
    run_recipe(tiny.recipe(), folder, force=True, progress=False)
    weights = "student/model.safetensors"
    assert (folder / weights).read_bytes() == (finished / weights).read_bytes() != before[weights]


def test_resuming_with_another_recipe_is_refused_and_says_what_differs(finished: Path) -> None:
    before = bytes_of(finished)
    with pytest.raises(RunError, match=r"training.steps was 12 and is 13.* limbeck distill .*recipe.yaml --out .* --resume"):
        run_recipe(tiny.recipe("training.steps=13"), finished, resume=True, progress=False)
    with pytest.raises(RunError, match=r"seeds was \[0\] and is \[1\]"):
        run_recipe(tiny.recipe("seeds=[1]"), finished, resume=True, progress=False)
    assert bytes_of(finished) == before


def test_goals_may_change_and_seeds_be_added() -> None:
    before = tiny.recipe().model_dump(mode="json")
    assert changed_fields(before, tiny.recipe("seeds=[0,1]", "targets={gain: 3}").model_dump(mode="json")) == []
    assert changed_fields(before, tiny.recipe("seeds=[1,0]").model_dump(mode="json")) != []
    assert changed_fields(before, tiny.recipe("student.args.width=5").model_dump(mode="json")) == [
        "student.args.width was 4 and is 5"
    ]


def test_fields_that_are_newer_than_a_run_have_their_defaults(tmp_path: Path) -> None:
    recipe, written = tiny.recipe(), tmp_path / "recipe.yaml"
    older = recipe.model_dump(mode="json")
    del older["data"]["train"]["missing"], older["teacher"]["reads"]
    older["store"] = older.pop("cache")
    written.write_text(yaml.safe_dump(older))
    with pytest.warns(FutureWarning, match="cache"):
        assert changed_fields(read_resolved(Recipe, written), recipe.model_dump(mode="json")) == []


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}])
def test_a_recipe_beside_other_files_is_no_run(tmp_path: Path, options: dict[str, bool]) -> None:
    tiny.recipe().write(tmp_path / "recipe.yaml")
    for name in ("data", "notes", ".git", "student", "checkpoints"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text(name)
    before = bytes_of(tmp_path)
    with pytest.raises(RunError, match=r"no run.*another --out"):
        run_recipe(tiny.recipe(), tmp_path, progress=False, **options)  # type: ignore[arg-type]
    assert bytes_of(tmp_path) == before


def test_force_deletes_what_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run_recipe(tiny.recipe("control=false"), folder, progress=False)
    written = bytes_of(folder)
    foreign = [
        "notes.md",
        "student/notes.md",
        "checkpoints/notes",
        "exports/notes.txt",
        ".git/HEAD",
        "data/student/model.safetensors",
    ]
    for name in foreign:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    elsewhere.mkdir()
    (elsewhere / "model.safetensors").write_text("mine")
    (folder / "control").symlink_to(elsewhere)
    training = next((folder / "checkpoints").glob("seed-0-*"))
    for name in ("wandb/run-1/files/config.yaml", "mlruns/0/meta.yaml", "swanlog/a", "dvclive/metrics.json", ".aim/x"):
        (training / name).parent.mkdir(parents=True, exist_ok=True)
        (training / name).write_text("of a tracker")
    (training / "wandb" / "latest-run").symlink_to(elsewhere)
    delete_run(folder)
    assert bytes_of(folder) == {name: name.encode() for name in foreign} | {
        MARKER: written[MARKER],
        ".lock": b"",
    }
    assert bytes_of(elsewhere) == {"model.safetensors": b"mine"}
    assert not (folder / "control").is_symlink()


def test_runs_from_before_the_marker_are_resumed_and_may_be_started_over(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for name in (MARKER, "student/checksums.json", "teacher/checksums.json", "control/checksums.json"):
        (folder / name).unlink()
    weights = (folder / "student/model.safetensors").read_bytes()
    run_recipe(tiny.recipe(), folder, progress=False, resume=True)
    assert (folder / "student/model.safetensors").read_bytes() == weights
    (folder / MARKER).unlink()
    check_folder(tiny.recipe(), folder, resume=False, force=True)


def test_a_run_that_another_process_finished_meanwhile_stays(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    build = distill_module.build_pretrained

    def finish_meanwhile(*given: object) -> object:
        shutil.copytree(finished, folder)
        return build(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(distill_module, "build_pretrained", finish_meanwhile)
    with pytest.raises(RunError, match="holds a run already"):
        run_recipe(tiny.recipe(), folder, progress=False)
    assert bytes_of(folder) == bytes_of(finished)


def test_damaged_files_of_a_run_are_named_and_written_again_where_possible(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)

    def flip(name: str) -> Path:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        return folder / name

    good = (folder / "student/model.safetensors").read_bytes()
    flip("student/model.safetensors")
    with pytest.raises(ValueError, match=r"student/model.safetensors is damaged"):
        evaluate_run(folder, "digits")
    run_recipe(tiny.recipe(), folder, progress=False, resume=True)
    assert (folder / "student/model.safetensors").read_bytes() == good
    best = flip("checkpoints/seed-0-student/checkpoints/best/state.safetensors")
    with pytest.raises(RuntimeError, match=rf"{best} is damaged.*Delete {best.parent.parent} to"):
        run_recipe(tiny.recipe(), folder, progress=False, resume=True)
    shutil.rmtree(best.parent)
    with pytest.raises(RuntimeError, match=r"best state by validation, is gone"):
        run_recipe(tiny.recipe(), folder, progress=False, resume=True)
    shutil.rmtree(best.parent.parent)
    run_recipe(tiny.recipe(), folder, progress=False, resume=True)
    assert (folder / "student/model.safetensors").read_bytes() == good
    flip("teacher/model.safetensors")
    with pytest.raises(ValueError, match=r"teacher/model.safetensors is damaged.*delete .*teacher"):
        run_recipe(tiny.recipe(), folder, progress=False, resume=True)


def test_a_teacher_that_is_killed_while_it_is_written_is_written_again(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, save = tmp_path / "run", models.save_model

    def killed(model: nn.Module, spec: None, place: Path) -> None:
        place.joinpath("config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "save_model", killed)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(tiny.recipe(), folder, progress=False)
    assert not (folder / "teacher").exists()
    monkeypatch.setattr(models, "save_model", save)
    run_recipe(tiny.recipe(), folder, progress=False, resume=True)
    for name in ("student/model.safetensors", "teacher/model.safetensors"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
