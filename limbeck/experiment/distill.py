"""The whole job in one call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from limbeck.data import as_items, encode_tables
from limbeck.evaluation import Verdict
from limbeck.experiment.distillation import Distillation
from limbeck.methods import hinton


@dataclass(repr=False)
class Outcome:
    """What `limbeck.distill` returns; as text the verdict in one sentence, and in a notebook its table."""

    student: nn.Module
    verdict: Verdict

    def __str__(self) -> str:
        return self.verdict.sentence()

    def __repr__(self) -> str:
        return f"<Outcome: {type(self.student).__name__}, {self.verdict!r}>"

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_()


def distill(
    teacher: nn.Module,
    student: nn.Module | Callable[[], nn.Module],
    train: Any,
    test: Any,
    *,
    validation: Any = None,
    temperature: float = 4.0,
    alpha: float = 0.9,
    **options: Any,
) -> Outcome:
    """Distils with Hinton's method, trains the control, and evaluates both on the test set.

        outcome = limbeck.distill(teacher, student, (x_train, y_train), (x_test, y_test))
        print(outcome)     # kept 97.3 % of the teacher at 1/11 of its size; distillation gave +1.9 points [1.2, 2.6]

    Args:
        teacher: a trained module.
        student: a module, or a function that builds one.
        train, test, validation: `Items`, a pair of tensors (inputs, labels), a map-style torch data set, or a path or name that
            `limbeck.data.load_items` takes. Training items without a label have −100.
        temperature, alpha: of Hinton's method.
        options: of `Distillation` (seeds, folder, training, targets, terms, …).

    Raises:
        ValueError: data, models and terms do not fit; nothing is trained then.
    """
    if "stages" not in options:
        options.setdefault("terms", functools.partial(hinton, temperature, alpha, options.get("task")))
    job = Distillation(student, teacher, **options)
    validation = None if validation is None else as_items(validation)
    train, test, validation = encode_tables(as_items(train), as_items(test), validation)
    job.check(train, validation=validation, test=test)
    job.fit(train, validation)
    return Outcome(job.best, job.evaluate(test))
