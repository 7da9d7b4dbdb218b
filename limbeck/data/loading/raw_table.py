"""`RawTable`: columns that are read and not yet interpreted; `TableSource`: where they are read from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]


@dataclass(frozen=True)
class RawTable:
    """Columns of a file or data set, not yet interpreted.

    Attributes:
        columns: the values.
        origin: the file, folder or name they were read from, for messages.
        folder: the folder that paths of images are relative to.
        features: the schema that `datasets` writes beside a table: {"label": {"_type": "ClassLabel", "names": […]}}.
        class_names: names of the classes from a `classes.json` beside the file.
        read_all: if `columns` are only the first rows: reads all rows of some columns (None: of all). None: there are no
            others, or they are in a stream.
    """

    columns: pa.Table
    origin: str
    folder: Path | None = None
    features: dict[str, Any] = field(default_factory=dict)
    class_names: list[str] | None = None
    read_all: Callable[[Sequence[str] | None], pa.Table] | None = None


@dataclass(frozen=True)
class TableSource:
    """A file or data set whose columns are not yet read.

    Attributes:
        batches: reads all columns, some rows at a time, in order; given a number, that of the rows that are taken (None: it is
            not known), which a reader may stop at.
        read: reads all rows of some columns (None: of all). None: of a stream, which is read once.
        origin, folder, class_names: see `RawTable`.
        features: see `RawTable`; None: those that the metadata of the columns hold.
        size: of a stream: how many rows it has, if that is known.
    """

    batches: Callable[[int | None], Iterable[pa.Table]]
    read: Callable[[Sequence[str] | None], pa.Table] | None
    origin: str
    folder: Path | None = None
    class_names: list[str] | None = None
    features: dict[str, Any] | None = None
    size: int | None = None

    def table(self, columns: pa.Table, read_all: Callable[[Sequence[str] | None], pa.Table] | None = None) -> RawTable:
        """Returns columns that were read from here."""
        features = features_of(columns.schema) if self.features is None else self.features
        return RawTable(columns, self.origin, self.folder, features, self.class_names, read_all)

    def all(self) -> pa.Table:
        """Reads all rows of all columns.

        Raises:
            ValueError: a stream without an end that is known, or a file that cannot be read.
        """
        if self.read is not None:
            return self.read(None)
        if self.size is None:
            raise self._endless("does not say how many items it has")
        rows = self._first(self.batches(self.size + 1), self.size + 1)
        if rows.num_rows > self.size:
            raise self._endless(f"has more than the {self.size:,} items that it names")
        return rows

    def _endless(self, problem: str) -> ValueError:
        return ValueError(
            f"{self.origin}: this stream {problem}; say how many of them are read: load_items(stream, limit=100000). One that "
            "ends sooner is read to its end"
        )

    def first(self, limit: int, keep: Callable[[pa.Table], pa.Table] | None = None) -> pa.Table:
        """Reads the first rows of all columns, and no further than that takes.

        Args:
            limit: how many; all of them if there are fewer.
            keep: leaves out rows that do not count.
        """
        try:
            return self._first(self.batches(limit) if keep is None else map(keep, self.batches(None)), limit)
        except (pa.ArrowException, OSError, ValueError):
            if self.read is None:
                raise
        whole = self.read(None)  # text whose types are only seen later, or damage, which this names
        return self._first([whole if keep is None else keep(whole)], limit)

    def _first(self, batches: Iterable[pa.Table], limit: int) -> pa.Table:
        found: list[pa.Table] = []
        left = limit
        for rows in batches:
            found.append(rows.slice(0, left))
            left -= found[-1].num_rows
            if not left:
                break
        return join_rows(found, self.origin) if found else pa.table({})


def table_in_memory(columns: pa.Table, origin: str, **known: Any) -> TableSource:
    """Returns a source of columns that cost nothing to read."""
    return TableSource(lambda _: [columns], lambda names: columns if names is None else columns.select(names), origin, **known)


def join_rows(tables: Sequence[pa.Table], origin: str) -> pa.Table:
    """The rows of several tables. A column that one of them lacks is empty there; numbers of two types get that of both.

    Args:
        origin: what the tables come from, for messages.

    Raises:
        ValueError: a column that holds numbers in one table and texts in another.
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise ValueError(f"{origin}: a column holds values of several types in different parts: {error}") from error


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """The schema of `datasets` in the metadata of a table."""
    written = (schema.metadata or {}).get(b"huggingface")
    try:
        info = json.loads(written).get("info") if written else None
        return dict(info.get("features") or {}) if info else {}
    except (ValueError, TypeError, AttributeError, RecursionError):  # of another program
        return {}


def with_features(columns: pa.Table, features: dict[str, Any]) -> pa.Table:
    """The columns with the schema of `datasets` in their metadata."""
    return columns.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
