"""Terms of a loss: which signals are compared, by which objective, with what weight, and which actors they train."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.errors import TapError, TermError
from limbeck.core.references import Reference
from limbeck.core.schedules import Schedule, schedule
from limbeck.core.schedules import registry as schedules
from limbeck.core.teachers import Teacher, teacher
from limbeck.core.weighers import Weigher, weigher
from limbeck.core.weighers import registry as weighers

if TYPE_CHECKING:
    from limbeck.core.objective import Objective

AUTO = "auto"
PARTS = 1000  # of a stage, at whose starts a temperature is looked at


@dataclass
class Term:
    """An objective with two references, adapter, weight, and which actors it trains:

        Term(Hint(), student="layer2", teacher="layer3", weight=100)

    A term is only a description: several criteria can be built from it, each with its own copy of the objective.

    Attributes:
        objective: compares the two signals.
        student: the trained side: a reference, a tap of the actor `student`, several taps for objectives that take several, or
            `"auto"`: taps paired at equal relative depth, feature maps or encoder layers as the objective needs. A pattern
            (`peers.*`, `student@*`, `student:exits.*`) makes one term for each match.
        teacher: the target side: a reference, a tap of the actor `teacher`, several of them, or a `Teacher` (in its recipe form
            `{ensemble: {of: "peers.*"}}` too). None: tap and view of the student's side, at the teacher. A pattern averages the
            losses over its matches other than the student's own; a match on the student's side that would be its own teacher
            is left out.
        adapter: `"auto"`, `"none"`, a registered name or a module: see `limbeck.core.adapters.build_adapter`.
        weight: a number, a schedule, or the recipe form of one.
        temperature: a schedule for the objective's temperature, or a `Weigher` that gives each item its own; None: the
            objective's own, constant. Its loss at temperature T must be T²·f(student/T, teacher/T) if items have their own.
        item_weight: a `Weigher`, its name or its recipe form: a weight for each item, token, or teacher of a pattern.
        trains: restricts the gradient to these of the actors that the update trains; None: all of them.
        own: whether a pattern on the teacher's side also matches the student's own signal.
        name: the name in logs; by default that of the objective.
        remedy: what to change if the models lack its signals, for the message; methods give it, whose terms nobody else names.
        students, teachers, further: the parsed references of a bound term; `further` are those of its weighers, by weigher.
    """

    objective: Objective
    student: str | Sequence[str] = "student"
    teacher: str | Sequence[str] | Mapping[str, Any] | Teacher | None = None
    adapter: str | nn.Module | None = AUTO
    weight: float | Schedule = 1.0
    temperature: float | str | Mapping[str, Any] | Schedule | Weigher | None = None
    item_weight: str | Mapping[str, Any] | Weigher | None = None
    trains: Sequence[str] | None = None
    own: bool = False
    name: str = ""
    remedy: str = field(default="", repr=False)
    students: tuple[Reference, ...] = field(default=(), repr=False)
    teachers: tuple[Reference, ...] = field(default=(), repr=False)
    further: Mapping[str, tuple[Reference, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.weight = schedule(self.weight)
        if isinstance(self.teacher, Mapping):
            self.teacher = teacher(self.teacher)
        if self.item_weight is not None:
            self.item_weight = weigher(self.item_weight)
        if self.temperature is not None:
            self.temperature = _schedule_or_weigher(self.temperature)
            if not _has_temperature(self.objective):
                raise ValueError(f"term {self.objective.name!r}: it has no temperature to schedule; leave temperature out")
            if isinstance(self.temperature, Schedule):
                _require_positive(self.objective.name, self.temperature)

    @property
    def wants_auto_taps(self) -> bool:
        return self.student == AUTO or self.teacher == AUTO

    @property
    def weighers(self) -> dict[str, Weigher]:
        """The weighers of the term, by what they give."""
        parts = {"item_weight": self.item_weight, "temperature": self.temperature}
        return {name: part for name, part in parts.items() if isinstance(part, Weigher)}

    @property
    def references(self) -> tuple[Reference, ...]:
        """All signals that the bound term reads."""
        return (*self.students, *self.teachers, *(reference for found in self.further.values() for reference in found))

    def bind(self, actors: Actors) -> list[Term]:
        """Parses the references; a pattern on the student's side becomes one term for each match.

        Teachers, adapters and weighers may have state, so every bound term has copies of its own.

        Raises:
            ValueError: unknown names, or a pattern that matches nothing or only the student itself.
        """
        patterns = _parse(self.student, "student", actors)
        with self._naming("student"):
            found = [reference.matches(actors) for reference in patterns]
        count = max(map(len, found))
        if {len(one) for one in found} - {1, count}:
            raise ValueError(
                f"term {self._called}: the patterns of student {self.student!r} match different numbers of signals"
            )
        bound, dropped = [], []
        for students in zip(*(one * count if len(one) == 1 else one for one in found), strict=True):
            pattern, first = next(((p, s) for p, s in zip(patterns, students, strict=True) if p.is_pattern), (None, None))
            suffix = f".{pattern.matched_name(first)}" if pattern and first and count > 1 else ""
            teachers = self._teachers(actors, students, dropping=pattern is not None)
            if teachers is None:
                dropped.append(students)
            else:
                bound.append(self._bind_one(actors, students, teachers, suffix=suffix))
        if not bound:
            raise ValueError(
                f"term {self._called}: student {self.student!r} matches only {' '.join(map(str, dropped[0]))}, which is its "
                f"teacher {self.teacher!r} too; name another teacher, or pass own=True (recipe: own: true)"
            )
        for term in bound:
            if isinstance(term.teacher, Teacher):
                term.teacher.bind([str(reference) for reference in term.teachers])
        return bound

    def _bind_one(
        self, actors: Actors, students: tuple[Reference, ...], teachers: tuple[Reference, ...], *, suffix: str
    ) -> Term:
        further = {name: _parse_single(part.references, actors) for name, part in self.weighers.items()}
        for reference in (*students, *teachers, *(r for found in further.values() for r in found)):
            try:
                reference.check(actors)
            except TapError as error:
                raise TapError(self.with_remedy(f"term {self._called}, {reference.actor}: {error}")) from error
        own = ("objective", "teacher", "adapter", "item_weight", "temperature")
        return replace(
            self,
            **{name: copy.deepcopy(getattr(self, name)) for name in own},
            name=(self.name or self.objective.name) + suffix,
            students=students,
            teachers=teachers,
            further=further,
        )

    def _teachers(self, actors: Actors, students: tuple[Reference, ...], *, dropping: bool) -> tuple[Reference, ...] | None:
        """The references of the target. A pattern stands for its matches other than the student's own.

        Returns None if the target of this match of a pattern is the student itself, and `dropping`.
        """
        if isinstance(self.teacher, Teacher):
            parsed = _parse(self.teacher.references, "teacher", actors)
        elif not self.objective.needs_teacher:
            return ()
        elif self.teacher is not None:
            assert not isinstance(self.teacher, Mapping)  # __post_init__ has made a teacher of it
            parsed = _parse(self.teacher, "teacher", actors)
        elif "teacher" in actors:
            parsed = tuple(Reference("teacher", tap=r.tap, view=r.view) for r in students)
        else:
            raise ValueError(f"term {self.objective.name!r}: it needs a teacher; name one of {', '.join(actors)}")
        with self._naming("teacher"):
            pairs = [(pattern, found) for pattern in parsed for found in pattern.matches(actors)]
        with_own = self.own or (isinstance(self.teacher, Teacher) and self.teacher.own)
        teachers = tuple(found for pattern, found in pairs if with_own or not pattern.is_own(found, students[0]))
        if parsed and not teachers:
            own = next(found for pattern, found in pairs if pattern.is_own(found, students[0]))
            kind = "actor" if "*" in parsed[0].actor else "signal"
            raise ValueError(
                f"term {self._called}: teacher {str(parsed[0])!r} matches no {kind} other than {str(own)!r} itself; add "
                "another that it matches, or pass own=True (recipe: own: true)"
            )
        alone = teachers == students and not isinstance(self.teacher, Teacher)
        return None if alone and dropping and not with_own else teachers

    @property
    def _called(self) -> str:
        return repr(self.name or self.objective.name)

    @contextmanager
    def _naming(self, field: str) -> Iterator[None]:
        """Adds term and field to the errors of a pattern."""
        try:
            yield
        except ValueError as error:
            raise TermError(self.with_remedy(f"term {self._called}: {field}: {error}")) from error

    def with_remedy(self, message: str) -> str:
        """Returns the message of an error of this term, with the remedy if there is one."""
        return f"{message}. {self.remedy}" if self.remedy else message

    @property
    def averages_losses(self) -> bool:
        """Whether the teacher is a pattern over several actors; the loss is then the mean over them."""
        return isinstance(self.teacher, str) and "*" in self.teacher


def _parse(text: str | Sequence[str], default: str, actors: Actors) -> tuple[Reference, ...]:
    texts = (text,) if isinstance(text, str) else tuple(text)
    return tuple(Reference.parse(one, default=default, actors=actors) for one in texts)


def _parse_single(texts: Sequence[str], actors: Actors) -> tuple[Reference, ...]:
    """The references of a weigher; raises a ValueError for a pattern."""
    for text in texts:
        if "*" in text:
            raise ValueError(f"a weigher reads {text!r}; name single signals, such as peers.a")
    return _parse(texts, "student", actors)


def _has_temperature(objective: Objective) -> bool:
    """Whether a temperature changes what an objective computes; one whose arguments decide says so by `softens`."""
    return bool(getattr(objective, "softens", hasattr(objective, "temperature")))


def _require_positive(term: str, temperature: Schedule) -> None:
    """Raises a ValueError if a temperature is not above 0 within its stage; it may be 0 at the end, where no step is."""
    for share in (part / PARTS for part in range(PARTS)):
        value = temperature(share)
        if not value > 0:
            found = f"temperature is {value:.3g} after {share:.1%} of the stage"
            raise ValueError(f"term {term!r}: {found}; use a schedule that stays above 0, such as one from 4 to 1")


def _schedule_or_weigher(value: float | str | Mapping[str, Any] | Schedule | Weigher) -> Schedule | Weigher:
    if isinstance(value, Weigher):
        return value
    name = value if isinstance(value, str) else next(iter(value), None) if isinstance(value, Mapping) else None
    if name is not None and name not in schedules and name in weighers:
        return weigher(value)  # type: ignore[arg-type]
    return schedule(value)
