"""The files of `journal/`: rows in the order they arrived, each file with the keys and views of its rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.codecs.row_table import RowTable
from limbeck.teacher_cache.errors import CorruptFileError
from limbeck.teacher_cache.store.file_format import serialize, stored_record
from limbeck.teacher_cache.store.mapped_file import MappedFile
from limbeck.teacher_cache.store.row_group import RowGroup, read_row_group, tensors_of
from limbeck.utils import distributed

FILE = re.compile(r"(\d{4})-(\d{6})\.safetensors")  # rank, number


@dataclass(frozen=True)
class JournalRows:
    """The content of a journal file: rows of every tap, and their sample keys and views (int64 [N])."""

    group: RowGroup
    keys: Tensor
    views: Tensor


def journal_folder(folder: Path) -> Path:
    """Returns the folder of a store's journal."""
    return folder / "journal"


def journal_files(folder: Path) -> list[Path]:
    """Returns the journal files of a store."""
    return [path for path in sorted(journal_folder(folder).glob("*.safetensors")) if FILE.fullmatch(path.name)]


class Journal:
    """Reads and names the journal files of one store. Each process writes its own files, and reads those of all.

    Args:
        folder: the folder of the store.
        codecs: the codec of each tap.
        metadata: what the metadata of every file must say.
    """

    def __init__(self, folder: Path, codecs: Mapping[str, Codec], metadata: Mapping[str, str]) -> None:
        self.folder, self.codecs, self.metadata = folder, codecs, metadata
        self._opened: set[Path] = set()
        self._next = 0  # number of this process's next file

    def next_path(self) -> Path:
        """Returns the path of this process's next file."""
        return journal_folder(self.folder) / f"{distributed.rank():04d}-{self._next:06d}.safetensors"

    def content(self, keys: Tensor, views: Tensor, tables: Mapping[str, RowTable]) -> bytes:
        """Returns the content of a file with these rows."""
        rows = {"keys": keys, "views": views.to(torch.int16)}
        return serialize({**rows, **tensors_of(tables)}, self.metadata)[0]

    def open(self, path: Path) -> JournalRows:
        """Opens and verifies a file.

        Raises:
            CorruptFileError: not what was written, or a file of another store.
        """
        file = MappedFile(path, stored_record(path))
        keys, views = file.tensors.get("keys"), file.tensors.get("views")
        if keys is None or views is None or keys.dtype != torch.int64 or keys.shape != views.shape:
            raise CorruptFileError(path, "it is no journal file")
        self._opened.add(path)
        rank, number = (int(part) for part in path.stem.split("-"))
        if rank == distributed.rank():
            self._next = max(self._next, number + 1)
        return JournalRows(read_row_group(file, self.codecs, len(keys), self.metadata), keys, views.long())

    def open_new(self) -> Iterator[JournalRows]:
        """Opens the files that were not opened before, written by any process."""
        for path in journal_files(self.folder):
            if path not in self._opened and path.exists():  # another process may turn it into a shard
                yield self.open(path)

    def remove(self) -> None:
        """Delete all journal files, and the folder if nothing else is in it."""
        for path in journal_files(self.folder):
            path.unlink()
        with suppress(OSError):  # missing, or not empty
            journal_folder(self.folder).rmdir()
