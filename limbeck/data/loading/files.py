"""Opens a data set by path or name as a table.

Paths may be whatever Hugging Face `datasets` loads. Files are read directly; only of large Parquet files of images a copy is
written that can be mapped into memory.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.columns import AUDIO_SUFFIXES, holds_images
from limbeck.data.loading.formats import TABLE_SUFFIXES, read_batches, read_columns
from limbeck.data.loading.hugging_face import open_hub, open_saved, source_of, wrong_split
from limbeck.data.loading.image_folder import IMAGE_SUFFIXES, find_images, is_hidden, loose_images
from limbeck.data.loading.objects import FORMS, as_arrow, is_hugging_face, is_table
from limbeck.data.loading.raw_table import RawTable, TableSource, join_rows, table_in_memory, with_features
from limbeck.data.loading.tar_shards import OnError, expand_shards, is_shards, open_shards
from limbeck.utils.hub import describe_nearest
from limbeck.utils.json_files import read_json

HUB_FOLDER = "data"  # where data sets of the hub have their files, beside a README.md
SHOWN = 4  # folders named in a message
_PART = re.compile(r"-\d+-of-(\d+)$")
SPLIT_NAMES = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"}


def open_table(name: Any, split: str | None) -> RawTable:
    """Open a data set as `open_source` does, and read it."""
    source = open_source(name, split)
    return source.table(source.all())


def open_source(name: Any, split: str | None, *, stream: bool = False, on_error: OnError = "raise") -> TableSource:
    """Open a file, a folder, a data set of the Hugging Face hub, or a table in memory.

    Args:
        name: a table file; tar shards, also by a pattern; a folder of either, of images (one subfolder per class), or written
            by `save_to_disk`; the name of a data set on the hub; or a data frame, an Arrow table or a data set of `datasets`.
        split: which split, if there are several.
        stream: whether a data set of the hub is downloaded only as far as it is read.
        on_error: "skip" reads a shard that is cut off up to there, with a warning.

    Raises:
        FileNotFoundError: nothing of this name, with the nearest names.
        ValueError: a split that is missing, unknown or not possible; a file that cannot be read.
    """
    if is_hugging_face(name):
        return source_of(name, type(name).__name__, split)
    if is_table(name):
        return table_in_memory(as_arrow(name), type(name).__name__)
    require_path_or_table(name)
    path = Path(name).expanduser()
    if is_shards(str(name)) and not path.is_dir():
        return _open_shards(expand_shards(str(path)), str(path), split, on_error)
    if path.is_file():
        if split is not None:
            raise ValueError(f"split={split!r}: {path} is a single file and has no splits; leave `split` out")
        return open_file(path)
    if path.is_dir():
        return _open_folder(path, split, on_error)
    if _is_hub_name(str(name)):
        return open_hub(str(name), split, stream=stream)
    raise missing_path_error(path)


def require_path_or_table(data: Any) -> None:
    """Raises a `ValueError` for an object that `open_source` does not read."""
    if not isinstance(data, str | os.PathLike) and not is_table(data):
        raise ValueError(
            f"{type(data).__name__} is no data set; hand over a path or name, {FORMS}, or items: "
            "Items.from_tensors(inputs, labels), Items.from_torch_dataset(data)"
        )


def missing_path_error(path: Path) -> FileNotFoundError:
    """The error for a path that does not exist, with the nearest names that do."""
    return FileNotFoundError(f"no such file or folder: {path}: {describe_nearest(str(path))}")


def open_file(path: Path, read: Callable[[Path], pa.Table] | None = None) -> TableSource:
    """Open one file in the format that its suffix names, or as `read` reads it."""
    beside: dict[str, Any] = {"folder": path.parent, "class_names": _class_names_beside(path)}
    if read is not None:
        return table_in_memory(read(path), str(path), **beside)
    return TableSource(lambda _: read_batches(path), partial(read_columns, path), str(path), **beside)


def _open_folder(path: Path, split: str | None, on_error: OnError) -> TableSource:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return open_saved(path, split)
    subfolders = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not is_hidden(entry.name))
    if split is not None and split in subfolders:
        return _open_folder(path / split, None, on_error)
    tables = sorted(
        entry for entry in path.iterdir() if entry.suffix.lower() in TABLE_SUFFIXES and entry.name != "classes.json"
    )
    if tables:
        source = _open_tables(path, tables, split)
        _refuse_two_kinds(path, subfolders, tables[0], source)
        return source
    shards = sorted(entry for entry in path.iterdir() if is_shards(entry.name) and not is_hidden(entry.name))
    if shards:
        return _open_shards(shards, str(path), split, on_error)
    if _holds_files(path / HUB_FOLDER) and not any(any(loose_images(path / name)) for name in subfolders):
        return _open_folder(path / HUB_FOLDER, split, on_error)
    if split is not None or (subfolders and set(subfolders) <= SPLIT_NAMES):
        raise wrong_split(path, split, [name for name in subfolders if not any(loose_images(path / name))])
    return _open_images(path, subfolders)


def _holds_files(path: Path) -> bool:
    """Whether a folder holds tables or shards."""
    return path.is_dir() and any(entry.suffix.lower() in TABLE_SUFFIXES or is_shards(entry.name) for entry in path.iterdir())


def _refuse_two_kinds(path: Path, subfolders: list[str], table: Path, source: TableSource) -> None:
    """Raises a ValueError for a folder that holds images in folders of classes, and a table that does not say which images."""
    classes = [name for name in subfolders if any(loose_images(path / name))]
    if classes and not holds_images(source.table(source.first(1))):
        shown = ", ".join(classes[:SHOWN]) + (", …" if len(classes) > SHOWN else "")
        raise ValueError(
            f"{path} holds images in folders ({shown}), and {table.name}, which names none; set the path to {table}, or move "
            "it elsewhere to read the images"
        )


def _open_tables(path: Path, tables: list[Path], split: str | None) -> TableSource:
    """The files of one split: `train.parquet`, or the shards `train-00000-of-00002.parquet` and so on."""
    chosen = _of_split(tables, split, lambda table: table.stem)
    if not chosen or (split is None and len({_unnumbered(table.stem) for table in chosen}) > 1):
        raise wrong_split(path, split, sorted({_unnumbered(table.stem) for table in tables}))
    _warn_of_missing(path, chosen)
    shards = [open_file(table) for table in chosen]
    if len(shards) == 1:
        return shards[0]

    def read(names: Sequence[str] | None) -> pa.Table:
        return join_rows([read_columns(table, names) for table in chosen], str(path))

    return replace(shards[0], batches=lambda _: chain.from_iterable(map(read_batches, chosen)), read=read, origin=str(path))


def _open_shards(shards: list[Path], origin: str, split: str | None, on_error: OnError) -> TableSource:
    """The shards of one split: all whose names begin with it, or all if their names differ in numbers only."""
    chosen = _of_split(shards, split, lambda shard: shard.name.partition(".")[0])
    kinds = sorted({re.sub(r"\d+", "*", shard.name) for shard in chosen})
    if not chosen or (split is None and len(kinds) > 1):
        raise wrong_split(origin, split, sorted({re.split(r"[^a-zA-Z]", shard.name)[0] for shard in shards}))
    _warn_of_missing(origin, chosen)
    return open_shards(chosen, origin, _class_names_beside(chosen[0]), on_error)


def _of_split(files: list[Path], split: str | None, stem: Callable[[Path], str]) -> list[Path]:
    """The file that is named like a split, or else all whose names begin with it; all files if no split is named."""
    if split is None:
        return files
    return [file for file in files if stem(file) == split] or [file for file in files if _begins_with(stem(file), split)]


def _begins_with(stem: str, split: str) -> bool:
    return stem.startswith(split) and not stem[len(split)].isalnum()


def _unnumbered(stem: str) -> str:
    """The name that the parts of one table share: `train` of `train-00000-of-00002`."""
    return _PART.sub("", stem)


def _warn_of_missing(origin: Path | str, files: list[Path]) -> None:
    """Warns if names such as `train-00000-of-00002` tell of files that are not there."""
    found = Counter((_unnumbered(file.stem), int(part[1])) for file in files if (part := _PART.search(file.stem)))
    for (name, total), count in found.items():
        if count < total:
            warnings.warn(f"{origin}: {count} of the {total} files of {name!r} are here; the others are missing", stacklevel=2)


def _open_images(path: Path, subfolders: list[str]) -> TableSource:
    """Images in one subfolder per class, as a table of paths and classes."""

    def batches(count: int | None) -> Iterator[pa.Table]:
        yield _image_table(path, subfolders, count)

    def read(names: Sequence[str] | None) -> pa.Table:
        columns = _image_table(path, subfolders)
        return columns if names is None else columns.select(list(names))

    return TableSource(batches, read, str(path), path)


def _image_table(path: Path, subfolders: list[str], limit: int | None = None) -> pa.Table:
    images = find_images(path, subfolders, limit)
    if not images.files and (loose := sum(1 for _ in loose_images(path))):
        raise ValueError(
            f"{path}: its {loose:,} images have no class; put those of each class into a folder of its own in there, or all "
            "into one folder if they have no labels (label: false)"
        )
    if not images.files:
        if any(each.suffix.lower() in AUDIO_SUFFIXES for each in path.rglob("*")):
            raise ValueError(
                f"{path}: sounds are not read from folders; write a table (CSV, JSON or Parquet) with a column of their paths "
                "and a column `label`"
            )
        raise ValueError(
            f"{path}: no data found; expected images in one subfolder per class, tar shards, "
            f"or files of {', '.join(sorted(TABLE_SUFFIXES))}"
        )
    columns = pa.table({"image": pa.array(images.files, pa.string()), "label": pa.array(images.labels, pa.int64())})
    return with_features(columns, {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": images.classes}})


def _class_names_beside(path: Path) -> list[str] | None:
    """From `classes.json` in the same folder: a list of names, or a mapping of names to indices or of indices to names."""
    beside = path.parent / "classes.json"
    if not beside.is_file() or beside == path:
        return None
    content = read_json(beside)
    if isinstance(content, list):
        return [str(name) for name in content]
    if isinstance(content, dict):
        by_index = {int(index): name for name, index in content.items() if isinstance(index, int)} or {
            int(index): str(name) for index, name in content.items() if index.isdigit()
        }
        if sorted(by_index) == list(range(len(content))):
            return [by_index[index] for index in range(len(content))]
    raise ValueError(f'{beside}: expected a list of class names, or a mapping such as {{"cat": 0, "dog": 1}}')


def _is_hub_name(name: str) -> bool:
    parts = name.split("/")
    return (
        len(parts) <= 2
        and all(parts)
        and parts[0] not in (".", "..", "~")
        and Path(name).suffix not in TABLE_SUFFIXES | IMAGE_SUFFIXES
    )
