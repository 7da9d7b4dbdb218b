"""A dry run that builds the terms of a criterion: taps, adapters and whatever objectives and teachers learn."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, actor_inputs
from limbeck.core.adapters import TapAdapters, TeacherAdapters, build_adapter
from limbeck.core.batch import DEFAULT_VIEW, Batch, first_items
from limbeck.core.ensemble_module import EnsembleModule
from limbeck.core.errors import AdapterError, TermError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.model_io import preserve_modes
from limbeck.core.probe_set import ProbeSet
from limbeck.core.references import Reference
from limbeck.core.signals import AnySignal, Match, shape_of, working_dtype
from limbeck.core.taps.pairing import pair_taps
from limbeck.core.taps.tap import Tap
from limbeck.core.teachers import Teacher
from limbeck.core.term_loss import TermLoss, expand, naming, of_teacher, soften
from limbeck.core.terms import AUTO, Term
from limbeck.core.weighers import Weigher
from limbeck.utils.registry import UnknownNameError

DRY_RUN_ITEMS = 2  # shapes are all that is needed; two items keep batch statistics defined


class CriterionBuilder:
    """Builds terms from the shapes of an example, before the optimizer exists.

    Args:
        actors: all actors by name.
        probes: their probes; the taps of the terms are added.
        plan: which actors the criterion trains.
        example: a batch, of which the first items are run.
        samples: items in the training set, for objectives and teachers that remember every item.
        seed: what initial weights and random variants are drawn from.

    Attributes:
        chosen_taps: (student, teacher) taps that `"auto"` stood for.
    """

    def __init__(
        self, actors: Actors, probes: ProbeSet, plan: GradientPlan, example: Batch, *, samples: int | None, seed: int
    ) -> None:
        models = [actor.model for actor in actors.values()]
        device = next((p.device for model in models for p in model.parameters()), torch.device("cpu"))
        self.actors, self.probes, self.plan = actors, probes, plan
        self.whole_example = example
        self.example = first_items(example, DRY_RUN_ITEMS).to(device)
        self.samples, self.seed = samples, seed
        self.chosen_taps: list[tuple[str, str]] = []

    def build(self, terms: Sequence[Term]) -> list[TermLoss]:
        """The terms, bound to actors and built, in the order of `terms`.

        Raises:
            ValueError: unknown taps, shapes that no adapter bridges, different class counts, actors that one backward pass
                cannot train separately.
        """
        if self.plan.generator is not None:
            self.probes.add([Reference(self.plan.generator)])
        built = []
        with torch.random.fork_rng(devices=[]), preserve_modes(*(actor.model for actor in self.actors.values())):
            torch.default_generator.manual_seed(self.seed)  # parameters are drawn on the CPU, whatever the device
            for term in terms:
                for bound in [one for expanded in self._choose_taps(term) for one in expanded.bind(self.actors)]:
                    built.append(self._build(bound))
        _make_names_unique([loss.term for loss in built])
        _set_last_uses(built)
        return built

    def _dry_run(self) -> ForwardCache:
        return ForwardCache(self.probes, self.example, self.plan, dry_run=True, seed=self.seed)

    # --- automatic taps ----------------------------------------------------------------------------------------------

    def _choose_taps(self, term: Term) -> list[Term]:
        if not term.wants_auto_taps:
            return [term]
        if term.student not in (AUTO, "student") or not (term.teacher is None or term.teacher in (AUTO, "teacher")):
            raise ValueError(
                f"term {term.name or term.objective.name!r}: 'auto' chooses the taps of both sides, of student and teacher; "
                f"got student={term.student!r} and teacher={term.teacher!r}"
            )
        inputs = self._dry_run().inputs(DEFAULT_VIEW)
        student, teacher, kinds = self.actors["student"], self.actors["teacher"], term.objective.tap_kinds
        ours, theirs = (actor_inputs(actor, name, inputs) for name, actor in (("student", student), ("teacher", teacher)))
        try:
            for name, model in (("student", student.model), ("teacher", teacher.model)):
                if isinstance(model, EnsembleModule):
                    raise ValueError(f"taps 'auto': the {name} is {len(model.models)} models, which have no depth in common")
            pairs = pair_taps(student.model, teacher.model, ours, theirs, kinds)
        except ValueError as error:
            raise TermError(term.with_remedy(f"term {term.name or term.objective.name!r}: {error}")) from error
        self.chosen_taps += pairs
        if term.objective.num_taps != 1 and not kinds:
            count = len(pairs) if term.objective.num_taps == 0 else term.objective.num_taps
            ours, theirs = zip(*pairs[-count:], strict=True)
            return [replace(term, student=ours, teacher=theirs)]
        at_once = max(1, len(kinds))  # all kinds of one encoder layer together; feature maps one by one
        groups = [pairs[first : first + at_once] for first in range(0, len(pairs), at_once)]
        return [_at_depth(term, group, 1 / len(groups)) for group in groups]

    # --- one bound term ----------------------------------------------------------------------------------------------

    def _build(self, term: Term) -> TermLoss:
        self.probes.add(term.references)
        loss, forward_cache, device = TermLoss(term, self.plan), self._dry_run(), self.example.device
        with torch.no_grad(), naming(term):
            self._check_trains(loss)
            self._check_items(term)
            student = loss.student_signal(forward_cache)
            dtype = working_dtype(student)
            if isinstance(term.teacher, Teacher):
                term.teacher.build(_first_shape(student), samples=self.samples)
                term.teacher.to(device)
            teachers, _ = loss.without_failing(self._teacher_signals(loss, forward_cache, student))
            if teachers:
                loss.adapter = _build_adapters(term, student, teachers).to(device, dtype)
            with preserve_modes(loss.adapter):
                loss.adapter.eval()
                pairs = loss.pairs(student, teachers)
            self._build_weighers(loss, forward_cache, student, teachers, pairs)
            if not term.objective.built:
                ours, theirs = pairs[0]
                term.objective.build(shape_of(ours), None if theirs is None else shape_of(theirs), samples=self.samples)
            term.objective.to(device, dtype)
            losses = [self._try(loss, *pair) for pair in pairs]
            self._check_weights(loss, forward_cache, student, teachers, pairs, losses)
        loss.per_token = losses[0].ndim == 2
        return loss

    def _check_items(self, term: Term) -> None:
        """Lets weighers refuse items of the whole example, of which the dry run sees the first only."""
        for weigher, teachers in weighers_of(term):
            weigher.check(self.whole_example, teachers)

    def _teacher_signals(self, loss: TermLoss, forward_cache: ForwardCache, student: AnySignal) -> list[Any]:
        """The targets of the example, in evaluation mode so that the teacher remembers nothing of it."""
        teacher = loss.term.teacher
        if not isinstance(teacher, Teacher):
            return loss.teacher_signals(forward_cache, self.example, student)
        with preserve_modes(teacher):
            teacher.eval()
            return loss.teacher_signals(forward_cache, self.example, student)

    def _build_weighers(
        self,
        loss: TermLoss,
        forward_cache: ForwardCache,
        student: AnySignal,
        teachers: Sequence[Any],
        pairs: Sequence[tuple[Any, Any]],
    ) -> None:
        for name, weigher in loss.term.weighers.items():
            signals = [*teachers, *(loss.read(forward_cache, reference) for reference in loss.term.further[name])]
            weigher.bind(self.actors, loss.term.teachers)
            ours = tuple(adapted for adapted, _ in pairs) if weigher.reads_adapted else student
            weigher.prepare(signals, ours, self.example.device, self.samples)

    def _check_weights(
        self,
        loss: TermLoss,
        forward_cache: ForwardCache,
        student: AnySignal,
        teachers: Sequence[Any],
        pairs: Sequence[tuple[Any, Any]],
        losses: Sequence[Tensor],
    ) -> None:
        """Refuses weights that do not fit the losses, and temperatures by item where the objective has no such form."""
        with preserve_modes(*loss.term.weighers.values()):
            for weigher in loss.term.weighers.values():
                weigher.eval()
            weights = loss.weights(forward_cache, self.example, student, teachers, pairs, 0.0)
        for weight in weights.values():
            expand(of_teacher(weight, 0, len(teachers), self.example.size), losses[0])
        if "temperature" in weights:
            self._check_temperature_form(loss, *pairs[0])

    def _check_temperature_form(self, loss: TermLoss, student: Any, teacher: Any) -> None:
        """Sets the objective's temperature to 1, at which its loss must be that at T of T times the logits, divided by T²."""
        term = loss.term
        twice = torch.full((self.example.size,), 2.0, device=self.example.device)
        term.objective.temperature = 2.0  # type: ignore[assignment]
        expected = self._try(loss, student, teacher)
        term.objective.temperature = 1.0  # type: ignore[assignment]
        found = 4 * self._try(loss, soften(student, twice), soften(teacher, twice))
        if not torch.allclose(found, expected, rtol=1e-3, atol=1e-5):
            raise ValueError(
                f"temperature: the loss of {term.objective.name!r} is not T²·f(student/T, teacher/T), so items cannot have "
                "temperatures of their own; give one number or a schedule"
            )

    def _try(self, loss: TermLoss, student: Any, teacher: Any) -> Tensor:
        """The losses of the example, in evaluation mode so that the objective remembers nothing of it."""
        term, counted = loss.term, self.example.counted_in(loss.view)
        if term.objective.knowledge == "output" and term.objective.match is Match.EVERYTHING and teacher is not None:
            _check_classes(student, teacher)
        index = self.example.index
        index = None if index is None else index.clamp(max=max((self.samples or 1) - 1, 0))
        with preserve_modes(term.objective):
            objective = term.objective.eval()
            losses: Tensor = objective(student, teacher, target=self.example.target, mask=counted, index=index)
        return losses

    def _check_trains(self, loss: TermLoss) -> None:
        """Refuse what one backward pass cannot do: gradient reaches all actors upstream of a signal, or none of them."""
        for name in loss.term.trains or ():
            if name not in self.plan.trains:
                raise UnknownNameError("actor among those the update trains", name, sorted(self.plan.trains))
        for reference in loss.term.students:
            reached = self.plan.reached_from(reference.actor)
            if reached & loss.trains and reached - loss.trains:
                more = ", ".join(sorted(reached - loss.trains))
                raise ValueError(f"gradient of {reference} would reach {more} too; train them in updates of their own")
        for reference in loss.term.teachers:
            if loss.trains_generator and reference.actor in self.plan.trains:
                raise ValueError(
                    f"the update trains {reference.actor!r}, the teacher, and {self.plan.generator!r} through it; "
                    "train them in updates of their own"
                )


def weighers_of(term: Term) -> list[tuple[Weigher, int]]:
    """The weighers of a bound term and of its teacher, each with the number of teachers."""
    by = getattr(term.teacher, "by", None)
    count = len(term.teachers) - (len(by.references) if isinstance(by, Weigher) else 0)
    return [(weigher, count) for weigher in (by, *term.weighers.values()) if isinstance(weigher, Weigher)]


def _build_adapters(term: Term, student: AnySignal, teachers: Sequence[AnySignal]) -> TapAdapters | TeacherAdapters:
    built = [_build_adapter(term, student, teacher) for teacher in teachers]
    return built[0] if len(built) == 1 or not any(one.parts for one in built) else TeacherAdapters(built)


def _build_adapter(term: Term, student: AnySignal, teacher: AnySignal) -> TapAdapters:
    if term.objective.knowledge == "output" and term.adapter == AUTO:
        return TapAdapters([])
    ours = student if isinstance(student, tuple) else (student,)
    theirs = teacher if isinstance(teacher, tuple) else (teacher,)
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} student taps and {len(theirs)} teacher taps do not fit; pair them one by one")
    shapes = [(shape_of(s), shape_of(t)) for s, t in zip(ours, theirs, strict=True)]
    allowed = term.objective.ndims
    for s, t in shapes:
        if allowed and len(t) not in allowed:
            axes = " or ".join(map(str, allowed))
            raise AdapterError(
                f"student {s} and teacher {t}: {term.objective.name} compares signals of {axes} axes; tap others"
            )
    spec = copy.deepcopy(term.adapter) if isinstance(term.adapter, nn.Module) else term.adapter  # each teacher has its own
    parts = [build_adapter(spec, s, t, term.objective.match) for s, t in shapes]  # type: ignore[arg-type]
    return TapAdapters([] if all(part is None for part in parts) else [part or nn.Identity() for part in parts])


def _at_depth(term: Term, pairs: Sequence[tuple[str, str]], share: float) -> Term:
    """The term at one of the depths that `auto` chose, with its share of the weight; named after the module or layer."""
    ours, theirs = zip(*pairs, strict=True)
    return replace(
        term,
        objective=copy.deepcopy(term.objective),
        student=ours if len(ours) > 1 else ours[0],
        teacher=theirs if len(theirs) > 1 else theirs[0],
        weight=term.weight * share,
        name=f"{term.name or term.objective.name}.{Tap.parse(ours[0]).path}",
    )


def _make_names_unique(terms: Sequence[Term]) -> None:
    names = [term.name for term in terms]
    for position, term in enumerate(terms):
        if names.count(term.name) > 1:
            term.name = f"{term.name}.{names[:position].count(term.name)}"


def _set_last_uses(losses: Sequence[TermLoss]) -> None:
    """By term: the signals that no later term reads. Attention matrices are large and many; kept until the backward pass, they
    would be its peak of memory."""
    teachers = [loss for loss in losses if isinstance(loss.term.teacher, Teacher)]
    later = {reference for loss in teachers for reference in loss.term.students}  # teachers are updated from these at the end
    for loss in reversed(losses):
        loss.last_uses = set(loss.term.references) - later
        later |= loss.last_uses


def _first_shape(signal: AnySignal) -> tuple[int, ...]:
    shape = shape_of(signal)
    return shape if all(isinstance(n, int) for n in shape) else shape[0]  # type: ignore[return-value]


def _check_classes(student: AnySignal, teacher: AnySignal) -> None:
    ours, theirs = shape_of(student), shape_of(teacher)
    if isinstance(teacher, Tensor) and ours[-1] != theirs[-1]:
        raise ValueError(
            f"the student outputs {ours[-1]} classes and the teacher {theirs[-1]} (shapes {ours} and {theirs}); "
            "give both the same classes, or compare features instead of outputs"
        )
