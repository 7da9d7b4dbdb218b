"""Outputs of models with different class sets, brought into one set by the names of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

ClassNames = Sequence[str | int]  # numbers are names as well
STUDENT = "student"
UNKNOWN = -30.0  # below a model's lowest logit: e⁻³⁰ of its probability, and finite, so that 0·log 0 does not arise


class ClassSets:
    """The class names of several teachers, and the set that their outputs are merged into.

    Args:
        classes: the names of each teacher's classes in the order of its outputs, by the teacher's name (`a` or `teachers.a`) or
            as a list in the order of the teachers. The key `student` gives the student's classes; by default they are all
            classes of the teachers in the order in which they first occur.

    Attributes:
        merged: names of the merged classes.

    Raises:
        ValueError: a name occurs twice in one set, or the student has a class that no teacher knows.
    """

    def __init__(self, classes: Mapping[str, ClassNames] | Sequence[ClassNames]) -> None:
        if not classes or any(isinstance(names, str) or not names for names in _sets(classes)):
            raise ValueError(f"Ensemble: classes is {classes!r}; expected a list of class names for each teacher")
        self.by_name = {name: _texts(names) for name, names in classes.items()} if isinstance(classes, Mapping) else None
        self.sets = [_texts(names) for names in _sets(classes)]
        for names in self.sets:
            if len(set(names)) < len(names):
                raise ValueError(f"Ensemble: classes {names} hold a name twice")
        own = (self.by_name or {}).get(STUDENT)
        teachers = [names for name, names in self.by_name.items() if name != STUDENT] if self.by_name else self.sets
        known = list(dict.fromkeys(name for names in teachers for name in names))
        self.merged: list[str] = known if own is None else own
        if missing := [name for name in self.merged if name not in known]:
            raise ValueError(f"Ensemble: classes: no teacher knows {', '.join(map(str, missing))}, which the student has")
        self._sets: list[list[str]] | None = None if self.by_name else self.sets
        self._names = [str(number) for number in range(len(self.sets))]  # of the teachers, for messages

    def bind(self, signals: Sequence[str]) -> None:
        """Finds the class set of each teacher by its name.

        Raises:
            ValueError: a teacher without a class set, or a class set without a teacher.
        """
        self._names = list(signals)
        if self.by_name is not None:
            self._sets = [self._set_of(signal, self.by_name) for signal in signals]
            unused = [n for n in self.by_name if n != STUDENT and not any(_names(signal, n) for signal in signals)]
            if unused:
                raise ValueError(f"Ensemble: classes names {', '.join(unused)}; the teachers are {', '.join(signals)}")
        elif len(self.sets) != len(signals):
            raise ValueError(f"Ensemble: {len(self.sets)} class sets for {len(signals)} teachers ({', '.join(signals)})")

    def merge(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The logits of each teacher in the merged set, `[K, ..., C]`, and which classes each one knows, `[K, C]`.

        The logits of a teacher are centred on their mean, because only their differences mean something; classes that it does
        not know are far below its lowest logit.
        """
        assert self._sets is not None
        merged, known = [], []
        for number, (logits, names) in enumerate(zip(outputs, self._sets, strict=True)):
            if logits.shape[-1] != len(names):
                raise ValueError(
                    f"Ensemble: classes: {self._names[number]!r} has {logits.shape[-1]} outputs and {len(names)} class names "
                    f"({', '.join(names)}); name the classes of its outputs in their order"
                )
            centred = logits - logits.mean(-1, keepdim=True)
            lowest = centred.amin(-1, keepdim=True) + UNKNOWN
            columns = torch.tensor([names.index(n) if n in names else len(names) for n in self.merged], device=logits.device)
            merged.append(torch.cat([centred, lowest], -1).index_select(-1, columns))
            known.append(columns < len(names))
        return torch.stack(merged), torch.stack(known)

    @staticmethod
    def _set_of(signal: str, sets: Mapping[str, list[str]]) -> list[str]:
        for name, names in sets.items():
            if _names(signal, name):
                return names
        raise ValueError(f"Ensemble: classes has no class names of {signal!r}; it has those of {', '.join(sets)}")


def _texts(names: ClassNames) -> list[str]:
    return [str(name) for name in names]


def _sets(classes: Mapping[str, ClassNames] | Sequence[ClassNames]) -> list[ClassNames]:
    return list(classes.values() if isinstance(classes, Mapping) else classes)


def _names(signal: str, name: str) -> bool:
    """Whether a name is a signal's, its actor's, or the last part of its actor's: `teachers.a:head`, `teachers.a`, `a`."""
    actor = signal.split("#")[0].split(":")[0].split("@")[0]
    return name in (signal, actor, actor.rsplit(".", 1)[-1])
