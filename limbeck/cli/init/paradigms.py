"""The paradigms of `limbeck init`: who takes part in each, and what they learn from whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from limbeck.cli.init import paradigm_models
from limbeck.cli.init.choice import Chooser
from limbeck.cli.init.options import OFFLINE, InitOptions
from limbeck.cli.init.questions import InitError
from limbeck.cli.init.text import RecipeModels
from limbeck.utils.registry import UnknownNameError

FORGETTING = "forgetting"
DISTILL = "distill"
MODEL_FLAGS = ("teacher", "peer", "student", "reads")


@dataclass(frozen=True)
class Paradigm:
    """One way to distil.

    Attributes:
        name: after `--paradigm`.
        summary: who teaches whom, in a line of help.
        takes: which of `MODEL_FLAGS` it has a use for.
        choose: chooses the models and returns what stands in the recipe.
        room: its name in `limbeck methods --paradigm`, which is accepted too.
        several: the flag that is needed twice or more.
        train: whether it needs training data.
        command: of `limbeck`, that runs the recipe.
    """

    name: str
    summary: str
    takes: tuple[str, ...]
    choose: Callable[[Chooser], RecipeModels]
    room: str
    several: str = ""
    train: bool = True
    command: str = DISTILL

    def check(self, options: InitOptions, *, interactive: bool) -> None:
        """Raises `InitError` for a flag that this paradigm has no use for, and for one of several models that is missing."""
        given = {
            "teacher": len(options.teachers),
            "peer": len(options.peers),
            "student": int(options.student.model is not None or bool(options.student.args)),
            "reads": int(options.reads is not None),
        }
        for flag in MODEL_FLAGS:
            if given[flag] and flag not in self.takes:
                others = ", ".join(each.name for each in PARADIGMS if flag in each.takes)
                taken = " and ".join(f"--{each}" for each in self.takes)
                raise InitError(
                    f"--{flag}: --paradigm {self.name} ({self.summary}) takes {taken}; leave --{flag} out, or choose "
                    f"one of: {others}"
                )
        if options.student.weights is not None and self.name != FORGETTING:
            raise InitError(
                f"--student-weights: only --paradigm {FORGETTING} starts from weights; leave it out, or choose that"
            )
        if options.features and self.name != OFFLINE:
            raise InitError(f"--features: --paradigm {self.name} decides what is compared; leave it out")
        if self.command != DISTILL and set(options.formats or ()) - {"none"}:
            raise InitError(
                f"--export: `limbeck {self.command}` writes no files for devices; leave it out, and export the student of the "
                "finished run: limbeck export runs/NAME"
            )
        if self.several and (given[self.several] == 1 or (not given[self.several] and not interactive)):
            number = "once" if given[self.several] else "not at all"
            raise InitError(
                f"--{self.several} is given {number}, and --paradigm {self.name} needs two {self.several}s or more; give the "
                "flag once for each (the same name again is a second network with weights of its own)"
            )


def find_paradigm(name: str) -> Paradigm:
    """Returns a paradigm by its name.

    Raises:
        UnknownNameError: there is none; the message has the nearest names.
    """
    for each in PARADIGMS:
        if name in (each.name, each.room):
            return each
    raise UnknownNameError("--paradigm", name, [each.name for each in PARADIGMS])


PARADIGMS = (
    Paradigm(OFFLINE, "a trained teacher teaches a student", ("teacher", "student"), paradigm_models.offline, OFFLINE),
    Paradigm("mutual", "peers teach each other", ("peer",), paradigm_models.mutual, "online", "peer"),
    Paradigm("self", "a network teaches itself", ("student",), paradigm_models.self_distillation, "self_distillation"),
    Paradigm(
        "multi-teacher",
        "several teachers, weighed item by item",
        ("teacher", "student"),
        paradigm_models.multi_teacher,
        "multi_teacher",
        "teacher",
    ),
    Paradigm(
        "heterogeneous",
        "a teacher of another architecture, layers compared",
        ("teacher", "student"),
        paradigm_models.heterogeneous,
        "heterogeneous",
    ),
    Paradigm(
        "cross-modal",
        "teacher and student read different fields of an item",
        ("teacher", "student", "reads"),
        paradigm_models.cross_modal,
        "cross_modal",
    ),
    Paradigm("dynamic", "labels and teacher, weighed item by item", ("teacher", "student"), paradigm_models.dynamic, "dynamic"),
    Paradigm(
        FORGETTING,
        "a trained student learns a new domain and keeps what it knew",
        ("student",),
        paradigm_models.forgetting,
        FORGETTING,
    ),
    Paradigm(
        "data-free",
        "a teacher alone, and inputs that are made",
        ("teacher", "student"),
        paradigm_models.data_free,
        "data_free",
        train=False,
    ),
    Paradigm(
        "federated",
        "clients share a model and no data",
        ("student",),
        paradigm_models.federated,
        "federated",
        command="federate",
    ),
)
NAMES = tuple(each.name for each in PARADIGMS)
