"""Damaged and hostile files as data, weights, recipes, students, runs and caches: each is used, or refused in our words.

    python -m benchmarks.faults files

Every file is given to all commands that read its kind, within this process. What passes is stopped at the first training step.
The memory of models is not measured: fresh processes do so, which read no damaged file.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.bars import record
from benchmarks.fault_recipes import IN_MEMORY, limit_memory
from limbeck.export import costs, exporter
from tests import tiny
from tests.commands import ask
from tests.foreign_files import damaged, good_files, hostile_files, in_image_folder, offers, special_paths, wrong_json
from tests.small_data import PACKAGE, in_environment, write_small_data

IMAGES = (".png", ".jpg", ".gif", ".webp")
RUN_FILES = (
    *("recipe.yaml", "verdict.json", "log.jsonl", "inputs.json", "predictions.safetensors", ".limbeck-run"),
    *("student/config.json", "student/model.safetensors", "student/checksums.json", "teacher/config.json"),
    "checkpoints/seed-0-student/checkpoints/step-000000012/state.safetensors",
)
TOKENIZER_FILES = ("student/tokenizer.json", "student/tokenizer_config.json", "student/config.json")
CACHE_FILES = ("manifest.json", "segments/000/keys.safetensors", "../recipe.yaml")
REPLACED = 8  # values of a JSON file that are replaced by wrong ones, one at a time
TEXT: dict[str, Any] = {
    "name": "text",
    "data": {"train": "${LIMBECK_DATA}/data/sst2/train.parquet", "test": "${LIMBECK_DATA}/data/sst2/test.parquet"},
    "teacher": {
        "model": "transformers",
        "args": {"name_or_path": f"${{package:{PACKAGE}}}/model"},
        "training": {"steps": 1, "trackers": [], "threads": 1},
    },
    "student": {"from_teacher": {"init_from_teacher": {"layers": [0]}}},
    "terms": ["soft_targets"],
    "control": False,
    "training": {"steps": 1, "trackers": [], "threads": 1},
}
Case = tuple[str, list[tuple[object, ...]]]  # what is wrong with a file, and the commands that it is given to


class Workshop:
    """A folder with finished runs, whose copies are damaged."""

    def __init__(self, folder: Path) -> None:
        import sys

        from limbeck.recipe import Recipe
        from limbeck.runs import run_recipe

        os.environ.update(in_environment(write_small_data(folder / "small"), folder))
        tempfile.tempdir = None
        sys.path.insert(0, str(folder / "small" / "packages"))
        self.folder, self.drawn = folder, random.Random(0)
        self.run, self.text_run = folder / "good" / "run", folder / "text" / "run"
        self.recipe = tiny.write(folder, "cache=auto")
        run_recipe(tiny.recipe("cache=auto"), self.run, progress=False)
        run_recipe(Recipe.from_dict(TEXT), self.text_run, progress=False)
        (self.cache,) = (self.run.parent / "store").glob("*/logits")
        self.offers = offers(self.recipe, self.run)
        self.numbers = itertools.count()

    def cases(self) -> Iterator[Case]:
        yield from self.files()
        yield from self.special()
        yield from self.runs(self.run, RUN_FILES)
        yield from self.runs(self.text_run, TOKENIZER_FILES)
        yield from self.caches()

    def files(self) -> Iterator[Case]:
        good = good_files(self._new())
        names = list(good)
        for number, name in enumerate(names):
            for fault, content in damaged(good[name], good[names[number - 1]]).items():
                yield f"{name}: {fault}", self._offered(name, content)
        for name, content in hostile_files().items():
            yield name, self._offered(name, content)

    def _offered(self, name: str, content: bytes) -> list[tuple[object, ...]]:
        folder, suffix = self._new(), Path(name).suffix
        if suffix in IMAGES:
            return self.offers[".csv"](in_image_folder(folder / "images", name, content))
        (folder / name).write_bytes(content)
        return self.offers[suffix](folder / name)

    def special(self) -> Iterator[Case]:
        for number, name in enumerate(special_paths(self._new() / "special")):
            path = list(special_paths(self._new() / "special").values())[number]
            yield name, self.offers[path.suffix](path)

    def runs(self, run: Path, files: Iterable[str]) -> Iterator[Case]:
        for name in files:
            for fault, content in self._faults(run / name):
                broken = self._new() / "runs" / "broken"
                shutil.copytree(run, broken)
                (broken / name).write_bytes(content)
                yield f"{name} of a run: {fault}", self._commands(broken, name)

    def _commands(self, broken: Path, file: str) -> list[tuple[object, ...]]:
        digits = ("--data", "digits", "--split", "test")
        texts = ("--data", f"{os.environ['LIMBECK_DATA']}/data/sst2/test.parquet")
        is_text = (
            "sst2" in (self.text_run / "recipe.yaml").read_text()
            and file in TOKENIZER_FILES
            and (broken / "student" / "vocab.txt").exists()
        )
        found: list[tuple[object, ...]] = [
            *(("report", broken), ("compare", broken, self.run), ("runs", broken.parent), ("cite", broken)),
            ("evaluate", broken, *(texts if is_text else digits)),
            ("distill", self.recipe, "--out", broken, "--resume"),
        ]
        if file.startswith("student") or file == "recipe.yaml":
            found += [("profile", broken / "student"), ("export", broken, "--format", "onnx")]
        return found

    def caches(self) -> Iterator[Case]:
        for name in CACHE_FILES:
            for fault, content in self._faults(self.cache / name):
                store = self._new() / "store"
                shutil.copytree(self.cache.parent, store)
                (store / "logits" / name).write_bytes(content)
                built = ("cache", "build", self.recipe, "--out", store)
                yield f"{name} of a cache: {fault}", [("cache", "info", store), ("cache", "verify", store), built]

    def _faults(self, path: Path) -> Iterator[tuple[str, bytes]]:
        content = path.read_bytes()
        yield from damaged(content, self.recipe.read_bytes()).items()
        if path.suffix in (".json", ".yaml"):
            wrong = list(wrong_json(content.decode()).items())
            for fault, text in self.drawn.sample(wrong, min(REPLACED, len(wrong))):
                yield fault, text.encode("utf-8", "surrogateescape")

    def _new(self) -> Path:
        folder = self.folder / "cases" / str(next(self.numbers))
        folder.mkdir(parents=True)
        return folder


def measure(*, dry: bool, kept: Path | None = None) -> None:
    limit_memory()
    for measured in (costs, exporter):
        measured.peak_memory = lambda kind, path, shape: 10**6  # type: ignore[attr-defined]
    tried = answers = 0
    wrong: list[str] = []
    before = Path.cwd()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as place:
        workshop = Workshop(Path(place).resolve())
        for name, commands in workshop.cases():
            tried += 1
            os.chdir(workshop._new())
            for command in commands:
                answer = ask(*command)
                answers += 1
                if answer.crash:
                    wrong.append(f"{name}: limbeck {command[0]}")
                    print(wrong[-1], answer.crash.strip().splitlines()[-1], flush=True)
                if kept is not None and (answer.crash or answer.raw):
                    path = kept / f"{tried}-{command[0]}-{'crash' if answer.crash else 'raw'}.txt"
                    path.write_text(f"{name}\n{command}\n{answer.crash or answer.raw}\n{answer.text}", errors="replace")
            shutil.rmtree(workshop.folder / "cases", ignore_errors=True)
            (workshop.folder / "cases").mkdir()
        os.chdir(before)
    print(f"{tried} files, {answers} answers, {len(wrong)} tracebacks")
    if not dry:
        data = f"{tried} damaged or hostile files: data, weights, exports, recipes, students, runs, caches"
        note = f"{answers:,} answers of the commands that read such files"
        command = "python -m benchmarks.faults files"
        record("faults", "foreign files: tracebacks", "0", len(wrong), None, not wrong and tried >= 200, command, data, 1, note)
