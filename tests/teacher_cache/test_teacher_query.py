"""The teacher's answers, kept: a run cannot tell them from the teacher's own, and the teacher is asked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from limbeck import runs
from limbeck.core.actors import frozen
from limbeck.data import Dataset, Items
from limbeck.evaluation import Verdict
from limbeck.runs.cache import verify_cache
from limbeck.teacher_cache import (
    Dense,
    IdentityError,
    Store,
    StoreError,
    TeacherQuery,
    check_store,
    fill_cache,
    find_stores,
    read_manifest,
    store_info,
    tap_folder,
)
from tests import tiny

AUGMENTED = "training.views=[{random_crop: {padding: 1}}, {mixup: {alpha: 0.4}}]"
HINT = "terms=[hard_targets, {hint: {student: auto}}, soft_targets]"
LONGER = ("training.steps=60", "data.train.limit=200", "data.validation=0")


def student_of(folder: Path, *changes: str, seeds: str = "seeds=[0]") -> dict[str, Any]:
    """The student's weights after a run, and what the run says of its teacher."""
    runs.run_recipe(tiny.recipe(*LONGER, seeds, *changes), folder, progress=False)
    _, model = runs.open_run(folder)
    return dict(model.state_dict())


def teacher_items(folder: Path) -> int:
    cost = Verdict.load(folder).cost
    assert cost is not None
    return cost.teacher_items


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("teacher")
    runs.run_recipe(tiny.recipe(*LONGER), folder / "run", progress=False)
    return f"teacher.weights={folder / 'run' / 'teacher' / 'model.safetensors'}"


@pytest.mark.parametrize("terms", [(), (HINT,)])
def test_a_run_cannot_tell_stored_answers_from_the_teachers(tmp_path: Path, teacher: str, terms: tuple[str, ...]) -> None:
    exact = "cache={views: 3, logits: fp32, features: fp32, path: %s}"
    changes = (teacher, "teacher.training=null", AUGMENTED, *terms)
    first = student_of(tmp_path / "first", *changes, exact % (tmp_path / "kept"))
    again = student_of(tmp_path / "again", *changes, exact % (tmp_path / "kept"))
    assert same(first, again)
    assert teacher_items(tmp_path / "again") == 0
    assert teacher_items(tmp_path / "first") <= 3 * 200  # sixty steps of 32 are nine epochs
    for folder in find_stores(tmp_path / "kept").values():
        found = store_info(folder)
        assert found.complete  # the ends of epochs, which no step saw, were asked for in the end
        assert found.samples == 200
        assert found.journal == 0
        check_store(folder)


def test_views_that_do_not_change_give_the_student_of_a_live_teacher(tmp_path: Path, teacher: str) -> None:
    """Without augmentation there is one view, and answers kept in full are the teacher's: to the last bits of a batch that is
    cut otherwise."""
    changes = (teacher, "teacher.training=null")
    live = student_of(tmp_path / "live", *changes)
    kept = student_of(tmp_path / "kept", *changes, "cache={logits: fp32, path: %s}" % (tmp_path / "store"))
    for name in live:
        assert torch.allclose(live[name], kept[name], atol=1e-4), name


def test_auto_is_found_again_by_other_runs_and_seeds(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null", AUGMENTED, "cache=auto")
    student_of(tmp_path / "first", *changes)
    student_of(tmp_path / "more", *changes, "seeds=[1]")
    assert teacher_items(tmp_path / "more") <= 8 * 200 - teacher_items(tmp_path / "first") + 32 * 8
    assert len(list((tmp_path / "store").iterdir())) == 1
    student_of(tmp_path / "other", *changes, "training.views=[{random_crop: {padding: 2}}]")
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_another_teacher_is_refused_by_name(tmp_path: Path, teacher: str) -> None:
    kept = f"cache={{path: {tmp_path / 'kept'}}}"
    student_of(tmp_path / "first", teacher, "teacher.training=null", kept)
    with pytest.raises(IdentityError, match="teacher"):
        student_of(tmp_path / "other", kept, "teacher.training.steps=3")
    with pytest.raises(IdentityError, match="views"):
        student_of(tmp_path / "views", teacher, "teacher.training=null", kept, AUGMENTED)


def test_strict_asks_nobody(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null")
    student_of(tmp_path / "first", *changes, f"cache={{path: {tmp_path / 'kept'}}}")
    student_of(tmp_path / "second", *changes, f"cache={{path: {tmp_path / 'kept'}, strict: true}}")
    assert teacher_items(tmp_path / "second") == 0
    with pytest.raises(StoreError, match="no outputs for sample"):
        student_of(tmp_path / "more", *changes, "data.train.limit=300", f"cache={{path: {tmp_path / 'kept'}, strict: true}}")


def test_samples_that_a_store_lacks_are_asked_for_and_added(tmp_path: Path, teacher: str) -> None:
    changes = (teacher, "teacher.training=null", f"cache={{path: {tmp_path / 'kept'}}}")
    student_of(tmp_path / "first", *changes)
    student_of(tmp_path / "more", *changes, "data.train.limit=260")
    assert 0 < teacher_items(tmp_path / "more") <= 60
    assert store_info(tmp_path / "kept" / "logits").samples == 260


def test_a_store_that_another_process_writes_is_read_as_it_is(tmp_path: Path, teacher: str) -> None:
    from limbeck.utils.folder_lock import lock_folder

    changes = (teacher, "teacher.training=null", f"cache={{path: {tmp_path / 'kept'}, logits: fp32}}")
    first = student_of(tmp_path / "first", *changes, "data.train.limit=100")
    with lock_folder(tmp_path / "kept" / "logits"):
        beside = student_of(tmp_path / "beside", *changes)  # half of the answers are there
    alone = student_of(tmp_path / "alone", *changes)
    assert not same(first, beside)
    for name in alone:
        assert torch.allclose(alone[name], beside[name], atol=1e-4)


def test_answers_ahead_are_the_answers_on_the_way(tmp_path: Path, teacher: str) -> None:
    said: list[tuple[int, int]] = []
    ahead = tiny.recipe(*LONGER, teacher, "teacher.training=null", AUGMENTED, f"cache={{path: {tmp_path / 'ahead'}, views: 2}}")
    _, seen, _, _ = ahead.load()
    job = ahead.distillation(runs.build_teacher(ahead, seen), seen)
    plan = job.plan_cache(seen)
    fill_cache(plan.query, plan.folder, plan.codecs, lambda done, total: said.append((done, total)), batch_size=32)
    assert said[-1] == (400, 400)
    student_of(
        tmp_path / "run", teacher, "teacher.training=null", AUGMENTED, f"cache={{path: {tmp_path / 'journal'}, views: 2}}"
    )
    ours, theirs = (sorted(p for p in (tmp_path / side / "logits").rglob("*") if p.is_file()) for side in ("ahead", "journal"))
    assert [p.name for p in ours] == [p.name for p in theirs]
    assert store_info(tmp_path / "journal" / "logits").complete


def test_the_command_line_builds_shows_verifies_and_trains_from_a_store(tmp_path: Path, teacher: str) -> None:
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
    assert "1 damaged files" in damaged.output


def test_taps_of_very_different_sizes_are_built_together_shard_by_shard(
    tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map has fewer rows in 64 MB than logits have; each is asked for with the other all the same, and once."""
    from limbeck.teacher_cache.store import shard_size as draft

    monkeypatch.setattr(draft, "BYTES_PER_SHARD", 40_000)
    changes = (*LONGER, teacher, "teacher.training=null", AUGMENTED, HINT)
    recipe = tiny.recipe(*changes, f"cache={{path: {tmp_path / 'kept'}, views: 2, logits: fp32, features: fp32}}")
    _, seen, _, _ = recipe.load()
    asked, codecs, folder = recipe.distillation(runs.build_teacher(recipe, seen), seen).ask(seen)
    said: list[tuple[int, int]] = []
    fill_cache(asked, folder, codecs, lambda done, total: said.append((done, total)), batch_size=16)
    assert said[-1] == (400, 400)  # of 200 items in two views: none was asked twice
    stores = {tap: Store.open(tap_folder(folder, tap)) for tap in codecs}
    assert len(stores) > 1
    assert all(store_info(store.folder).complete and len(store.manifest.segments[0].shards) > 4 for store in stores.values())
    rows = torch.arange(len(seen))
    live = asked.run(asked.source.batch_of_views(rows, torch.ones_like(rows)))
    for tap, store in stores.items():
        kept = store.read(seen.keys, torch.ones_like(rows)).signals[tap]
        assert torch.allclose(kept, live[tap], atol=1e-4), tap


def test_taps_that_were_kept_at_different_times_are_verified_each(tmp_path: Path, teacher: str) -> None:
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


def test_a_teacher_that_changed_since_is_not_what_the_answers_are_compared_with(tmp_path: Path, teacher: str) -> None:
    weights = Path(teacher.removeprefix("teacher.weights="))
    own = tmp_path / "teacher.safetensors"
    own.write_bytes(weights.read_bytes())
    kept = tmp_path / "kept"
    student_of(tmp_path / "run", f"teacher.weights={own}", "teacher.training=null", f"cache={{path: {kept}}}")
    tensors = load_file(own)
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, own)
    with pytest.raises(IdentityError, match="teacher"):
        verify_cache(kept)


def test_a_teacher_that_gives_no_numbers_is_stopped_at_the_sample(tmp_path: Path) -> None:
    items = Items.from_tensors(torch.randn(8, 4), torch.zeros(8, dtype=torch.int64), classes=2)

    class Breaking(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            said = super().forward(x)
            broken = (x == items.fetch(torch.tensor([5]))).all(-1, keepdim=True)
            return said.masked_fill(broken, torch.nan)

    asked = TeacherQuery(frozen(Breaking(4, 2).eval()), Dataset(items, 4), ["logits"], [])
    with pytest.raises(StoreError, match=r"row 5 of the training items.*NaN"):
        fill_cache(asked, tmp_path / "kept", {"logits": Dense("fp16")}, lambda done, total: None)
    where = read_manifest(tmp_path / "kept" / "logits")
    assert not any(segment.shards for segment in where.segments)


def test_the_teacher_is_asked_once_for_what_several_taps_lack_in_the_end(tmp_path: Path, teacher: str) -> None:
    """200 items in batches of 32 leave eight out at the end of each epoch."""
    changes = (teacher, "teacher.training=null", HINT, f"cache={{path: {tmp_path / 'kept'}}}")
    asked_for: list[int] = []
    answer = TeacherQuery.run

    def counted(self: TeacherQuery, batch: Any) -> Any:
        asked_for.append(batch.size)
        return answer(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TeacherQuery, "run", counted)
        student_of(tmp_path / "run", *changes, "training.steps=6", "control=false")
    stores = find_stores(tmp_path / "kept").values()
    assert len(stores) > 1
    assert all(store_info(place).complete for place in stores)
    assert sum(asked_for) == 4 + 8  # an example of four, and those that the only epoch left out
