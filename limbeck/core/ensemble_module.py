"""The module of an ensemble: several models whose signals a teacher combines to one output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from limbeck.core.actors import RunVariant
from limbeck.core.batch import DEFAULT_VIEW, Batch, copy_tensors
from limbeck.core.readout import Readout, dense, given_inputs, read_signals
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher
from limbeck.core.teachers.ensemble import Ensemble


@dataclass(frozen=True)
class Member:
    """One signal of an ensemble.

    Attributes:
        name: as a reference.
        model: which of the models gives it.
        readout: what is read of the model.
        run: how its variant runs; None: as it is.
    """

    name: str
    model: int
    readout: Readout
    run: RunVariant | None = None


def refuse_if_undecidable(teacher: Teacher) -> None:
    """Raises a ValueError if a teacher's output needs more than the signals of models: labels, or a student."""
    name = type(teacher).__name__
    if not teacher.references:
        raise ValueError(f"{name}: its output does not come from models, so there is no module of it; name an Ensemble")
    by = teacher.by if isinstance(teacher, Ensemble) else None
    if by is None:
        return
    if by.needs_labels:
        raise ValueError(
            f"{name}: by: {type(by).__name__} weighs the members by labels, which a module does not have; use by='entropy', or "
            "labels=False if it has this argument"
        )
    if getattr(by, "of", None) == "student":
        raise ValueError(
            f"{name}: by: {type(by).__name__} reads the term's student, which a module does not have; name the actor, such as "
            "of: student:logits"
        )


@contextmanager
def _naming(name: str, model: nn.Module) -> Iterator[None]:
    """Names the member that raises an error by a note of it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised by {name!r} ({type(model).__name__})")
        raise


class EnsembleModule(nn.Module):
    """Several models whose outputs a teacher combines; called as each of them is called, returns logits.

    A model of which several signals are read (two exits, say) runs once. A member that reads one field is given that field of a
    mapping.

    Args:
        models: the models.
        members: the signals in the order in which the teacher expects them.
        teacher: combines them; a copy that shares its weights is bound to these members.
    """

    builder = "ensemble"  # the name of the function that builds it again

    def __init__(self, models: Sequence[nn.Module], members: Sequence[Member], teacher: Teacher) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.members = list(members)
        bound = copy.copy(teacher)  # the same teacher may be bound to other signals by a term
        if isinstance(bound, Ensemble):
            bound.classes = copy.deepcopy(bound.classes)
        bound.bind([member.name for member in self.members])
        self.teacher = bound
        self.training = all(model.training for model in models)  # those of its parts stay as they are

    def forward(self, inputs: Any = None, **fields: Any) -> Tensor:
        given = given_inputs(inputs, fields)
        signals = self._signals(given)
        output = self.teacher.make_target(signals, Batch({DEFAULT_VIEW: given}), signals[0])
        return dense(output, type(self.teacher).__name__)

    def _signals(self, inputs: Any) -> list[AnySignal]:
        runs: dict[tuple[int, str | None], list[Member]] = {}
        for member in self.members:
            runs.setdefault((member.model, member.readout.variant), []).append(member)
        found: dict[str, AnySignal] = {}
        for (number, _), members in runs.items():
            first = members[0].readout
            given = first.inputs_of(inputs)
            if len(runs) > 1:
                given = copy_tensors(given)  # a member may change its own in place
            with _naming(members[0].name, self.models[number]):
                signals = read_signals(
                    self.models[number],
                    given,
                    [member.readout.tap for member in members],
                    output=first.output,
                    run=members[0].run,
                )
            found |= {member.name: signals[member.readout.tap] for member in members}
        return [found[member.name] for member in self.members]

    def spec(self, spec_of: Callable[[nn.Module], dict[str, Any] | None]) -> dict[str, Any] | None:
        """How it is built, from how its models are built; None if that is unknown, or if the teacher has weights of its own."""
        models = [spec_of(model) for model in self.models]
        combined = self.teacher.describe()
        if None in models or combined is None:
            return None
        members = [{"name": member.name, "model": member.model, **asdict(member.readout)} for member in self.members]
        return {"model": self.builder, "args": {"models": models, "members": members, "by": combined}}


def members_of(described: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, RunVariant]]) -> list[Member]:
    """The members that `EnsembleModule.spec` describes; `runs` are the variants of each model."""
    members = []
    for entry in described:
        fields = dict(entry)
        name, model = str(fields.pop("name")), int(fields.pop("model"))
        readout = Readout(**fields)
        members.append(Member(name, model, readout, None if readout.variant is None else runs[model][readout.variant]))
    return members
