"""The rows of a file must be those of the store."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.teacher_cache import Codec, CorruptFileError, Dense
from limbeck.teacher_cache.store.file_format import serialize, stored_record
from limbeck.teacher_cache.store.mapped_file import MappedFile
from limbeck.teacher_cache.store.row_group import read_row_group, tensors_of

CODECS: dict[str, Codec] = {"logits": Dense("fp32"), "a/b": Dense("fp32")}


def mapped(folder: Path) -> tuple[MappedFile, torch.Tensor]:
    values = torch.randn(4, 3)
    tables = {tap: codec.encode(values) for tap, codec in CODECS.items()}
    path = folder / "file.safetensors"
    path.write_bytes(serialize(tensors_of(tables), {"view": "1"})[0])
    return MappedFile(path, stored_record(path)), values


def test_rows_are_grouped_by_tap(tmp_path: Path) -> None:
    file, values = mapped(tmp_path)
    group = read_row_group(file, CODECS, 4, {"view": "1"})
    assert group.file is file
    assert set(group.tables) == {"logits", "a/b"}
    assert torch.equal(group.tables["a/b"].columns["values"], values)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file, _ = mapped(tmp_path)
    with pytest.raises(CorruptFileError, match="written for another store"):
        read_row_group(file, CODECS, 4, {"view": "2"})
    with pytest.raises(CorruptFileError, match="does not hold 5 rows"):
        read_row_group(file, CODECS, 5, {"view": "1"})
    with pytest.raises(CorruptFileError, match=r"it holds a/b//values, logits//values, which are not the signals"):
        read_row_group(file, {"logits": Dense()}, 4, {"view": "1"})
