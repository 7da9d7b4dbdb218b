"""The arms of a run: which models its verdict compares, how they are named, and in which folders they are kept.

An arm is named `teacher`, or `[RESULT/]ARM`: the result is what was evaluated (`student` if it is not written), the arm how it
was trained: `student` (distilled), `control` (labels only), `initial` (not yet), or the name of a further control. A run
with one student has the arms `teacher`, `student` and `control`; one that evaluates two peers and their ensemble has
`a/student`, `a/control`, `b/student`, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from limbeck.utils.folder_names import require_folder_name

T = TypeVar("T")

TEACHER, CONTROL, STUDENT = "teacher", "control", "student"
ARMS = (TEACHER, CONTROL, STUDENT)
INITIAL = "initial"  # a student as it starts, where it starts from trained weights; it stands among the further controls
DEFAULT_RESULT = "student"  # the result of arms that name none
RESULTS_FOLDER = "results"
_FORMER_NAMES = {"alone": CONTROL}  # in runs written before verdicts of format 2


class ArmName(NamedTuple):
    """The name of an arm in its two parts. `result` is empty for the teacher, which all results share."""

    result: str
    arm: str

    def __str__(self) -> str:
        """The name as it is written: without the default result."""
        return self.arm if self.result in ("", DEFAULT_RESULT) else f"{self.result}/{self.arm}"


def current_name(arm: str) -> str:
    """The name of an arm as this version writes it, given the name in a file that an earlier version may have written."""
    return _FORMER_NAMES.get(arm, arm)


def parse_arm(name: str) -> ArmName:
    """The result and the arm of `teacher`, `ARM` or `RESULT/ARM`.

    Raises:
        ValueError: the name is of another form.
    """
    result, separator, arm = name.rpartition("/")
    if name == TEACHER:
        return ArmName("", TEACHER)
    if not arm or "/" in result or (separator and not result) or arm == TEACHER:
        raise ValueError(
            f"arm {name!r}: expected 'teacher', ARM or RESULT/ARM, where ARM is student, control or a further control"
        )
    return ArmName(result or DEFAULT_RESULT, arm)


def arms_by_result(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The names of arms by result and then by arm, in order of appearance; the teacher is left out.

    Raises:
        ValueError: a name is of another form, two name the same arm, there is no result, or one has no student.
    """
    given = list(names)
    found: dict[str, dict[str, str]] = {}
    for name in given:
        result, arm = parse_arm(name)
        if not result:
            continue
        if arm in found.setdefault(result, {}):
            raise ValueError(f"arms {found[result][arm]!r} and {name!r} are the same; name each arm once")
        found[result][arm] = name
    for result, own in (found or {DEFAULT_RESULT: {}}).items():
        if STUDENT not in own:
            expected = str(ArmName(result, STUDENT))
            raise ValueError(f"predictions of {sorted(given)}; expected {expected!r} and perhaps controls and 'teacher'")
    return found


def of_result(by_arm: Mapping[str, T], result: str) -> dict[str, T]:
    """What belongs to one result, by arm: of the teacher, its student and its controls."""
    found = {}
    for name, value in by_arm.items():
        own, arm = parse_arm(name)
        if own in ("", result):
            found[arm] = value
    return found


def further_controls(arms: Iterable[str]) -> list[str]:
    """The arms of a result besides teacher, student and the control on labels only."""
    return [arm for arm in arms if arm not in ARMS]


def arm_folder(name: str, first: str = DEFAULT_RESULT) -> str:
    """The folder of a kept model within that of its run, as a relative path with `/`.

    The student of the first result is in `student`, its control in `control`; all others are in `results/RESULT/ARM`.

    Args:
        name: of the arm; the teacher is in `teacher`.
        first: the first result of the run.

    Raises:
        ValueError: the name is of another form, or of none that a folder may have.
    """
    result, arm = parse_arm(name)
    if not result or (result == first and arm in (STUDENT, CONTROL)):
        return arm
    return f"{RESULTS_FOLDER}/{require_folder_name(result, 'result')}/{require_folder_name(arm, 'arm')}"
