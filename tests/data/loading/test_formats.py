"""Readers of table files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

from limbeck.data import load_items
from limbeck.data.loading.formats import read_columns
from tests.data.loading.files import everything, targets


def test_csv_of_texts_with_names_for_labels(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('text,label\n"good, really",pos\nbad,neg\n"two\nlines",pos\n')
    items = load_items(file)
    assert everything(items) == ["good, really", "bad", "two\nlines"]
    assert targets(items) == [1, 0, 1]
    assert items.class_names == ["neg", "pos"]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_by_line_or_as_an_array(tmp_path: Path, suffix: str) -> None:
    rows = [{"sentence": "a", "label": 1}, {"sentence": "b", "label": 0}]
    file = tmp_path / f"a.{suffix}"
    file.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    items = load_items(file)
    assert everything(items) == ["a", "b"]
    assert targets(items) == [1, 0]


def test_unknown_formats_and_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"expected a folder of images or one of .*found '.xlsx'"):
        load_items(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"not a table")
    with pytest.raises(ValueError, match=r"a.parquet cannot be read as parquet"):
        load_items(tmp_path / "a.parquet")


def write(path: Path, table: pa.Table, kind: str) -> Path:
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind in ("csv", "tsv"):
        options = pyarrow.csv.WriteOptions(delimiter="\t" if kind == "tsv" else ",")
        pyarrow.csv.write_csv(table, path, options)
    elif kind in ("arrow stream", "arrow file"):
        new = pa.ipc.new_stream if kind == "arrow stream" else pa.ipc.new_file
        with new(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        path.write_text("\n".join(map(json.dumps, table.to_pylist())))
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv", "jsonl", "ndjson", "arrow stream", "arrow file"])
def test_every_format_returns_the_columns(tmp_path: Path, kind: str) -> None:
    table = pa.table({"text": ["a,\tb", "", "ü\n"], "label": [1, 0, -3], "x": [0.5, 2.0, 1e-9]})
    read = read_columns(write(tmp_path / f"a.{kind.split()[0].upper()}", table, kind))
    assert read.to_pydict() == table.to_pydict()


def test_semicolons_and_utf_16_are_read_as_they_are(tmp_path: Path) -> None:
    for name, encoding, sign in (("a", "utf-8", ";"), ("b", "utf-16", ","), ("c", "utf-16", "\t"), ("d", "utf-8-sig", ",")):
        (tmp_path / f"{name}.csv").write_text(f"text{sign}label\nschön{sign}gut\nübel{sign}schlecht\n", encoding=encoding)
        items = load_items(tmp_path / f"{name}.csv")
        assert items.class_names == ["gut", "schlecht"]
        assert items.fetch(torch.tensor([0])) == ["schön"]


@pytest.mark.parametrize("header", ["text|label", "text;label;note, if any", "text\tlabel"])
def test_a_file_is_delimited_as_its_header_is(header: str, tmp_path: Path) -> None:
    sign = header[4]
    cells = sign.join(["a", "x", "n"][: header.count(sign) + 1])
    (tmp_path / "a.csv").write_text(f"{header}\n{cells}\n{cells.replace('x', 'y')}\n")
    assert load_items(tmp_path / "a.csv", input="text").class_names == ["x", "y"]


def test_a_delimiter_within_quotes_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"text, short";label\nfine, indeed;1\npoor;0\n')
    assert targets(load_items(tmp_path / "a.csv")) == [1, 0]


def test_views_of_strings_and_bytes_are_read(tmp_path: Path) -> None:
    columns = {"text": pa.array(["fine", "poor"], pa.string_view()), "label": pa.array(["yes", ""], pa.string_view())}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    for data in (tmp_path / "a.parquet", pa.table(columns)):
        items = load_items(data)
        assert (items.fetch(torch.arange(2)), items.target.tolist()) == (["fine", "poor"], [0, -100])
    bytes_of = pa.table({"image": pa.array([b"x"], pa.binary_view())})
    pq.write_table(bytes_of, tmp_path / "b.parquet")
    assert read_columns(tmp_path / "b.parquet").schema.field("image").type == pa.large_binary()


def test_other_encodings_are_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nfine,good\nschön,good\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"column 'text': row 1 is no UTF-8; convert the file, such as by: iconv -f latin1"):
        load_items(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[1, 2]", "item 0 is 1; expected objects"),
        ("a.json", b'[{"text": "a"}, null]', "item 1 is None; expected objects"),
        ("a.json", b"[" * 100_000, "cannot be read as json"),
        ("a.csv", b"text,text\na,b\n", "two columns are named 'text'; give every column a name of its own"),
        ("a.csv", b",label\na,1\n", "column 0 has no name"),
        ("a.arrow", b"\xff" * 200, "cannot be read as arrow"),
        ("a.parquet", b"PAR1" + bytes(100) + b"PAR1", "cannot be read as parquet"),
        ("a.csv", b"\x1f\x8b\x08\x00", r"it is compressed \(gzip\); unpack it"),
        ("a.csv", b"PK\x03\x04\x14", "a table of a spreadsheet program; save it as CSV"),
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), r"every other byte is zero, as in UTF-16; convert it: .*utf-16le"),
        ("a.csv", "text,label\na,b\n".encode("utf-32"), "it is UTF-32; convert it"),
        (
            "a.csv",
            "täxt,label\na,b\n".encode("latin-1"),
            "its header is no UTF-8; convert the file, .* iconv -f latin1",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as found:
        read_columns(tmp_path / name)
    assert str(tmp_path / name) in str(found.value)
