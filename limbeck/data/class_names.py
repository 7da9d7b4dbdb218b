"""Class names of two sides: which are the same, and how numbers are matched with names."""

from __future__ import annotations

import re
from collections.abc import Sequence

MISSING = {"na", "n/a", "#n/a", "<na>", "nan", "null"}  # what programs write for an empty cell
NUMBER = re.compile(r"[+-]?\d+")


def fold(name: str) -> str:
    """A name without case and without spaces at its ends or in a row; of a whole number its value (`007` is 7)."""
    text = " ".join(str(name).split()).casefold()
    return str(int(text)) if NUMBER.fullmatch(text) else text


def suspicious_names(names: Sequence[str]) -> list[str]:
    """What may be wrong with the names of classes: one name in two spellings, or the word of a program for an empty cell."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(fold(name), []).append(name)
    found = [
        f"the classes {' and '.join(map(repr, alike))} differ in case, spaces or leading zeros only; write them alike if they "
        "are one"
        for alike in spellings.values()
        if len(alike) > 1
    ]
    missing = [name for name in names if fold(name) in MISSING]
    if missing:
        found.append(f"{', '.join(map(repr, missing))} is a class of its own; leave the cell empty if the label is missing")
    return found


def positions_in(names: Sequence[str], among: Sequence[str]) -> list[int | None]:
    """Where each name stands among others; None if it does not.

    Names are compared as they are, and otherwise without case and spaces, where that leaves all names of each side different.
    """
    exact = {name: at for at, name in enumerate(among)}
    folded = {fold(name): at for at, name in enumerate(among)}
    distinct = len(folded) == len(among) and len({fold(name) for name in names}) == len(names)
    return [exact.get(name, folded.get(fold(name)) if distinct else None) for name in names]


def numbers_of(names: Sequence[str]) -> list[int] | None:
    """The values of names that are all different whole numbers of 0 or more (`0`, `1`, `10`); None for other names."""
    if not all(NUMBER.fullmatch(name.strip()) for name in names):
        return None
    values = [int(name) for name in names]
    return values if min(values, default=0) >= 0 and len(set(values)) == len(values) else None


def match_classes(
    own: Sequence[str] | None, used: Sequence[int] | None, names: Sequence[str] | None, data: str, *, strict: bool
) -> tuple[list[int], int, list[str] | None] | None:
    """How classes are renumbered so that they are those of other data: files that lack a class number the others differently.

    Names are compared without case and spaces. If only one side has names, those that are whole numbers are matched by value:
    image folders are called 0, 1, 10, 2 …, and a table says 10.

    Args:
        own: names of the classes; None: they are numbers.
        used: the numbers that occur; None if there are no classes.
        names: of the classes of the other data; None: they are numbers.
        data: what messages call the data that is renumbered.
        strict: whether classes without names, on one side, are known to be numbers.

    Returns:
        the new index of each class, how many classes there are then, and their names; None if nothing changes.

    Raises:
        ValueError: a class that the other side does not have; names and numbers that cannot be matched.
    """
    if own is not None and names is not None:
        found = positions_in(own, names)
        if None in found:
            raise _unknown(data, repr(own[found.index(None)]), names)
        changed = list(own) != list(names)
        return ([at for at in found if at is not None], len(names), list(names)) if changed else None
    named = own if names is None else names
    if named is None or used is None or not strict:
        return None
    values = numbers_of(named)
    if values is None:
        sides = ("have names", "are numbers") if names is None else ("are numbers", "have names")
        raise ValueError(
            f"{data}: its classes {sides[0]}, and those of the training data {sides[1]} ({describe_classes(named)}), whose "
            "order is unknown; write the names in the order of the numbers into classes.json beside the data (in Python: "
            "class_names=[…])"
        )
    if names is None:
        return values, max(values, default=-1) + 1, None
    unknown = [number for number in used if number not in values]
    if unknown:
        raise _unknown(data, str(unknown[0]), names)
    positions = [values.index(number) if number in values else -1 for number in range(max(used, default=-1) + 1)]
    return positions, len(names), list(names)


def _unknown(data: str, name: str, names: Sequence[str]) -> ValueError:
    return ValueError(
        f"{data}: class {name} is none of the {len(names)} of the training data ({describe_classes(names)}); leave such items "
        "out, or train with some"
    )


def describe_classes(names: Sequence[str], most: int = 5) -> str:
    """The first classes with their indices."""
    shown = ", ".join(f"{index}: {name}" for index, name in enumerate(names[:most]))
    return shown + (", …" if len(names) > most else "")
