"""Finds the images of a folder that has one subfolder per class."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm",
}  # fmt: skip
OTHER_SUFFIXES = {"", ".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".yml", ".db", ".ini", ".html"}  # left out in silence
SHOWN = 4  # folders named in a warning


class ImageFiles(NamedTuple):
    """Paths within a folder, the class of each, and the names of the classes in the order of their numbers."""

    files: list[str]
    labels: list[int]
    classes: list[str]


def find_images(path: Path, subfolders: Iterable[str]) -> ImageFiles:
    """The images in these subfolders; classes are numbered in sorted order.

    Names that Unicode writes in two ways (`é` as one character or as two) are one class. Folders without images are no
    classes. A warning names such folders, and counts files of kinds that are not read.
    """
    by_class: dict[str, list[str]] = {}
    empty, others = [], Counter[str]()
    for name in subfolders:
        inside = [file for file in (path / name).rglob("*") if file.is_file() and not any(map(is_hidden, _within(file, path)))]
        images = sorted(str(file.relative_to(path)) for file in inside if file.suffix.lower() in IMAGE_SUFFIXES)
        others.update(file.suffix.lower() for file in inside if file.suffix.lower() not in IMAGE_SUFFIXES | OTHER_SUFFIXES)
        if images:
            by_class.setdefault(unicodedata.normalize("NFC", name), []).extend(images)
        else:
            empty.append(name)
    if by_class and empty:
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        warnings.warn(f"{path}: no images in {', '.join(empty[:SHOWN])}{more}; such folders are no classes", stacklevel=2)
    if by_class and others:
        counted = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
        warnings.warn(f"{path}: files that are not read as images: {counted}", stacklevel=2)
    classes = sorted(by_class)
    files = [file for name in classes for file in sorted(by_class[name])]
    labels = [number for number, name in enumerate(classes) for _ in by_class[name]]
    return ImageFiles(files, labels, classes)


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is one that systems leave behind: `.DS_Store`, `__MACOSX`, `._image.jpg`."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def _within(file: Path, folder: Path) -> list[Path]:
    """The file and the folders between it and `folder`."""
    return [file, *(parent for parent in file.parents if folder in parent.parents)]
