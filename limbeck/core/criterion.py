"""The terms of one update as a module: a batch in, the loss and the value of each term out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.balance import Balance
from limbeck.core.balance import balance as as_balance
from limbeck.core.batch import Batch, as_batch
from limbeck.core.counted_items import Count, CountedItems, as_tensor, at_least_one, count_items
from limbeck.core.criterion_builder import CriterionBuilder
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.probe_set import ProbeSet
from limbeck.core.signals import detach
from limbeck.core.teachers import Teacher
from limbeck.core.term_loss import TermLoss, join
from limbeck.core.terms import Term
from limbeck.core.weight_statistics import BALANCE, WeightStatistics


class Criterion(nn.Module):
    """The terms of one update as a module: `criterion(batch)` → `{"loss": …, "<term>": …}`.

    In a loop of your own, pass student and teacher; the criterion runs both. Its parameters are the adapters and what
    objectives learn: give them to the optimizer beside the student's. Its hooks stay on the models until `close()`, or until
    the criterion is deleted.

        terms = [Term(HardTargets()), Term(Hint(), student="layer2", weight=100)]
        criterion = Criterion(terms, student, teacher, example=batch)
        optimizer = SGD([*student.parameters(), *criterion.parameters()], lr=0.1)
        criterion(batch)["loss"].backward()

    The value of term k is Σ loss·mask·item_weight / Σ mask, the loss Σ_k weight_k · value_k, with a balance
    Σ_k factor_k · weight_k · value_k + penalty.

    Args:
        terms: what is compared; see `Term`.
        student, teacher: models; the teacher is put into evaluation mode and its parameters out of the graph.
        actors: all actors by name, instead of `student` and `teacher`.
        trains: which actors the loss trains.
        generator: the actor that makes the inputs, for updates on generated data.
        example: a batch, to build adapters from its shapes. Needed when a term has parameters of its own.
        samples: items in the training set, for objectives that remember every item.
        seed: what the initial weights of adapters and random variants are drawn from.
        balance: factors of the terms' weights that follow the training: `Uncertainty()`, `GradientNorm()`, or their recipe
            form; the criterion has a copy of its own. None: the weights are those of the terms.

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
        balance: str | Mapping[str, Any] | Balance | None = None,
    ) -> None:
        super().__init__()
        if not terms:
            raise ValueError("Criterion: it needs at least one term")
        if actors is None:
            if student is None:
                raise ValueError("Criterion: pass a student, or actors")
            actors = Actors({"student": trained(student)} | ({"teacher": frozen(teacher)} if teacher is not None else {}))
        for name in (*trains, *([generator] if generator is not None else [])):
            actors[name]  # raises if unknown
        self.actors = actors  # no modules, so the criterion's parameters are only its own
        self.probes = ProbeSet(actors)
        self.plan = GradientPlan(frozenset(trains), generator)
        self.seed = seed
        self.unbound_terms = list(terms)
        self.chosen_taps: list[tuple[str, str]] = []
        self.balance = None if balance is None else copy.deepcopy(as_balance(balance))
        self.is_built = self.built_late = False
        self._set_losses([])
        if example is not None:
            self.build(as_batch(example), samples=samples)

    def build(self, example: Batch, *, samples: int | None = None) -> None:
        """Bind the terms, choose automatic taps, and build adapters and what objectives learn; does nothing if built."""
        if self.is_built:
            return
        builder = CriterionBuilder(self.actors, self.probes, self.plan, example, samples=samples, seed=self.seed)
        self._set_losses(builder.build(self.unbound_terms))
        self.chosen_taps = builder.chosen_taps
        if self.balance is not None:
            self.balance.build(len(self.terms))
            self.balance.to(builder.example.device)
        self.is_built = True

    def _set_losses(self, losses: list[TermLoss]) -> None:
        self.losses, self.balance_statistics = losses, WeightStatistics()
        self.terms = [loss.term for loss in losses]
        self.per_token = [loss.per_token for loss in losses]
        self.reads_variants = any(r.variant is not None for term in self.terms for r in term.references)
        self.objectives = nn.ModuleList(term.objective for term in self.terms)
        self.adapters = nn.ModuleList(loss.adapter for loss in losses)
        self.teachers = nn.ModuleList(
            term.teacher if isinstance(term.teacher, Teacher) else nn.Identity() for term in self.terms
        )
        self._updated_teachers = [(term.teacher, term.students) for term in self.terms if isinstance(term.teacher, Teacher)]
        self.weighers = nn.ModuleList(nn.ModuleDict(term.weighers) for term in self.terms)

    def forward(
        self,
        batch: Any,
        *,
        progress: float = 0.0,
        forward_cache: ForwardCache | None = None,
        counted: CountedItems | None = None,
        counts: Tensor | Sequence[Count] | None = None,
        gathered: bool = False,
        piece: int = 0,
    ) -> dict[str, Tensor]:
        """The loss and the (unweighted) value of each term.

        Args:
            batch: a `Batch`, a pair (inputs, labels), or a mapping with labels, as data loaders give them.
            progress: of the stage, 0 to 1: what schedules are functions of.
            forward_cache, counted, counts, gathered, piece: what the engine computes once for several criteria and processes,
                and the number of this piece of an accumulated batch; leave them out in your own loop.
        """
        batch = as_batch(batch)
        self._require_built(batch)
        own_loop = forward_cache is None
        if forward_cache is None:
            forward_cache = ForwardCache(self.probes, batch, self.plan, seed=self._step_seed(), set_modes=False)
        if counted is None:
            counted = count_items(self.losses, batch)
        if counts is None:
            counts = at_least_one(counted.counts)
        values: dict[str, Tensor] = {}
        weighted: dict[int, Tensor] = {}  # by the number of the term
        for number, (loss, mask, count) in enumerate(zip(self.losses, counted.masks, counts, strict=True)):
            weight = loss.term.weight(progress)  # type: ignore[operator]
            if weight == 0:
                continue
            value = loss.mean(forward_cache, batch, progress, mask, count, gathered=gathered)
            weighted[number] = value if weight == 1 else value * weight
            values[loss.term.name] = value
            forward_cache.release(loss.last_uses)
        if not weighted:
            raise ValueError("Criterion: all weights are zero at this point of the stage; give one term a weight")
        total = self._sum(weighted, counted, counts, piece)
        if own_loop and self.training:
            self.update_teachers(forward_cache, batch)
        return {"loss": total, **values}

    def _sum(self, weighted: dict[int, Tensor], counted: CountedItems, counts: Tensor | Sequence[Count], piece: int) -> Tensor:
        """The sum of the terms, in proportion to the factors of the balance if there is one."""
        rows, values = list(weighted), list(weighted.values())
        if self.balance is None:
            return sum(values[1:], values[0])
        shares = as_tensor([counted.counts[row] / counts[row] for row in rows], values[0].device)
        if piece == 0 and self.training and torch.is_grad_enabled():
            self.balance.measure(values, rows, self._trained_parameters())
        factors, penalty = self.balance(rows, shares)
        for number, factor in zip(rows, factors.detach(), strict=True):
            self.balance_statistics.add(self.terms[number].name, factor[None])
        total: Tensor = (factors.to(values[0].device) * torch.stack(values)).sum() + penalty
        return total

    def _trained_parameters(self) -> list[nn.Parameter]:
        models = (self.actors[name].model for name in sorted(self.plan.trains))
        return [parameter for model in models for parameter in model.parameters() if parameter.requires_grad]

    def _require_built(self, batch: Batch) -> None:
        if not self.is_built:
            self.build(batch)
            self.built_late = any(True for _ in self.parameters())
        if self.built_late:
            raise ValueError(
                "Criterion: a term learns parameters of its own, which an optimizer made before the first batch does not know. "
                "Pass example=batch when you make the criterion, and criterion.parameters() to the optimizer."
            )

    def _step_seed(self) -> int:
        """Seed of the random variants of one step in a loop of your own: the next number of torch's generator."""
        return int(torch.randint(2**62, ())) if self.reads_variants else self.seed

    def counts(self, batch: Batch) -> Tensor:
        """How many items (or tokens) of this batch each term averages over, `[terms]`."""
        return as_tensor(count_items(self.losses, batch).counts, batch.device)

    def update_teachers(self, forward_cache: ForwardCache, batch: Batch) -> None:
        """After the update of the weights: pass the student's signals to teachers that remember them, if they were computed."""
        for teacher, students in self._updated_teachers:
            if all(reference in forward_cache for reference in students):
                teacher.update(detach(join([forward_cache[reference] for reference in students])), batch)

    def read_weight_statistics(self) -> dict[str, Tensor]:
        """Number, sum and sum of squares of the weights that each weigher gave since the last call, by `term.weigher`.

        `weigher` is `item_weight`, `temperature`, or the name of a member of an ensemble. The factors of a balance are there
        as `balance.term`.
        """
        found = {f"{loss.term.name}.{name}": sums for loss in self.losses for name, sums in loss.statistics.read().items()}
        return found | {f"{BALANCE}.{name}": sums for name, sums in self.balance_statistics.read().items()}

    def read_class_weights(self) -> dict[str, Tensor]:
        """Number and sum of these weights in each class since the last call, `[2, classes]`; of terms on class logits."""
        return {
            f"{loss.term.name}.{name}": sums for loss in self.losses for name, sums in loss.statistics.read_by_class().items()
        }

    def close(self) -> None:
        """Remove all hooks from the models. The criterion cannot be used afterwards."""
        self.probes.close()

    def extra_repr(self) -> str:
        return "\n".join(f"({t.name}): {' '.join(map(str, t.students))} ← {' '.join(map(str, t.teachers))}" for t in self.terms)
