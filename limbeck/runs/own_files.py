"""Which files in a folder are those of a run: its marker, and what `--force` deletes, by name."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from limbeck.data.audio.options import FILE_NAME as AUDIO_FILE
from limbeck.data.table.encoder import FILE_NAME as TABLE_FILE
from limbeck.engine.checkpoint import FILE as STATE
from limbeck.evaluation.arms import RESULTS_FOLDER
from limbeck.evaluation.predictions import FILE as PREDICTIONS
from limbeck.recipe import read_yaml
from limbeck.runs.folder import RECIPE, VERDICT
from limbeck.runs.plugins import FILE as PLUGINS
from limbeck.runs.seen import FILE as SEEN
from limbeck.utils.atomic_files import DRAFT, write_atomic
from limbeck.utils.checksums import FILE as CHECKSUMS
from limbeck.utils.checksums import DamagedFileError, read_checksums
from limbeck.utils.json_files import read_json

MARKER = ".limbeck-run"  # the first file that a run writes
FILES = (
    VERDICT,
    "report.html",
    "log.jsonl",
    PREDICTIONS,
    PLUGINS,
    "failure.txt",
    "inputs.json",
    SEEN,
)  # besides the recipe, which goes last
MODEL_FILES = (  # in the folder of a model that was saved without checksums
    *("model.safetensors", "config.json", "generation_config.json", "modules.json", "config_sentence_transformers.json"),
    *("sentence_bert_config.json", "README.md", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json", "sentencepiece.bpe.model", "spiece.model"),
    *(CHECKSUMS, TABLE_FILE, AUDIO_FILE),
)
MODELS = ("student", "control", "alone", "teacher", f"{RESULTS_FOLDER}/*/*", "actors/*")  # "alone": the control before format 2
EXPORT = re.compile(r"\.?.+-(fp32|fp16|bf16|int8)\.\w+(\.\w+)?(\.json)?")
CHECKPOINT = re.compile(r"(?:[^/]+/)?checkpoints/(?:step-\d+|best)/[^/]+")  # below `checkpoints/`
TRACKED = re.compile(r"[^/]+/(?:wandb|mlruns|swanlog|dvclive|trackio|\.aim)/.+")  # by trackers, in the folder of a training
TRAINING_LOG = re.compile(r"(?:.*/)?(?:log\.jsonl|events\.out\.tfevents\.[^/]+|hparams\.yml)")


def mark_run(folder: Path) -> None:
    """Writes the marker of a run; a folder with a marker is one that `--force` may clear of the files of the run."""
    if not (folder / MARKER).exists():
        write_atomic(folder / MARKER, json.dumps({"format": 1}).encode())


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run: it has the marker, or holds what only runs write (older ones)."""
    if (folder / MARKER).is_file():
        return True
    if not (folder / RECIPE).is_file():
        return False
    return _is_verdict(folder / VERDICT) or next(folder.glob(f"checkpoints/*/checkpoints/*/{STATE}"), None) is not None


def delete_run(folder: Path) -> None:
    """Deletes the files that a run writes, by name; all others stay, and so do the marker and the lock.

    Links are deleted, never what they lead to. The recipe goes last: after a kill the folder is still known as a run.
    """
    for path in list(_own_files(folder)):
        path.unlink(missing_ok=True)
        _delete_empty(path.parent, folder)
    (folder / RECIPE).unlink(missing_ok=True)


def delete_drafts(folder: Path) -> None:
    """Deletes what killed processes have left of writing the files of a run."""
    for name in (RECIPE, MARKER, *FILES):
        for path in folder.glob(f".{name}.*"):
            if re.fullmatch(rf"\.{re.escape(name)}\.\w{{8}}", path.name):
                path.unlink(missing_ok=True)


def is_left_over(name: str) -> bool:
    """Whether a file is all that a run leaves which was killed at its very start."""
    return name in (".lock", MARKER) or name.startswith((f".{RECIPE}.", f".{MARKER}."))


def is_resolved(written: Path) -> bool:
    """Whether a recipe is written as runs write it, letter by letter, and users with comments or another layout."""
    try:
        text = written.read_text(encoding="utf-8")
        return bool(yaml.safe_dump(read_yaml(text), sort_keys=False, allow_unicode=True) == text)
    except (OSError, ValueError, yaml.YAMLError):
        return False


def _own_files(folder: Path) -> Iterator[Path]:
    for name in FILES:
        if os.path.lexists(folder / name):
            yield folder / name
    for pattern in MODELS:
        for place in folder.glob(pattern):
            yield from _files_of_model(place)
    for path in _files_below(folder / "checkpoints"):
        name = path.relative_to(folder / "checkpoints").as_posix()
        if CHECKPOINT.fullmatch(name) or TRAINING_LOG.fullmatch(name) or TRACKED.fullmatch(name):
            yield path
    for path in _files_below(folder / "exports"):
        is_draft = any(part.endswith(DRAFT) for part in path.relative_to(folder / "exports").parts[:-1])
        if is_draft or EXPORT.fullmatch(path.name):
            yield path
    for place in folder.glob("exports/*-tokenizer"):
        yield from _files_of_model(place)
    for draft in (*folder.glob(f".*{DRAFT}"), *folder.glob(f"{RESULTS_FOLDER}/*/.*{DRAFT}"), *folder.glob(f"actors/.*{DRAFT}")):
        yield from _files_below(draft)


def _files_of_model(place: Path) -> Iterator[Path]:
    if place.is_symlink():
        yield place
        return
    try:
        known = {*read_checksums(place), *MODEL_FILES}
    except DamagedFileError:
        known = set(MODEL_FILES)
    sharded = re.compile(r"model-\d+-of-\d+\.safetensors|model\.safetensors\.index\.json")
    for path in _files_below(place):
        name = path.relative_to(place).as_posix()
        if name in known or path.name in known or sharded.fullmatch(path.name):
            yield path


def _files_below(place: Path) -> Iterator[Path]:
    """Yields the files and links below a folder; a link to a folder is not followed."""
    if place.is_symlink():
        yield place
    elif place.is_dir():
        for above, folders, files in os.walk(place):
            yield from (Path(above, name) for name in files)
            yield from (Path(above, name) for name in folders if Path(above, name).is_symlink())


def _delete_empty(place: Path, folder: Path) -> None:
    """Deletes a folder and those above it, as far as they are empty, up to that of the run."""
    while place != folder and not any(place.iterdir()):
        place.rmdir()
        place = place.parent


def _is_verdict(path: Path) -> bool:
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "task" in content and ("results" in content or "student" in content)
