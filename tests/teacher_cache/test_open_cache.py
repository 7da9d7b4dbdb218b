"""A run with a cache: trained as with the live teacher, which runs once for each item and view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import runs
from limbeck.teacher_cache import (
    CachedTeacher,
    IdentityError,
    StoreError,
    TeacherQuery,
    check_store,
    find_stores,
    store_info,
)
from tests import tiny
from tests.teacher_cache.cached_runs import AUGMENTED, HINT, LONGER, same, student_of, teacher_items


@pytest.mark.parametrize("terms", [(), (HINT,)])
def test_a_run_from_the_cache_trains_the_same_student(tmp_path: Path, teacher: str, terms: tuple[str, ...]) -> None:
    exact = "cache={views: 3, logits: fp32, features: fp32, path: %s}"
    changes = (teacher, "teacher.training=null", AUGMENTED, *terms)
    first = student_of(tmp_path / "first", *changes, exact % (tmp_path / "kept"))
    again = student_of(tmp_path / "again", *changes, exact % (tmp_path / "kept"))
    assert same(first, again)
    assert teacher_items(tmp_path / "again") == 0
    assert teacher_items(tmp_path / "first") <= 3 * 200  # sixty steps of 32 are nine epochs
    for folder in find_stores(tmp_path / "kept").values():
        found = store_info(folder)
        assert found.complete  # the rows that every epoch left out were computed at the end
        assert found.samples == 200
        assert found.journal == 0
        check_store(folder)


def test_new_views_cost_the_teacher_their_share_and_seeds_share_them(tmp_path: Path, teacher: str) -> None:
    """Thirty steps of 32 are five epochs: three passes over two views, of which one is new each time."""
    kept = f"cache={{views: 2, refresh: 0.5, path: {tmp_path / 'kept'}}}"
    changes = (teacher, "teacher.training=null", AUGMENTED, "control=false", kept, "training.steps=30")
    student_of(tmp_path / "first", *changes, seeds="seeds=[0, 1]")
    store = store_info(tmp_path / "kept" / "logits")
    assert (store.views, store.complete) == (4, True)
    assert teacher_items(tmp_path / "first") == 4 * 200  # of two seeds, with the rows that were added at the end


def test_a_run_with_new_views_that_was_stopped_ends_with_the_same_student(tmp_path: Path, teacher: str) -> None:
    changes = (*LONGER, "seeds=[0]", teacher, "teacher.training=null", AUGMENTED, "control=false", "training.steps=36")
    cache = "cache={views: 2, refresh: 0.5, path: %s}"
    whole = student_of(tmp_path / "whole", *changes, cache % (tmp_path / "kept"))
    recipe = tiny.recipe(*changes, cache % (tmp_path / "own"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CachedTeacher, "lookup", stopped_after(28, CachedTeacher.lookup))
        with pytest.raises(InterruptedError):
            runs.run_recipe(recipe, tmp_path / "stopped", progress=False)
    runs.run_recipe(recipe, tmp_path / "stopped", progress=False, resume=True)
    assert same(whole, dict(runs.open_run(tmp_path / "stopped")[1].state_dict()))


def stopped_after(count: int, lookup: Any) -> Any:
    """A lookup that fails from the call after `count` on."""
    calls = iter(range(count))

    def counted(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise InterruptedError
        return lookup(*args, **options)

    return counted


def test_fewer_views_are_read_from_a_cache_that_lacks_some_of_more(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null", AUGMENTED, "control=false", "training.steps=12")
    kept = f"path: {tmp_path / 'kept'}"
    student_of(tmp_path / "few", *changes, f"cache={{views: 2, {kept}}}")
    student_of(tmp_path / "short", *changes, f"cache={{views: 5, {kept}}}")
    student_of(tmp_path / "again", *changes, f"cache={{views: 2, {kept}}}")
    assert teacher_items(tmp_path / "again") == 0


def test_without_augmentation_the_student_is_that_of_a_live_teacher(tmp_path: Path, teacher: str) -> None:
    """There is one view then, and float32 outputs are exact, but for the last bits of batches of another size."""
    changes = (teacher, "teacher.training=null")
    live = student_of(tmp_path / "live", *changes)
    kept = student_of(tmp_path / "kept", *changes, "cache={logits: fp32, path: %s}" % (tmp_path / "store"))
    for name in live:
        assert torch.allclose(live[name], kept[name], atol=1e-4), name


def test_another_teacher_is_refused_by_name(tmp_path: Path, teacher: str) -> None:
    kept = f"cache={{path: {tmp_path / 'kept'}}}"
    student_of(tmp_path / "first", teacher, "teacher.training=null", kept)
    with pytest.raises(IdentityError, match="teacher"):
        student_of(tmp_path / "other", kept, "teacher.training.steps=3")
    with pytest.raises(IdentityError, match="views"):
        student_of(tmp_path / "views", teacher, "teacher.training=null", kept, AUGMENTED)


def test_strict_never_runs_the_teacher(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null")
    student_of(tmp_path / "first", *changes, f"cache={{path: {tmp_path / 'kept'}}}")
    student_of(tmp_path / "second", *changes, f"cache={{path: {tmp_path / 'kept'}, strict: true}}")
    assert teacher_items(tmp_path / "second") == 0
    with pytest.raises(StoreError, match="no outputs for sample"):
        student_of(tmp_path / "more", *changes, "data.train.limit=300", f"cache={{path: {tmp_path / 'kept'}, strict: true}}")


def test_missing_samples_are_computed_and_added(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null", f"cache={{path: {tmp_path / 'kept'}}}")
    student_of(tmp_path / "first", *changes)
    student_of(tmp_path / "more", *changes, "data.train.limit=260")
    assert 0 < teacher_items(tmp_path / "more") <= 60
    assert store_info(tmp_path / "kept" / "logits").samples == 260


def test_a_locked_store_is_only_read(tmp_path: Path, teacher: str) -> None:
    from limbeck.utils.folder_lock import lock_folder

    changes = (teacher, "teacher.training=null", f"cache={{path: {tmp_path / 'kept'}, logits: fp32}}")
    first = student_of(tmp_path / "first", *changes, "data.train.limit=100")
    in_use = pytest.warns(UserWarning, match="another process is at work in it.*the teacher computes those that are missing")
    with in_use, lock_folder(tmp_path / "kept" / "logits"):
        beside = student_of(tmp_path / "beside", *changes)  # half of the outputs are cached
    alone = student_of(tmp_path / "alone", *changes)
    assert not same(first, beside)
    for name in alone:
        assert torch.allclose(alone[name], beside[name], atol=1e-4)


def test_the_last_missing_rows_of_all_taps_are_computed_together(tmp_path: Path, teacher: str) -> None:
    """200 items in batches of 32 leave eight out at the end of each epoch."""
    changes = (teacher, "teacher.training=null", HINT, f"cache={{path: {tmp_path / 'kept'}}}")
    batch_sizes: list[int] = []
    run = TeacherQuery.run

    def counted(self: TeacherQuery, batch: Any) -> Any:
        batch_sizes.append(batch.size)
        return run(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TeacherQuery, "run", counted)
        student_of(tmp_path / "run", *changes, "training.steps=6", "control=false")
    stores = find_stores(tmp_path / "kept").values()
    assert len(stores) > 1
    assert all(store_info(place).complete for place in stores)
    assert sum(batch_sizes) == 4 + 8  # an example of four, and those that the only epoch left out
