"""Readers of table files: Parquet, CSV, JSON, Arrow and CoNLL."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.arrow_types import with_plain_texts
from limbeck.data.loading.conll import read_conll

DELIMITERS = (",", ";", "\t", "|")
NOT_CSV = {  # by the first bytes of a file
    b"\x1f\x8b": "it is compressed (gzip); unpack it",
    b"PK\x03\x04": "it is a zip archive, perhaps a table of a spreadsheet program; save it as CSV",
    b"\xd0\xcf\x11\xe0": "it is a table of a spreadsheet program; save it as CSV",
    b"\xff\xfe\x00\x00": "it is UTF-32; convert it, such as by: iconv -f utf-32 -t utf-8",
    b"PAR1": "it is a Parquet file; name it so: .parquet",
}
ROWS, BLOCK = 1024, 8 << 20  # rows of Parquet, and bytes of text, that are read at once where a file is not read whole


def read_columns(path: Path, names: Sequence[str] | None = None) -> pa.Table:
    """Read a file in the format that its suffix names.

    Args:
        names: of the columns that are read; None: all.

    Raises:
        ValueError: another suffix; a file that cannot be read in this format.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ValueError(f"{path}: expected a folder of images or one of {', '.join(sorted(_READERS))}, found {suffix!r}")
    try:
        table = _READERS[suffix](path, None if names is None else list(names))
    except (
        pa.ArrowException,
        OSError,
        RecursionError,
        ValueError,
    ) as error:  # OSError: also what pyarrow says of damaged files
        raise ValueError(f"{path} cannot be read as {suffix[1:]}: {error}") from error
    _check_names(path, table.column_names)
    return with_plain_texts(table if names is None else table.select(list(names)))


def read_batches(path: Path) -> Iterator[pa.Table]:
    """Read a file some rows at a time, where its format can be read so, and else at once.

    The types of JSON columns are those of the first `BLOCK` bytes, those of CSV columns those of the whole file.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: it cannot be read so; `read_columns` may still be able to.
    """
    batches = _BATCHES.get(path.suffix.lower())
    if batches is None:
        yield read_columns(path)
        return
    for batch in batches(path):
        _check_names(path, batch.schema.names)
        yield with_plain_texts(pa.Table.from_batches([batch]))


def _check_names(path: Path, names: list[str]) -> None:
    """Refuses columns that cannot be told apart by their names."""
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice or "" in names:
        fault = f"two columns are named {twice[0]!r}" if twice else f"column {names.index('')} has no name"
        raise ValueError(f"{path}: {fault}; give every column a name of its own")


def _read_parquet(path: Path, names: list[str] | None) -> pa.Table:
    if names is not None:
        import pyarrow.parquet  # type: ignore[import-untyped]  # takes a while

        return pyarrow.parquet.read_table(path, columns=names, partitioning=None)
    from limbeck.data.loading.mapped_parquet import read_or_map

    return read_or_map(path)


def _parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=ROWS)


def _read_csv(path: Path, names: list[str] | None) -> pa.Table:
    import pyarrow.csv  # type: ignore[import-untyped]

    encoding, options = _csv_options(path)
    convert = pyarrow.csv.ConvertOptions(include_columns=names)
    reading = pyarrow.csv.ReadOptions(encoding=encoding)
    table = pyarrow.csv.read_csv(path, read_options=reading, parse_options=options, convert_options=convert)
    _check_encoding(table, path)
    return table


def _csv_batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.csv

    encoding, options = _csv_options(path)
    reading = pyarrow.csv.ReadOptions(encoding=encoding, block_size=BLOCK)
    with pyarrow.csv.open_csv(path, read_options=reading, parse_options=options) as batches:
        types = _types_of_whole(path, batches.schema)
    convert = pyarrow.csv.ConvertOptions(column_types=types)
    with pyarrow.csv.open_csv(path, read_options=reading, parse_options=options, convert_options=convert) as batches:
        for batch in batches:
            _check_encoding(batch, path)
            yield batch


def _types_of_whole(path: Path, start: pa.Schema) -> dict[str, pa.DataType]:
    """The types of the columns that are no texts in the first `BLOCK` bytes: a later cell may be one ("007" and "unknown")."""
    names = [field.name for field in start if not pa.types.is_string(field.type)]
    if not names or len(set(start.names)) < len(start.names) or path.stat().st_size <= BLOCK:
        return {}
    try:
        return {field.name: field.type for field in _read_csv(path, names).schema}
    except (pa.ArrowException, ValueError):  # a damaged row, which matters only if it is read
        return {}


def _csv_options(path: Path) -> tuple[str, Any]:
    """The encoding of a CSV file, and how its cells are delimited."""
    import pyarrow.csv

    with path.open("rb") as file:
        start = file.read(1 << 16)
    for mark, problem in NOT_CSV.items():
        if start.startswith(mark):
            raise ValueError(problem)
    encoding = "utf16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf8"
    first = start.splitlines()[0] if encoding == "utf8" and start else b""
    if first.count(b"\x00") >= len(first) / 4 > 0:
        raise ValueError("it is no UTF-8: every other byte is zero, as in UTF-16; convert it: iconv -f utf-16le -t utf-8")
    if not _is_utf8(first):
        raise ValueError(f"its header is no UTF-8; convert the file, such as by: iconv -f latin1 -t utf-8 {path.name}")
    header = start.decode(encoding, errors="replace").split("\n", 1)[0]
    return encoding, pyarrow.csv.ParseOptions(delimiter=_delimiter(path, header), newlines_in_values=True)


def _check_encoding(table: pa.Table | pa.RecordBatch, path: Path) -> None:
    """Refuses cells that are no UTF-8, with their row."""
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pa.types.is_binary(column.type):  # what pyarrow makes of bytes that are no UTF-8
            row = next(row for row, cell in enumerate(column.to_pylist()) if cell is not None and not _is_utf8(cell))
            raise ValueError(
                f"column {name!r}: row {row} is no UTF-8; convert the file, such as by: iconv -f latin1 -t utf-8 {path.name}"
            )


def _delimiter(path: Path, header: str) -> str:
    """The delimiter of a CSV file: that of `DELIMITERS` of which its header has most outside quotes, the first of several."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(DELIMITERS, key=re.sub(r'"[^"]*"', "", header).count)


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_json(path: Path, names: list[str] | None) -> pa.Table:
    """One object per line, or an array of objects."""
    import pyarrow.json  # type: ignore[import-untyped]

    if _is_array(path):
        rows = json.loads(path.read_text(encoding="utf-8"))
        odd = next((number for number, row in enumerate(rows) if not isinstance(row, dict)), None)
        if odd is not None:
            raise ValueError(f'item {odd} is {rows[odd]!r:.60}; expected objects such as {{"text": …, "label": …}}')
        return pa.Table.from_pylist(rows)
    if names is not None:  # without holding the other columns
        with contextlib.suppress(pa.ArrowInvalid):
            return pa.Table.from_batches([batch.select(names) for batch in _json_batches(path)])
    return pyarrow.json.read_json(path)


def _json_batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.json

    if _is_array(path):
        yield from _read_json(path, None).to_batches()
        return
    with pyarrow.json.open_json(path, read_options=pyarrow.json.ReadOptions(block_size=BLOCK)) as batches:
        yield from batches


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(256).lstrip()[:1] == b"["


def _read_arrow(path: Path, _: list[str] | None) -> pa.Table:
    """The stream format, or the file format."""
    with pa.memory_map(str(path)) as file:
        try:
            return pa.ipc.open_stream(file).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(file).read_all()


def _read_conll(path: Path, _: list[str] | None) -> pa.Table:
    return read_conll(path)


_READERS: dict[str, Callable[[Path, list[str] | None], pa.Table]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".arrow": _read_arrow,
    ".conll": _read_conll,
    ".bio": _read_conll,
    ".iob": _read_conll,
    ".iob2": _read_conll,
}
TABLE_SUFFIXES = frozenset(_READERS)
_BATCHES: dict[str, Callable[[Path], Iterator[pa.RecordBatch]]] = {
    ".parquet": _parquet_batches,
    ".csv": _csv_batches,
    ".tsv": _csv_batches,
    ".json": _json_batches,
    ".jsonl": _json_batches,
    ".ndjson": _json_batches,
}
