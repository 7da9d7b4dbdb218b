"""Data sets of Hugging Face `datasets`: in memory, on the disk, on the hub, and streams of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from limbeck.data.loading.raw_table import TableSource, features_of
from limbeck.utils.foreign_errors import LibraryError, library_errors
from limbeck.utils.hub import from_hub
from limbeck.utils.log_silencing import suppress_logs
from limbeck.utils.progress_bar import show_progress

BUILT_IN, NEAR = ("digits",), 0.8  # data sets of the package; a name that is as similar as this is a mistyped one
ROWS = 1024  # that are read at once


def source_of(loaded: Any, origin: str, split: str | None) -> TableSource:
    """A data set of `datasets`, or one of several by its split; a stream, if it is one."""
    if hasattr(loaded, "keys"):  # a DatasetDict
        splits = sorted(loaded)
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in splits:
            raise wrong_split(origin, split, splits)
        loaded = loaded[split]
    features = None if loaded.features is None else features_of(loaded.features.arrow_schema)
    if not hasattr(loaded, "__len__"):
        return TableSource(partial(_stream, loaded, origin), None, origin, features=features, size=_size(loaded))

    def read(names: Sequence[str] | None) -> pa.Table:
        return (loaded if names is None else loaded.select_columns(list(names))).with_format("arrow")[:]

    return TableSource(lambda _: loaded.with_format("arrow").iter(ROWS), read, origin, features=features)


def open_saved(path: Path, split: str | None) -> TableSource:
    """A folder that `save_to_disk` has written."""
    import datasets

    return source_of(datasets.load_from_disk(str(path)), str(path), split)


def open_hub(name: str, split: str | None, *, stream: bool = False) -> TableSource:
    """A data set of the hub.

    Args:
        stream: download it only as far as it is read. What can only be downloaded as a whole is.
    """
    near = [known for known in BUILT_IN if name != known and SequenceMatcher(None, name.lower(), known).ratio() >= NEAR]
    if near:
        raise FileNotFoundError(
            f"no data set {name!r}; did you mean {near[0]}, which is built in? A data set of the hub has a name owner/name"
        )
    if not stream:
        return source_of(_load(name, split), name, split)
    try:
        source = source_of(_load(name, split, streaming=True), name, split)
    except LibraryError:  # what says why, if it is of the data set, is said when it is loaded
        return open_hub(name, split)
    return source if source.read is not None else replace(source, read=lambda names: _read_whole(name, split, names))


def _load(name: str, split: str | None, **options: bool) -> Any:
    import datasets
    from huggingface_hub import constants

    with library_errors(f"data set {name!r} of the Hugging Face hub"), from_hub("data set", name), suppress_logs():
        if constants.HF_HUB_OFFLINE:  # only what was downloaded as a whole is here
            options = {}
        return datasets.load_dataset(name, split=split, **options)


def _read_whole(name: str, split: str | None, names: Sequence[str] | None) -> pa.Table:
    whole = open_hub(name, split)
    assert whole.read is not None, "it was not asked for as a stream"
    return whole.read(names)


def _stream(loaded: Any, origin: str, count: int | None) -> Iterator[pa.Table]:
    """The rows of a stream; files that are not on this disk are read into them."""
    from datasets.table import embed_table_storage

    with library_errors(f"the stream {origin}"):
        taken = loaded if count is None else loaded.take(count)
        batches = taken.with_format("arrow").iter(ROWS)
        for rows in batches if count is None else show_progress(batches, f"reading {origin}", -(-count // ROWS)):
            yield embed_table_storage(rows) if any(map(_is_elsewhere, rows.columns)) else rows


def _is_elsewhere(cells: pa.ChunkedArray) -> bool:
    """Whether these are files without their bytes, whose paths are addresses."""
    if not pa.types.is_struct(cells.type) or not {"bytes", "path"} <= {field.name for field in cells.type}:
        return False
    paths = pc.struct_field(cells, "path").cast(pa.string())  # of no type where none has one
    addresses = pc.match_substring(paths, "://")
    return bool(pc.any(pc.and_(addresses, pc.is_null(pc.struct_field(cells, "bytes")))).as_py())


def _size(loaded: Any) -> int | None:
    """The number of rows that a stream says it has."""
    split = (loaded.info.splits or {}).get(str(loaded.split))
    return getattr(split, "num_examples", None) or None


def wrong_split(where: Path | str, split: str | None, known: list[str]) -> ValueError:
    problem = "no split was named" if split is None else f"split={split!r} does not exist"
    remedy = f"set `split` to one of: {', '.join(known)}" if known else "there are no splits; leave `split` out"
    return ValueError(f"{where}: {problem}; {remedy}")
