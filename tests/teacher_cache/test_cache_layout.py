"""The folders of a cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck import runs
from limbeck.teacher_cache import (
    CacheConfig,
    Codec,
    Dense,
    cache_folder,
    check_cache_folder,
    choose_codecs,
    find_stores,
    tap_folder,
)
from tests import tiny
from tests.teacher_cache import examples
from tests.teacher_cache.cached_runs import AUGMENTED, student_of, teacher_items
from tests.teacher_cache.queries import query


def test_other_runs_and_seeds_find_the_auto_folder(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null", AUGMENTED, "cache={path: auto, views: 8}")
    student_of(tmp_path / "first", *changes)
    student_of(tmp_path / "more", *changes, "seeds=[1]")
    assert teacher_items(tmp_path / "more") <= 8 * 200 - teacher_items(tmp_path / "first") + 32 * 8
    assert len(list((tmp_path / "store").iterdir())) == 1
    student_of(tmp_path / "other", *changes, "training.views=[{random_crop: {padding: 2}}]")
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_a_run_on_other_samples_is_not_stopped_by_what_another_left_unfinished(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null", "cache={path: auto}")
    student_of(tmp_path / "first", *changes, "training.steps=2")
    student_of(tmp_path / "other", *changes, "training.steps=2", "data.train.limit=150")  # it lacks some
    first, other = sorted((tmp_path / "store").iterdir())
    assert other.name.startswith(f"{first.name}-")
    student_of(tmp_path / "again", *changes, "training.steps=2")
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_a_path_is_taken_as_it_is_and_auto_needs_a_run_folder(tmp_path: Path) -> None:
    one = query()
    codecs = choose_codecs(one, CacheConfig())
    assert cache_folder(one, CacheConfig(path=tmp_path), None, codecs) == tmp_path
    with pytest.raises(ValueError, match="cache: auto places the cache beside the run, which has no folder"):
        cache_folder(one, CacheConfig(), None, codecs)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(ValueError, match=r"cache: .*a\.parquet is a file; name a folder, or auto"):
        cache_folder(one, CacheConfig(path=tmp_path / "a.parquet"), None, codecs)


def test_the_auto_folder_depends_on_teacher_views_and_codecs(tmp_path: Path) -> None:
    codecs: dict[str, Codec] = {"logits": Dense("fp16")}
    first = cache_folder(query(), CacheConfig(), tmp_path, codecs)
    more = query()
    more.source.view_count = 5
    others = [
        cache_folder(query(seed=1), CacheConfig(), tmp_path, codecs),
        cache_folder(more, CacheConfig(), tmp_path, codecs),
        cache_folder(query(), CacheConfig(), tmp_path, {"logits": Dense("fp32")}),
    ]
    assert cache_folder(query(), CacheConfig(), tmp_path, codecs) == first
    assert first.parent == tmp_path / "store"
    assert len({first, *others}) == 4


def test_taps_become_folder_names(tmp_path: Path) -> None:
    assert tap_folder(tmp_path, "hidden(-1)") == tmp_path / "hidden(-1)"
    assert tap_folder(tmp_path, "a/b") == tmp_path / "a%2Fb"


def test_stores_are_found_by_their_taps(tmp_path: Path) -> None:
    keys = examples.keys(5)
    examples.build(tmp_path / "one" / "logits", keys)
    assert find_stores(tmp_path) == {"logits": tmp_path / "one" / "logits"}
    examples.build(tmp_path / "two" / "logits", keys)
    assert set(find_stores(tmp_path)) == {"logits in one", "logits in two"}
    (tmp_path / "two" / "logits" / "manifest.json").write_text("{")
    assert set(find_stores(tmp_path).values()) == {tmp_path / "one" / "logits", tmp_path / "two" / "logits"}


def test_a_folder_that_can_hold_no_cache_is_refused_before_any_training(tmp_path: Path, read_only: None) -> None:
    full = tmp_path / "full" / "logits"
    full.mkdir(parents=True)
    (full / "manifest.json").touch()
    check_cache_folder(CacheConfig(full.parent))  # can be read
    check_cache_folder(CacheConfig())
    with pytest.raises(ValueError, match=r"new holds no outputs, and .* cannot be written"):
        check_cache_folder(CacheConfig(tmp_path / "new"))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; name a folder, or auto"):
        check_cache_folder(CacheConfig(tmp_path / "file" / "cache"))


def test_nothing_is_trained_for_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file; name a folder, or auto"):
        runs.run_recipe(tiny.recipe(f"cache={tmp_path / 'file'}"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
