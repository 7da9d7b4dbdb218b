"""Checks of a term's gradient in the first steps: a term that trains nothing stops the run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limbeck.core.actors import Role
from limbeck.core.criterion import Criterion
from limbeck.core.teachers import PastPredictions, Teacher
from limbeck.core.terms import Term
from limbeck.engine.sharding import gradients_by_backward
from limbeck.utils import distributed
from limbeck.utils.distributed import is_sharded


class DeadTermError(RuntimeError):
    """A term with a weight gives no gradient to what it trains."""


ROUNDING = 1e-6  # largest norm of a gradient that is zero in exact arithmetic, where a model is compared with itself
PIECE = 1 << 20  # entries of a gradient that are converted to double precision at a time


def same_object(term: Term, criterion: Criterion) -> bool:
    """Returns whether student and teacher references of a term name the same signal of the same model.

    An ensemble or a pattern may hold the student's own signal.
    """
    if (isinstance(term.teacher, Teacher) or term.averages_losses) and len(term.teachers) > 1:
        return False
    return any(
        criterion.actors[s.actor].model is criterion.actors[t.actor].model
        and (s.variant, s.tap, s.view) == (t.variant, t.tap, t.view)
        for s, t in zip(term.students, term.teachers, strict=False)
    )


def warn_of_same_object(criterion: Criterion) -> None:
    """Warns of terms that compare a model with itself: such a loss is always zero, or noise."""
    for term in criterion.terms:
        if same_object(term, criterion):
            sides = f"student {' '.join(map(str, term.students))} and teacher {' '.join(map(str, term.teachers))}"
            warnings.warn(f"term {term.name!r}: {sides} are the same signal of the same model", stacklevel=2)


class DeadTermCheck:
    """Checks that every term gives a finite, non-zero gradient to what it trains in its first active step.

    A term whose teacher starts as a copy of the student (an average, a snapshot, past predictions) may be zero at first, and so
    may one whose items have weights: it is checked again in each of the next `grace` steps. A term on labels is checked at the
    first batch that has some.

    Attributes:
        left: checks left by the name of the term; empty once all terms have passed.
    """

    def __init__(self, criterion: Criterion, learners: Mapping[str, Sequence[nn.Parameter]], grace: int = 100) -> None:
        self.criterion, self.learners = criterion, learners
        self.left = {term.name: (grace if _may_start_at_zero(term, criterion) else 1) for term in criterion.terms}

    def __bool__(self) -> bool:
        return bool(self.left)

    def __call__(self, losses: Mapping[str, Tensor], counts: Tensor, scale: float) -> None:
        """Checks the terms that have not passed yet.

        Args:
            losses: values of the terms, with their graph.
            counts: items (or tokens) of the batch that each term reads on this process, not clamped, `[terms]`.
            scale: of the loss, in float16.

        Raises:
            DeadTermError: a term gives no gradient, or one that is not finite.
        """
        counts = distributed.all_reduce_sum(counts)
        for position, term in enumerate(self.criterion.terms):
            if term.name not in self.left or term.name not in losses or float(counts[position]) < 1:
                continue  # no item of this batch has a label
            self.left[term.name] -= 1
            for actor in self._trained_by(term):
                norm = self._gradient(losses[term.name] * scale, self.learners[actor])
                if norm is not None and norm > (ROUNDING if same_object(term, self.criterion) else 0):
                    self.left.pop(term.name, None)
                elif norm is None or self.left.get(term.name) == 0:
                    raise DeadTermError(_explain(term, actor, norm))

    def _trained_by(self, term: Term) -> list[str]:
        """Returns the actors that the term should reach; a trained generator of inputs is reached through every actor."""
        reached = set().union(*(self.criterion.plan.reached_from(r.actor) for r in term.students))
        if term.trains is not None:
            reached &= set(term.trains)
        if not reached:
            raise DeadTermError(
                f"term {term.name!r} trains nothing: its student side {' '.join(map(str, term.students))} is not upstream or "
                f"part of what this update trains ({', '.join(sorted(self.criterion.plan.trains))})"
            )
        return sorted(reached)

    def _gradient(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> float | None:
        """Returns the norm of the gradient over all processes; None if no path leads to the parameters."""
        wanted = [p for p in parameters if p.requires_grad]
        if not loss.requires_grad or not wanted:
            return None
        if any(map(is_sharded, wanted)):
            others = (p for each in (*self.learners.values(), self.criterion.parameters()) for p in each)
            found: Sequence[Tensor | None] = gradients_by_backward(loss, wanted, others)
        else:
            found = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
        norms = [_norm(g) for g in found if g is not None]
        if not norms and distributed.world_size() == 1:
            return None
        total = torch.stack(norms).norm() if norms else torch.zeros((), dtype=torch.float64)
        norm = float(distributed.all_reduce_sum(total))
        if norm != norm or norm == float("inf"):
            raise DeadTermError("a term gives a gradient that is NaN or infinite at its first step")
        return norm


def _norm(gradient: Tensor) -> Tensor:
    """Returns the norm in double precision. Pieces keep the peak of memory low for large embedding tables."""
    pieces: Sequence[Tensor] = torch.split(gradient.detach().flatten(), PIECE)
    norm: Tensor = torch.stack([piece.double().norm() for piece in pieces]).norm()
    return norm


def _may_start_at_zero(term: Term, criterion: Criterion) -> bool:
    if isinstance(term.teacher, PastPredictions) or term.weighers:
        return True
    return any(criterion.actors[r.actor].role in (Role.AVERAGE, Role.SNAPSHOT) for r in term.teachers)


def _explain(term: Term, actor: str, norm: float | None) -> str:
    why = "no path of the graph leads there" if norm is None else "the gradient is zero"
    sides = f"student {' '.join(map(str, term.students))}"
    if term.teachers:
        sides += f", teacher {' '.join(map(str, term.teachers))}"
    return (
        f"term {term.name!r} is dead: it gives no gradient to {actor!r} ({why}; {sides}). "
        "Check that both sides are different models and that the tap lies on the way to what is trained, or drop the term."
    )
