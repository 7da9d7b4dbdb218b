"""One step's mathematics: a batch goes in, the loss and the value of each term come out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, actor_inputs, frozen, trained
from limbeck.core.adapters import build_adapter
from limbeck.core.batch import DEFAULT_VIEW, Batch, as_batch, first_items, first_tensor, label_mask
from limbeck.core.errors import AdapterError, TermError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.model_io import preserve_modes
from limbeck.core.objective import tensors_of
from limbeck.core.probe_set import ProbeSet
from limbeck.core.references import Reference
from limbeck.core.signals import AnySignal, LinearLogits, detach, shape_of
from limbeck.core.taps.pairing import pair_taps
from limbeck.core.taps.tap import Tap
from limbeck.core.teachers import Teacher
from limbeck.core.terms import AUTO, Term
from limbeck.utils import distributed
from limbeck.utils.registry import UnknownNameError

DRY_ITEMS = 2  # a dry run needs shapes only; two items keep batch statistics defined


class Criterion(nn.Module):
    """The terms of one step as a module: `criterion(batch)` → `{"loss": …, "<term>": …}`.

    In a loop of your own, hand over student and teacher; the criterion runs both. Its parameters are the adapters and what
    objectives learn: give them to the optimizer beside the student's. It listens to the models until `close()`, or until it is
    thrown away.

        terms = [Term(HardTargets()), Term(Hint(), student="layer2", weight=100)]
        criterion = Criterion(terms, student, teacher, example=batch)
        optimizer = SGD([*student.parameters(), *criterion.parameters()], lr=0.1)
        criterion(batch)["loss"].backward()

    The value of term k is Σ loss·mask·item_weight / Σ mask, the loss Σ_k weight_k · value_k.

    Args:
        terms: what is compared; see `Term`.
        student, teacher: models; the teacher is put into evaluation mode and its parameters out of the graph.
        cast: all actors by name, instead of `student` and `teacher`.
        trains: which actors the loss trains.
        through: the actor that makes the inputs, for steps on generated data.
        example: a batch, to build adapters from its shapes. Needed when a term learns anything of its own.
        samples: items in the training set, for objectives that remember every item.
        seed: what the initial weights of adapters and random variants are drawn from.

    Raises:
        ValueError: unknown taps, shapes that no adapter bridges, different class counts; all before the first step.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        student: nn.Module | None = None,
        teacher: nn.Module | None = None,
        *,
        actors: Actors | None = None,
        trains: Sequence[str] = ("student",),
        generator: str | None = None,
        example: Any = None,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not terms:
            raise ValueError("Criterion: it needs at least one term")
        if actors is None:
            if student is None:
                raise ValueError("Criterion: pass a student, or actors")
            actors = Actors({"student": trained(student)} | ({"teacher": frozen(teacher)} if teacher is not None else {}))
        for name in (*trains, *([generator] if generator is not None else [])):
            actors[name]
        # In a plain dict, so that the models are no submodules: the criterion's parameters are only what it learns itself.
        self._models = {"actors": actors, "probes": ProbeSet(actors)}
        self.plan = GradientPlan(frozenset(trains), generator)
        self.seed = seed
        self.given = list(terms)
        self.terms: list[Term] = []
        self.token_level: list[bool] = []
        self.last_uses: list[set[Reference]] = []
        self.objectives, self.adapters, self.teachers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.chosen_taps: list[tuple[str, str]] = []
        self.is_built = self.built_late = False
        if example is not None:
            self.build(as_batch(example), samples=samples)

    @property
    def actors(self) -> Actors:
        actors = self._models["actors"]
        assert isinstance(actors, Actors)
        return actors

    @property
    def probes(self) -> ProbeSet:
        probes = self._models["probes"]
        assert isinstance(probes, ProbeSet)
        return probes

    # --- before the first step ---------------------------------------------------------------------------------------

    def build(self, example: Batch, *, samples: int | None = None) -> None:
        """Dry run: bind references, choose automatic taps, build adapters and whatever objectives learn."""
        if self.is_built:
            return
        self.terms, self.token_level, self.chosen_taps = [], [], []
        self.objectives, self.adapters, self.teachers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        models = [actor.model for actor in self.actors.values()]
        device = next((p.device for model in models for p in model.parameters()), torch.device("cpu"))
        example = first_items(example, DRY_ITEMS).to(device)
        if self.plan.generator is not None:
            self.probes.listen([Reference(self.plan.generator)])
        with torch.random.fork_rng(devices=[]), preserve_modes(*models):
            torch.default_generator.manual_seed(self.seed)  # parameters are drawn on the CPU, whatever the device
            for term in self.given:
                for bound in [one for expanded in self._choose_taps(term, example) for one in expanded.bind(self.actors)]:
                    self._build_term(bound, example, samples)
        self._name_apart()
        self.last_uses = _last_uses(self.terms)
        self.is_built = True

    def _choose_taps(self, term: Term, example: Batch) -> list[Term]:
        if not term.wants_auto_taps:
            return [term]
        if term.student not in (AUTO, "student") or not (term.teacher is None or term.teacher in (AUTO, "teacher")):
            raise ValueError(
                f"term {term.name or term.objective.name!r}: 'auto' chooses the taps of both sides, of student and teacher; "
                f"got student={term.student!r} and teacher={term.teacher!r}"
            )
        inputs = self._dry(example).inputs(DEFAULT_VIEW)
        student, teacher, kinds = self.actors["student"], self.actors["teacher"], term.objective.tap_kinds
        ours, theirs = (actor_inputs(actor, name, inputs) for name, actor in (("student", student), ("teacher", teacher)))
        pairs = pair_taps(student.model, teacher.model, ours, theirs, kinds)
        self.chosen_taps += pairs
        if term.objective.num_taps != 1 and not kinds:
            parts = len(pairs) if term.objective.num_taps == 0 else term.objective.num_taps
            ours, theirs = zip(*pairs[-parts:], strict=True)
            return [replace(term, student=ours, teacher=theirs)]
        at_once = max(1, len(kinds))  # of an encoder's layer all kinds; maps one by one
        groups = [pairs[first : first + at_once] for first in range(0, len(pairs), at_once)]
        return [_at_depth(term, group, 1 / len(groups)) for group in groups]

    def _dry(self, example: Batch) -> ForwardCache:
        return ForwardCache(self.probes, example, self.plan, dry=True, seed=self.seed)

    def _build_term(self, term: Term, example: Batch, samples: int | None) -> None:
        self.probes.listen((*term.students, *term.teachers))
        forward_cache = self._dry(example)
        with torch.no_grad(), _named(term):
            self._check_trains(term)
            student = _side([forward_cache[r] for r in term.students])
            if isinstance(term.teacher, Teacher):
                term.teacher.build(_as_shape(student), samples=samples)
                term.teacher.to(example.device)
            teachers = self._teacher_signals(term, forward_cache, example, student)
            adapter = self._adapter(term, student, teachers[0]) if teachers else nn.Identity()
            adapter.to(example.device, _working_type(student))
            with preserve_modes(adapter):
                pairs = [_adapt(adapter.eval(), student, teacher) for teacher in teachers] or [(student, None)]
            if not term.objective.built:
                ours, theirs = pairs[0]
                term.objective.build(shape_of(ours), None if theirs is None else shape_of(theirs), samples=samples)
            term.objective.to(example.device, _working_type(student))
            losses = [self._try(term, *pair, example, samples) for pair in pairs]
        self.terms.append(term)
        self.objectives.append(term.objective)
        self.adapters.append(adapter)
        self.teachers.append(term.teacher if isinstance(term.teacher, Teacher) else nn.Identity())
        self.token_level.append(losses[0].ndim == 2)

    def _try(self, term: Term, student: Any, teacher: Any, example: Batch, samples: int | None) -> Tensor:
        """The objective's answer to the example, without leaving a trace in what it remembers."""
        if term.objective.knowledge == "output" and teacher is not None:
            _same_classes(student, teacher)
        index = None if example.index is None else example.index.clamp(max=max((samples or 1) - 1, 0))
        with preserve_modes(term.objective):
            loss: Tensor = term.objective.eval()(student, teacher, target=example.target, mask=example.mask, index=index)
        return loss

    def _check_trains(self, term: Term) -> None:
        """Refuse what one backward pass cannot do: gradient reaches everybody upstream of a signal, or nobody."""
        for name in term.trains or ():
            if name not in self.plan.trains:
                raise UnknownNameError("actor among those the step trains", name, sorted(self.plan.trains))
        for reference in term.students:
            reached = self.plan.reached_from(reference.actor)
            if reached & self._trained_by(term) and reached - self._trained_by(term):
                more = ", ".join(sorted(reached - self._trained_by(term)))
                raise ValueError(f"gradient of {reference} would reach {more} too; train them in steps of their own")
        for reference in term.teachers:
            if self._passes_to_inputs(term) and reference.actor in self.plan.trains:
                raise ValueError(
                    f"the step trains {reference.actor!r}, the teacher, and {self.plan.generator!r} through it; "
                    "train them in steps of their own"
                )

    def _adapter(self, term: Term, student: AnySignal, teacher: AnySignal) -> nn.Module:
        if term.objective.knowledge == "output" and term.adapter == AUTO:
            return nn.Identity()
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
        built = [build_adapter(term.adapter, s, t, term.objective.match) for s, t in shapes]  # type: ignore[arg-type]
        if all(part is None for part in built):
            return nn.Identity()
        return Adapters([part or nn.Identity() for part in built])

    def _name_apart(self) -> None:
        names = [term.name for term in self.terms]
        for position, term in enumerate(self.terms):
            if names.count(term.name) > 1:
                term.name = f"{term.name}.{names[:position].count(term.name)}"

    # --- every step --------------------------------------------------------------------------------------------------

    def forward(
        self,
        batch: Any,
        *,
        progress: float = 0.0,
        forward_cache: ForwardCache | None = None,
        counts: Tensor | None = None,
        gathered: bool = False,
    ) -> dict[str, Tensor]:
        """The loss and the (unweighted) value of each term.

        Args:
            batch: a `Batch`, a pair (inputs, labels), or a mapping with labels, as data loaders give them.
            progress: of the stage, 0 to 1: what schedules are functions of.
            readings, counts, gathered: what the engine computes once for several criteria and ranks; leave them out in your
                own loop.
        """
        batch = as_batch(batch)
        if not self.is_built:
            self.build(batch)
            self.built_late = any(True for _ in self.parameters())
        if self.built_late:
            raise ValueError(
                "Criterion: a term learns parameters of its own, which an optimizer made before the first batch does not "
                "know. Hand over example=batch when you make the criterion, and criterion.parameters() to the optimizer."
            )
        own_loop = forward_cache is None
        if forward_cache is None:
            forward_cache = ForwardCache(self.probes, batch, self.plan, seed=self._draw_seed(), set_modes=False)
        if counts is None:
            counts = self.counts(batch).clamp(min=1)
        losses = {}
        total: Tensor | None = None
        for position, term in enumerate(self.terms):
            weight = term.weight(progress)  # type: ignore[operator]
            if weight == 0:
                continue
            value = self._value(position, forward_cache, batch, progress, gathered) / counts[position]
            total = value * weight if total is None else total + value * weight
            losses[term.name] = value
            forward_cache.release(self.last_uses[position])
        if total is None:
            raise ValueError("Criterion: all weights are zero at this point of the stage; give one term a weight")
        if own_loop and self.training:
            self.update_teachers(forward_cache, batch)
        return {"loss": total, **losses}

    def _draw_seed(self) -> int:
        """What the random variants of one step are keyed by in a loop of your own: the next number of torch's generator."""
        varied = any(r.variant is not None for term in self.terms for r in (*term.students, *term.teachers))
        return int(torch.randint(2**62, ())) if varied else self.seed

    def counts(self, batch: Batch) -> Tensor:
        """How many items (or tokens) of this batch each term averages over, `[terms]`."""
        return torch.stack([self._mask(position, batch).sum() for position in range(len(self.terms))])

    def _mask(self, position: int, batch: Batch) -> Tensor:
        """Which items take part in a term: real tokens where it is token-wise, labelled items where it needs labels."""
        term, by_token = self.terms[position], self.token_level[position]
        if not by_token:
            mask = torch.ones(batch.size, device=batch.device)
        elif batch.mask is not None:
            mask = batch.mask.to(torch.float32)
        else:
            mask = torch.ones(first_tensor(batch.inputs).shape[:2], device=batch.device)
        if term.objective.needs_target and batch.target is not None:
            mask = mask * label_mask(batch.target, per_item=not by_token)
        return mask

    def _value(self, position: int, forward_cache: ForwardCache, batch: Batch, progress: float, gathered: bool) -> Tensor:
        """Σ loss·mask·item_weight of one term."""
        term, adapter = self.terms[position], self.adapters[position]
        if term.temperature is not None:
            term.objective.temperature = term.temperature(progress)  # type: ignore[operator, assignment]
        student = _side([self._reading(term, forward_cache, r) for r in term.students])
        teachers = self._teacher_signals(term, forward_cache, batch, student)
        mask = self._mask(position, batch)
        sums = []
        for given in teachers or [None]:
            ours, teacher = (student, None) if given is None else _adapt(adapter, student, given)
            sums.append(self._sum(term, ours, teacher, batch, mask, gathered))
        return torch.stack(sums).mean() if len(sums) > 1 else sums[0]

    def _reading(self, term: Term, forward_cache: ForwardCache, reference: Reference) -> Any:
        signal = forward_cache[reference]
        return signal if self.plan.reached_from(reference.actor) & self._trained_by(term) else detach(signal)

    def _trained_by(self, term: Term) -> set[str]:
        return set(self.plan.trains if term.trains is None else term.trains)

    def _passes_to_inputs(self, term: Term) -> bool:
        """Whether this term trains what makes the inputs: then its gradient passes through the teacher, too."""
        return self.plan.trains_generator and self.plan.generator in self._trained_by(term)

    def _teacher_signals(self, term: Term, forward_cache: ForwardCache, batch: Batch, student: AnySignal) -> list[Any]:
        """The targets of a term: one, or one for each actor where the losses are averaged, or none."""
        if isinstance(term.teacher, Teacher):
            signals = [forward_cache[r] for r in term.teachers]
            if not self._passes_to_inputs(term):
                signals = [detach(signal) for signal in signals]  # type: ignore[misc]
            return [term.teacher.make_target(signals, batch, student)]
        if not term.teachers:
            return []
        signals = [forward_cache[r] for r in term.teachers]
        return signals if term.averages_losses else [_side(signals)]

    def _sum(self, term: Term, student: Any, teacher: Any, batch: Batch, mask: Tensor, gathered: bool) -> Tensor:
        target, index, tokens, weight = batch.target, batch.index, batch.mask, batch.weight
        across = gathered and term.objective.over_batch and distributed.world_size() > 1
        if across:
            student, teacher = _gather(student), _gather(teacher)
            target, index, tokens, mask, weight = (_gather(one) for one in (target, index, tokens, mask, weight))
        learns = isinstance(term.teacher, Teacher) and any(True for _ in term.teacher.parameters())
        given = {"target": target, "mask": tokens, "index": index, "teacher_gradient": learns or self._passes_to_inputs(term)}
        # Every rank computes a gathered loss in full, so what the objective itself learns counts on each for its share only.
        parameters = {name: distributed.replicated(p) for name, p in term.objective.named_parameters()} if across else {}
        with _named(term):
            loss: Tensor
            if parameters:
                loss = torch.func.functional_call(term.objective, parameters, (student, teacher), given)
            else:
                loss = term.objective(student, teacher, **given)
            factors = [mask, weight, term.item_weight(student, teacher, target).detach() if term.item_weight else None]
            for factor in factors:
                loss = loss if factor is None else loss * _spread(factor, loss)
        return loss.sum()

    def update_teachers(self, forward_cache: ForwardCache, batch: Batch) -> None:
        """After the update: let teachers that remember see what the student said, where it was asked."""
        for term in self.terms:
            if isinstance(term.teacher, Teacher) and all(r in forward_cache for r in term.students):
                term.teacher.update(detach(_side([forward_cache[r] for r in term.students])), batch)

    def close(self) -> None:
        """Stop listening: remove all hooks from the models. The criterion is of no use afterwards."""
        self.probes.close()

    def extra_repr(self) -> str:
        return "\n".join(f"({t.name}): {' '.join(map(str, t.students))} ← {' '.join(map(str, t.teachers))}" for t in self.terms)


class Adapters(nn.Module):
    """One adapter for each tap of a term."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)


def _last_uses(terms: Sequence[Term]) -> list[set[Reference]]:
    """By term: the signals that no later one reads. Attention matrices, say, are large and many; kept until the backward pass
    they would be its peak of memory."""
    later = {r for term in terms if isinstance(term.teacher, Teacher) for r in term.students}  # who observes them does so last
    last_uses = []
    for term in reversed(terms):
        last_uses.append({*term.students, *term.teachers} - later)
        later |= last_uses[-1]
    return last_uses[::-1]


def _at_depth(term: Term, pairs: Sequence[tuple[str, str]], share: float) -> Term:
    """The term at one of the depths that `auto` chose, with its share of the weight; named after the map or the layer."""
    ours, theirs = zip(*pairs, strict=True)
    return replace(
        term,
        objective=copy.deepcopy(term.objective),
        student=ours if len(ours) > 1 else ours[0],
        teacher=theirs if len(theirs) > 1 else theirs[0],
        weight=term.weight * share,
        name=f"{term.name or term.objective.name}.{Tap.parse(ours[0]).path}",
    )


def _side(signals: Sequence[Any]) -> Any:
    return signals[0] if len(signals) == 1 else tuple(signals)


def _adapt(adapter: nn.Module, student: Any, teacher: Any) -> tuple[Any, Any]:
    if not isinstance(adapter, Adapters):
        return student, teacher
    many = isinstance(student, tuple)
    ours, theirs = (student, teacher) if many else ((student,), (teacher,))
    pairs = [
        # Adapters learn in the precision of the objectives: a signal in half precision is widened first.
        (s, t) if isinstance(part, nn.Identity) else part(s.to(_working_type(s)), t)
        for part, s, t in zip(adapter.parts, ours, theirs, strict=True)
    ]
    ours, theirs = zip(*pairs, strict=True)
    return (ours, theirs) if many else (ours[0], theirs[0])


def _gather(signal: Any) -> Any:
    if isinstance(signal, tuple):
        return tuple(_gather(part) for part in signal)
    if isinstance(signal, LinearLogits):
        signal = signal.dense()
    return signal if signal is None else distributed.all_gather_rows(signal)


def _working_type(signal: Any) -> torch.dtype:
    return torch.promote_types(tensors_of(signal)[0].dtype, torch.float32)


def _spread(weight: Tensor, loss: Tensor) -> Tensor:
    """A weight for each item or token, shaped to multiply the losses."""
    if weight.shape != loss.shape[: weight.ndim]:
        raise ValueError(f"weights or a mask of shape {tuple(weight.shape)} do not fit losses of shape {tuple(loss.shape)}")
    return weight.view(*weight.shape, *[1] * (loss.ndim - weight.ndim))


def _as_shape(signal: AnySignal) -> tuple[int, ...]:
    shape = shape_of(signal)
    return shape if all(isinstance(n, int) for n in shape) else shape[0]  # type: ignore[return-value]


def _same_classes(student: AnySignal, teacher: AnySignal) -> None:
    ours, theirs = shape_of(student), shape_of(teacher)
    if isinstance(teacher, Tensor) and ours[-1] != theirs[-1]:
        raise ValueError(
            f"the student tells {ours[-1]} classes apart and the teacher {theirs[-1]} (shapes {ours} and {theirs}); "
            "give both the same classes, or compare features instead of outputs"
        )


class _named:  # noqa: N801  reads as a statement: `with _named(term):`
    """Adds the term and its taps to what an objective or adapter complains about."""

    def __init__(self, term: Term) -> None:
        self.term = term

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError) and not isinstance(error, TermError):
            taps = f"student {' '.join(map(str, self.term.students))}"
            if self.term.teachers:
                taps += f", teacher {' '.join(map(str, self.term.teachers))}"
            raise TermError(f"term {self.term.name!r} ({taps}): {error}") from error


__all__ = ["AUTO", "AdapterError", "Criterion", "TermError"]
