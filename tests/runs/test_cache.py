"""The commands on caches: build, info, verify, prune."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from limbeck.recipe import RecipeError
from limbeck.runs import run_recipe
from limbeck.runs.cache import build_cache, describe_cache, save_cache_recipe, verify_cache
from limbeck.runs.folder import RECIPE
from limbeck.teacher_cache import (
    IdentityError,
    find_stores,
)
from limbeck.utils.folder_lock import lock_folder
from tests import tiny
from tests.runs import several
from tests.teacher_cache.cached_runs import AUGMENTED, HINT, LONGER, student_of, teacher_items, train_teacher


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return train_teacher(tmp_path_factory.mktemp("teacher"))


def test_the_commands_build_show_verify_and_prune_a_cache(tmp_path: Path, teacher: str) -> None:
    from typer.testing import CliRunner

    from limbeck.cli import app

    recipe = tiny.write(tmp_path, *LONGER, teacher, "teacher.training=null", AUGMENTED, HINT)
    call = lambda *words: CliRunner().invoke(app, ["cache", *map(str, words)], catch_exceptions=False)  # noqa: E731
    kept = tmp_path / "kept"
    assert call("build", recipe, "--out", kept, "--set", "cache={views: 2}").exit_code == 0
    shown = call("info", kept)
    assert shown.exit_code == 0
    assert "400 of 400" in shown.output
    verified = call("verify", kept, "--sample", 50)
    assert verified.exit_code == 0, verified.output
    assert "50 items computed again" in verified.output
    student_of(
        tmp_path / "run", teacher, "teacher.training=null", AUGMENTED, HINT, f"cache={{path: {kept}, views: 2, strict: true}}"
    )
    assert teacher_items(tmp_path / "run") == 0
    stray = kept / "logits" / "segments" / "000" / ".0000-00000.safetensors.abc"
    stray.write_bytes(b"half")
    assert "left over" in call("prune", kept).output
    assert stray.exists()
    assert call("prune", kept, "--remove").exit_code == 0
    assert not stray.exists()
    shard = next((kept / "logits").rglob("0001-00000.safetensors"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    damaged = call("verify", kept, "--sample", 8)
    assert damaged.exit_code == 3
    assert "1 damaged file" in damaged.output


def test_taps_that_were_cached_by_different_runs_are_all_verified(tmp_path: Path, teacher: str) -> None:
    kept = tmp_path / "kept"
    where = f"cache={{path: {kept}, views: 2}}"
    changes = (teacher, "teacher.training=null", AUGMENTED, where)
    student_of(tmp_path / "first", *changes)
    student_of(tmp_path / "second", *changes, HINT)  # the folder remembers the recipe of the first
    compared = verify_cache(kept, 40)
    assert len(compared) > 1
    assert all(one.samples == 40 and one.passed for one in compared)


def test_a_folder_of_several_teachers_is_verified_teacher_by_teacher(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null", "cache=auto")
    student_of(tmp_path / "first", *changes, AUGMENTED)
    student_of(tmp_path / "second", *changes)
    found = find_stores(tmp_path / "store")
    assert len(found) == 2
    assert all(name.startswith("logits in ") for name in found)
    assert [one.samples for one in verify_cache(tmp_path / "store", 30)] == [30, 30]


def test_the_outputs_of_a_short_training_are_verified(tmp_path: Path, teacher: str) -> None:
    """Fewer epochs than views leave all rows in the journal."""
    student_of(tmp_path / "run", teacher, "teacher.training=null", "cache=auto", AUGMENTED)
    (info,) = describe_cache(tmp_path / "store").values()
    assert info.journal
    assert not info.complete
    (tap,) = find_stores(tmp_path / "store").values()
    with lock_folder(tap):  # by another run, or nobody may write there
        (check,) = verify_cache(tmp_path / "store", 30)
    assert (check.samples, check.damaged) == (30, [])
    assert check.max_error < 1e-2
    assert describe_cache(tmp_path / "store").popitem()[1] == info  # nothing was written


def test_verify_refuses_a_teacher_that_changed(tmp_path: Path, teacher: str) -> None:
    weights = Path(teacher.removeprefix("teacher.weights="))
    own = tmp_path / "teacher.safetensors"
    own.write_bytes(weights.read_bytes())
    kept = tmp_path / "kept"
    student_of(tmp_path / "run", f"teacher.weights={own}", "teacher.training=null", f"cache={{path: {kept}}}")
    tensors = load_file(own)
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, own)
    with pytest.raises(IdentityError, match="teacher"):
        verify_cache(kept)


def test_each_actor_has_a_cache_of_its_own_that_is_built_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = several.recipe(several.cached_teachers(), control=False)
    built = build_cache(recipe)
    assert list(built) == ["teachers.a", "teachers.b"]
    verdict = run_recipe(recipe, tmp_path / "runs" / "cached", progress=False)
    assert verdict.cost is not None
    assert verdict.cost.teacher_items == 0  # every output was found
    checks = verify_cache(tmp_path / "runs" / "store", 20)
    assert [(check.samples, check.passed) for check in checks] == [(20, True)] * 2
    apart = build_cache(recipe, tmp_path / "apart")
    assert apart == {name: tmp_path / "apart" / name for name in built}
    assert all(check.passed for check in verify_cache(tmp_path / "apart", 20))


def test_caches_of_one_run_hold_the_same_views() -> None:
    content = several.cached_teachers()
    content["actors"]["teachers.b"]["cache"] = {"views": 3}
    with pytest.raises(RecipeError, match=r"cache: views of 'teachers.a' is None and of 'teachers.b' 3; give both the same"):
        several.recipe(content)
    for actor in content["actors"].values():
        actor["cache"] = {"refresh": 0.1}
    with pytest.raises(RecipeError, match=r"cache: refresh of 'teachers.a' is 0.1, and without training.views"):
        several.recipe(content)
    for actor in content["actors"].values():
        actor["cache"] = {"path": "kept"}
    with pytest.raises(RecipeError, match=r"cache: path is 'kept' for 'teachers.a' and for 'teachers.b'"):
        several.recipe(content)


def test_what_a_killed_run_left_beside_the_recipe_of_a_cache_is_removed(tmp_path: Path) -> None:
    (tmp_path / f".{RECIPE}.0cexx7tl").write_text("name: ti")
    job = tiny.recipe("cache=auto")
    with lock_folder(tmp_path):  # by a run beside this one, which writes it
        save_cache_recipe(job, tmp_path, tmp_path)
    assert not (tmp_path / RECIPE).exists()
    save_cache_recipe(job, tmp_path, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", RECIPE]


def test_a_cache_that_was_moved_with_its_teacher_is_verified(tmp_path: Path) -> None:
    build_cache(tiny.recipe(*LONGER, "cache=auto"), tmp_path / "outputs")
    (tmp_path / "outputs").rename(tmp_path / "moved")
    assert [(check.samples, check.passed) for check in verify_cache(tmp_path / "moved", 20)] == [(20, True)]


def test_a_check_of_checksums_alone_claims_no_comparison(tmp_path: Path) -> None:
    build_cache(tiny.recipe(*LONGER, "cache=auto"), tmp_path / "outputs")
    (check,) = verify_cache(tmp_path / "outputs", 0)
    assert check.passed
    assert check.summary() == "the checksums of all files match; no items were computed again"
