"""Readers of table files: Parquet, CSV, JSON, Arrow and CoNLL."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.conll import read_conll


def read_columns(path: Path) -> pa.Table:
    """Read a file in the format that its suffix names.

    Raises:
        ValueError: another suffix; a file that cannot be read in this format.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ValueError(f"{path}: expected a folder of images or one of {', '.join(sorted(_READERS))}, found {suffix!r}")
    try:
        table = _READERS[suffix](path)
    except (
        pa.ArrowException,
        OSError,
        RecursionError,
        ValueError,
    ) as error:  # OSError: also what pyarrow says of damaged files
        raise ValueError(f"{path} cannot be read as {suffix[1:]}: {error}") from error
    _check_names(path, table.column_names)
    return table


def _check_names(path: Path, names: list[str]) -> None:
    """Refuses columns that cannot be told apart by their names."""
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice or "" in names:
        fault = f"two columns are named {twice[0]!r}" if twice else f"column {names.index('')} has no name"
        raise ValueError(f"{path}: {fault}; give every column a name of its own")


def _read_parquet(path: Path) -> pa.Table:
    from limbeck.data.loading.mapped_parquet import read_or_map  # imports pyarrow.parquet, which takes a while

    return read_or_map(path)


def _read_csv(path: Path) -> pa.Table:
    import pyarrow.csv  # type: ignore[import-untyped]

    with path.open("rb") as file:
        start = file.read(1 << 16)
    encoding = "utf16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf8"
    header = start.decode(encoding, errors="replace").split("\n", 1)[0]
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(encoding=encoding),
        parse_options=pyarrow.csv.ParseOptions(delimiter=_delimiter(path, header), newlines_in_values=True),
    )
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_binary(column.type):  # what pyarrow makes of bytes that are no UTF-8
            row = next(row for row, cell in enumerate(column.to_pylist()) if cell is not None and not _is_utf8(cell))
            raise ValueError(
                f"column {name!r}: row {row} is no UTF-8; convert the file, such as by: iconv -f latin1 -t utf-8 {path.name}"
            )
    return table


def _delimiter(path: Path, header: str) -> str:
    """The delimiter of a CSV file: a comma, unless its header has none, but semicolons or tabs."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((sign for sign in (",", ";", "\t") if sign in header), ",")


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_json(path: Path) -> pa.Table:
    """One object per line, or an array of objects."""
    import pyarrow.json  # type: ignore[import-untyped]

    with path.open("rb") as file:
        is_array = file.read(256).lstrip()[:1] == b"["
    if is_array:
        rows = json.loads(path.read_text(encoding="utf-8"))
        odd = next((number for number, row in enumerate(rows) if not isinstance(row, dict)), None)
        if odd is not None:
            raise ValueError(f'item {odd} is {rows[odd]!r:.60}; expected objects such as {{"text": …, "label": …}}')
        return pa.Table.from_pylist(rows)
    return pyarrow.json.read_json(path)


def _read_arrow(path: Path) -> pa.Table:
    """The stream format, or the file format."""
    with pa.memory_map(str(path)) as file:
        try:
            return pa.ipc.open_stream(file).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(file).read_all()


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".arrow": _read_arrow,
    ".conll": read_conll,
    ".bio": read_conll,
    ".iob": read_conll,
    ".iob2": read_conll,
}
TABLE_SUFFIXES = frozenset(_READERS)
