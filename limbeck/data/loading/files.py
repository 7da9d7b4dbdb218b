"""Opens a data set by path or name as a table.

Paths may be whatever Hugging Face `datasets` loads. Files are read directly; only of large Parquet files of images a copy is
written that can be mapped into memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.formats import TABLE_SUFFIXES, read_columns
from limbeck.data.loading.image_folder import IMAGE_SUFFIXES, find_images, is_hidden
from limbeck.data.loading.objects import as_arrow, is_hugging_face, is_table, refuse_streams
from limbeck.utils.foreign_errors import library_errors
from limbeck.utils.hub import describe_nearest, from_hub
from limbeck.utils.json_files import read_json
from limbeck.utils.log_silencing import suppress_logs

SPLIT_NAMES = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"}
BUILT_IN, NEAR = ("digits",), 0.8  # data sets of the package; a name that is as similar as this is a mistyped one


@dataclass(frozen=True)
class RawTable:
    """Columns of a file or data set, not yet interpreted.

    Attributes:
        columns: the values.
        origin: the file, folder or name they were read from, for messages.
        folder: the folder that paths of images are relative to.
        features: the schema that `datasets` writes beside a table: {"label": {"_type": "ClassLabel", "names": […]}}.
        class_names: names of the classes from a `classes.json` beside the file.
    """

    columns: pa.Table
    origin: str
    folder: Path | None = None
    features: dict[str, Any] = field(default_factory=dict)
    class_names: list[str] | None = None


def open_table(name: Any, split: str | None) -> RawTable:
    """Open a file, a folder, a data set of the Hugging Face hub, or a table in memory.

    Args:
        name: a table file; a folder of table files, of images (one subfolder per class), or written by `save_to_disk`; or the
            name of a data set on the hub; or a data frame, an Arrow table or a data set of `datasets`.
        split: which split, if there are several.

    Raises:
        FileNotFoundError: nothing of this name, with the nearest names.
        ValueError: a split that is missing, unknown or not possible; a file that cannot be read.
    """
    if is_hugging_face(name):
        refuse_streams(name)
        return _from_datasets(name, type(name).__name__, split)
    if is_table(name):
        columns = as_arrow(name)
        return RawTable(columns, type(name).__name__, None, _features(columns.schema))
    path = Path(name).expanduser()
    if path.is_file():
        if split is not None:
            raise ValueError(f"split={split!r}: {path} is a single file and has no splits; leave `split` out")
        return read_file(path)
    if path.is_dir():
        return _open_folder(path, split)
    if _is_hub_name(str(name)):
        return _from_hub(str(name), split)
    raise missing_path_error(path)


def missing_path_error(path: Path) -> FileNotFoundError:
    """The error for a path that does not exist, with the nearest names that do."""
    return FileNotFoundError(f"no such file or folder: {path}: {describe_nearest(str(path))}")


def read_file(path: Path, read: Callable[[Path], pa.Table] = read_columns) -> RawTable:
    """Read one file, by default as `read_columns` does."""
    columns = read(path)
    return RawTable(columns, str(path), path.parent, _features(columns.schema), _class_names_beside(path))


def _open_folder(path: Path, split: str | None) -> RawTable:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return _from_disk(path, split)
    subfolders = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not is_hidden(entry.name))
    if split is not None and split in subfolders:
        return _open_folder(path / split, None)
    tables = sorted(
        entry for entry in path.iterdir() if entry.suffix.lower() in TABLE_SUFFIXES and entry.name != "classes.json"
    )
    if tables:
        return _open_tables(path, tables, split)
    if split is not None or (subfolders and set(subfolders) <= SPLIT_NAMES):
        raise _wrong_split(path, split, subfolders)
    return _image_table(path, subfolders)


def _open_tables(path: Path, tables: list[Path], split: str | None) -> RawTable:
    """The files of one split: `train.parquet`, or the shards `train-00000-of-00002.parquet` and so on."""
    chosen = [table for table in tables if split is None or _names_split(table.stem, split)]
    if not chosen or (split is None and len(chosen) > 1):
        raise _wrong_split(path, split, [table.stem for table in tables])
    shards = [read_file(table) for table in chosen]
    columns = pa.concat_tables([shard.columns for shard in shards], promote_options="default")
    origin = shards[0].origin if len(shards) == 1 else str(path)
    return RawTable(columns, origin, path, shards[0].features, shards[0].class_names)


def _names_split(stem: str, split: str) -> bool:
    return stem == split or (stem.startswith(split) and not stem[len(split)].isalnum())


def _image_table(path: Path, subfolders: list[str]) -> RawTable:
    """Images in one subfolder per class, as a table of paths and classes."""
    images = find_images(path, subfolders)
    if not images.files:
        raise ValueError(
            f"{path}: no data found; expected images in one subfolder per class, "
            f"or files of {', '.join(sorted(TABLE_SUFFIXES))}"
        )
    columns = pa.table({"image": pa.array(images.files, pa.string()), "label": pa.array(images.labels, pa.int64())})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": images.classes}}
    return RawTable(columns, str(path), path, features)


def _from_disk(path: Path, split: str | None) -> RawTable:
    import datasets

    loaded = datasets.load_from_disk(str(path))
    return _from_datasets(loaded, str(path), split)


def _from_hub(name: str, split: str | None) -> RawTable:
    near = [known for known in BUILT_IN if name != known and SequenceMatcher(None, name.lower(), known).ratio() >= NEAR]
    if near:
        raise FileNotFoundError(
            f"no data set {name!r}; did you mean {near[0]}, which is built in? A data set of the hub has a name owner/name"
        )
    import datasets

    with library_errors(f"data set {name!r} of the Hugging Face hub"), from_hub("data set", name), suppress_logs():
        loaded = datasets.load_dataset(name, split=split)
    return _from_datasets(loaded, name, split)


def _from_datasets(loaded: Any, origin: str, split: str | None) -> RawTable:
    if hasattr(loaded, "keys"):  # a DatasetDict
        splits = sorted(loaded)
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in splits:
            raise _wrong_split(origin, split, splits)
        loaded = loaded[split]
    columns = loaded.with_format("arrow")[:]
    return RawTable(columns, origin, None, _features(loaded.features.arrow_schema))


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The schema of `datasets` in the metadata of a table."""
    written = (schema.metadata or {}).get(b"huggingface")
    try:
        info = json.loads(written).get("info") if written else None
        return dict(info.get("features") or {}) if info else {}
    except (ValueError, TypeError, AttributeError, RecursionError):  # of another program
        return {}


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


def _wrong_split(where: Path | str, split: str | None, known: list[str]) -> ValueError:
    problem = "no split was named" if split is None else f"split={split!r} does not exist"
    return ValueError(f"{where}: {problem}; set `split` to one of: {', '.join(known) or '(none)'}")
