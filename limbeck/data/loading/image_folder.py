"""Finds the images of a folder that has one subfolder per class."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm",
}  # fmt: skip
OTHER_SUFFIXES = {"", ".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".yml", ".db", ".ini", ".html"}  # left out in silence
LEFT_BEHIND = {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
SHOWN = 4  # folders named in a warning


class ImageFiles(NamedTuple):
    """Paths within a folder, the class of each, and the names of the classes in the order of their numbers."""

    files: list[str]
    labels: list[int]
    classes: list[str]


def find_images(path: Path, subfolders: Iterable[str], limit: int | None = None) -> ImageFiles:
    """The images in these subfolders; classes are numbered in sorted order.

    Names that Unicode writes in two ways (`é` as one character or as two) are one class. Folders without images are no
    classes. Warnings name such folders, and count files of kinds that are not read and images in no class.

    Args:
        limit: how many images are needed; of classes beyond those one is looked for.
    """
    by_class: dict[str, list[str]] = {}
    empty, others = [], Counter[str]()
    root = os.path.realpath(path)
    for name in sorted(subfolders, key=_one_form):
        enough = limit is not None and sum(map(len, by_class.values())) >= limit and _one_form(name) not in by_class
        images = []
        for file in _files_in(path / name, f"{name}{os.sep}", (root,)):
            if _is_image(file):
                images.append(file)
                if enough:
                    break
            elif (suffix := os.path.splitext(file)[1].lower()) not in OTHER_SUFFIXES:
                others[suffix] += 1
        if images:
            by_class.setdefault(_one_form(name), []).extend(images)
        else:
            empty.append(name)
    if by_class and empty:
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        warnings.warn(f"{path}: no images in {', '.join(empty[:SHOWN])}{more}; such folders are no classes", stacklevel=2)
    if by_class and others:
        counted = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
        warnings.warn(f"{path}: files that are not read as images: {counted}", stacklevel=2)
    if by_class and (loose := sum(1 for _ in loose_images(path))):
        warnings.warn(f"{path}: images beside the folders of classes have no class, and are left out: {loose:,}", stacklevel=2)
    classes = sorted(by_class)
    files = [file for name in classes for file in sorted(by_class[name])]
    labels = [number for number, name in enumerate(classes) for _ in by_class[name]]
    return ImageFiles(files, labels, classes)


def _one_form(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems leave behind: `.DS_Store`, `__MACOSX`, `._image.jpg`, `@eaDir`."""
    return name.startswith((".", "~$")) or name in LEFT_BEHIND


def loose_images(path: Path) -> Iterator[str]:
    """The images that lie in a folder itself, and not in a subfolder."""
    with os.scandir(path) as entries:
        for entry in entries:
            if _is_image(entry.name) and not is_hidden(entry.name) and not entry.is_dir():
                yield entry.name


def _is_image(file: str) -> bool:
    return os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES


def _files_in(folder: str | Path, within: str, above: tuple[str, ...]) -> Iterator[str]:
    """The files of a folder and those below it, `within` before each path; without paths as objects, for a million files.

    Links are followed, but for those to one of the folders `above`. One that leads nowhere is a file that cannot be read.
    """
    above = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                if not entry.is_symlink() or os.path.realpath(entry.path) not in above:
                    yield from _files_in(entry.path, f"{within}{entry.name}{os.sep}", above)
            elif entry.is_file() or entry.is_symlink():
                yield within + entry.name
