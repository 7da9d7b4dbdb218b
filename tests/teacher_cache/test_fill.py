"""A cache that is filled ahead of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import runs
from limbeck.core.actors import frozen
from limbeck.data import Dataset, Items
from limbeck.teacher_cache import (
    Dense,
    Store,
    StoreError,
    TeacherQuery,
    fill_cache,
    read_manifest,
    store_info,
    tap_folder,
)
from tests import tiny
from tests.teacher_cache.cached_runs import AUGMENTED, HINT, LONGER, student_of


def test_filling_ahead_and_during_training_write_the_same_files(tmp_path: Path, teacher: str) -> None:
    progress: list[tuple[int, int]] = []
    ahead = tiny.recipe(*LONGER, teacher, "teacher.training=null", AUGMENTED, f"cache={{path: {tmp_path / 'ahead'}, views: 2}}")
    _, seen, _, _ = ahead.load()
    job = ahead.distillation(runs.build_teacher(ahead, seen), seen)
    plan = job.plan_cache(seen)
    fill_cache(plan.query, plan.folder, plan.codecs, lambda done, total: progress.append((done, total)), batch_size=32)
    assert progress[-1] == (400, 400)
    student_of(
        tmp_path / "run", teacher, "teacher.training=null", AUGMENTED, f"cache={{path: {tmp_path / 'journal'}, views: 2}}"
    )
    ours, theirs = (sorted(p for p in (tmp_path / side / "logits").rglob("*") if p.is_file()) for side in ("ahead", "journal"))
    assert [p.name for p in ours] == [p.name for p in theirs]
    assert store_info(tmp_path / "journal" / "logits").complete


def test_taps_of_different_sizes_are_filled_together(tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MB hold fewer rows of a feature map than of logits; one run of the teacher fills the shards of both."""
    from limbeck.teacher_cache.store import shard_size as draft

    monkeypatch.setattr(draft, "BYTES_PER_SHARD", 40_000)
    changes = (*LONGER, teacher, "teacher.training=null", AUGMENTED, HINT)
    recipe = tiny.recipe(*changes, f"cache={{path: {tmp_path / 'kept'}, views: 2, logits: fp32, features: fp32}}")
    _, seen, _, _ = recipe.load()
    plan = recipe.distillation(runs.build_teacher(recipe, seen), seen).plan_cache(seen)
    query, codecs, folder = plan.query, plan.codecs, plan.folder
    progress: list[tuple[int, int]] = []
    fill_cache(query, folder, codecs, lambda done, total: progress.append((done, total)), batch_size=16)
    assert progress[-1] == (400, 400)  # of 200 items in two views: none was computed twice
    stores = {tap: Store.open(tap_folder(folder, tap)) for tap in codecs}
    assert len(stores) > 1
    assert all(store_info(store.folder).complete and len(store.manifest.segments[0].shards) > 4 for store in stores.values())
    rows = torch.arange(len(seen))
    computed = query.run(query.source.batch_of_views(rows, torch.ones_like(rows)))
    for tap, store in stores.items():
        stored = store.read(seen.keys, torch.ones_like(rows)).signals[tap]
        assert torch.allclose(stored, computed[tap], atol=1e-4), tap


def test_a_teacher_that_returns_nan_is_stopped_at_the_sample(tmp_path: Path) -> None:
    items = Items.from_tensors(torch.randn(8, 4), torch.zeros(8, dtype=torch.int64), classes=2)

    class Breaking(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output = super().forward(x)
            broken = (x == items.fetch(torch.tensor([5]))).all(-1, keepdim=True)
            return output.masked_fill(broken, torch.nan)

    query = TeacherQuery(frozen(Breaking(4, 2).eval()), Dataset(items, 4), ["logits"], [])
    with pytest.raises(StoreError, match=r"row 5 of the training items.*NaN"):
        fill_cache(query, tmp_path / "kept", {"logits": Dense("fp16")}, lambda done, total: None)
    where = read_manifest(tmp_path / "kept" / "logits")
    assert not any(segment.shards for segment in where.segments)
