"""Classification: one class per item."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.data.class_names import describe_classes, positions_in
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.tasks.base import Task
from limbeck.tasks.top_logits import MANY_CLASSES, TopLogits

SHOWN = 12  # names in a message
ONE_CLASS = "whose softmax is 1 for every item, so that nothing can be learned and nothing measured"
ONE_LOGIT = "A model with one logit z for class 1 of two returns both: torch.stack([torch.zeros_like(z), z], -1)"


class Classification(Task):
    """One of several classes per item; metrics: accuracy, F1 or Matthews' correlation."""

    name = "classification"
    metrics = ("accuracy", "f1", "matthews")
    outputs_classes = True

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(HardTargets(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(SoftTargets(temperature=temperature), student=student)]

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        assert items.target is not None
        known = items.target >= 0
        logits, target = outputs[known], items.target[known]
        loss = nn.functional.cross_entropy(logits, target)
        value = self.metric.compute(logits[None].numpy(), target.numpy())[0]
        return {self.metric.name: float(value), "cross_entropy": float(loss)}

    def condense(self, outputs: Tensor, items: Items) -> Tensor | TopLogits:
        """The largest logits, if there are many classes."""
        assert items.target is not None
        return outputs if outputs.shape[-1] <= MANY_CLASSES else TopLogits.of(outputs, items.target)

    def to_predictions(self, outputs: Sequence[Any], items: Items) -> Mapping[str, Any]:
        assert items.target is not None
        if isinstance(outputs[0], TopLogits):
            return {"top_logits": TopLogits.stack(outputs), "labels": items.target.numpy()}
        return {"logits": torch.stack(list(outputs)).numpy(), "labels": items.target.numpy()}

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data", reads: str | None = None) -> None:
        super().check(model, items, who, data, reads)
        check_class_order(model, items.class_names, who, data)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2:
            one = f". {ONE_LOGIT}" if outputs.ndim == 1 else ""
            raise ValueError(
                f"the {who} gives logits of shape {tuple(outputs.shape)}; classification needs [items, classes]{one}"
            )
        assert items.target is not None
        if items.target.is_floating_point() or items.target.ndim != 1:
            remedy = _remedy(items.target)
            raise ValueError(f"{data}: classification needs one class per item, and the labels are no classes{remedy}")
        highest, classes = int(items.target.max()), outputs.shape[-1]
        if items.class_names is not None and len(items.class_names) < classes and highest < classes:
            raise ValueError(
                f"{data}: it has {len(items.class_names)} classes ({describe_classes(items.class_names)}), but the {who} "
                f"outputs {classes}; write the names of all {classes} in the model's order into classes.json beside the data "
                "(in Python: class_names=[…])"
            )
        if highest >= classes:
            one = "" if classes > 1 or highest > 1 else f". {ONE_LOGIT}"
            raise ValueError(
                f"{data}: labels go up to {highest}, but the {who} outputs {classes} classes; give it classes: "
                f"{highest + 1}, or leave out the items of other classes{one}"
            )
        if classes == 1:
            raise ValueError(f"{data}: the {who} outputs one class, {ONE_CLASS}; give data of two classes or more. {ONE_LOGIT}")
        _warn_of_probabilities(outputs, who)


def _remedy(target: Tensor) -> str:
    """What makes classes of labels that are none, as far as their shape tells."""
    if target.ndim == 1:
        whole = bool((target == target.round()).all())
        return "; they are whole numbers of a type for numbers to predict: labels.long()" if whole else ""
    if target.ndim > 2:
        return ""
    if target.shape[1] == 1:
        return "; each is a row of one: labels.flatten()"
    one_hot = bool(((target == 0) | (target == 1)).all()) and bool((target.sum(1) == 1).all())
    several = "several labels of an item are task: multilabel_classification"
    return f"; of one-hot rows: labels.argmax(1); {several}" if one_hot else f"; {several}"


def _warn_of_probabilities(outputs: Tensor, who: str) -> None:
    """Warns of a softmax at the end of a model: rows of probabilities, of which one at least is not certain."""
    inside = bool(((outputs >= 0) & (outputs <= 1)).all()) and bool(((outputs > 0) & (outputs < 1)).any())
    if outputs.shape[-1] > 1 and inside and bool(((outputs.sum(-1) - 1).abs() < 1e-3).all()):
        warnings.warn(
            f"{who}: its outputs are probabilities (each row sums to 1), and losses take them for logits; leave its softmax "
            "out, or return the logarithm of what it gives",
            stacklevel=2,
        )


def names_in(model: nn.Module | None) -> list[str] | None:
    """The class names in the configuration of a model (`id2label`) in order; None without any, or if they are `LABEL_0`, …"""
    own = getattr(getattr(model, "config", None), "id2label", None)
    names = [str(own[index]) for index in sorted(own)] if own else []
    return None if not names or all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def in_classes_of(items: Items, teacher: nn.Module | None) -> Items:
    """The items in the class numbering of a teacher that knows all their classes, and more."""
    names = names_in(teacher)
    if names is None or items.class_names is None or len(items.class_names) >= len(names):
        return items
    return items if None in positions_in(items.class_names, names) else items.align_classes(names)


def check_class_order(model: nn.Module, names: Sequence[str] | None, who: str, data: str) -> None:
    """Raises ValueError if model and data number the same class names differently, which would permute the predictions.

    Names are compared without case and spaces.
    """
    theirs = names_in(model)
    if theirs is None or names is None:
        return
    found = positions_in(names, theirs)
    known = [at for at in found if at is not None]
    if len(known) == len(theirs) == len(names) and known != sorted(known):
        raise ValueError(
            f"{data}: the classes are numbered {_numbered(names)}, and those of the {who} {_numbered(theirs)}; write them in "
            f"the model's order, {json.dumps(theirs, ensure_ascii=False)}, into classes.json beside the data"
        )
    if known and known != [at for at in range(len(names)) if found[at] is not None]:
        wrong = next(name for at, name in enumerate(names) if found[at] != at)
        raise ValueError(
            f"{data}: class {wrong!r} has another number in the {who}, whose classes are {_numbered(theirs)}; those of the "
            f"data are {_numbered(names)}. Write the model's names in their order into classes.json beside the data, or leave "
            "out items of classes that it lacks"
        )


def _numbered(names: Sequence[str]) -> str:
    shown = ", ".join(f"{index} {name!r}" for index, name in enumerate(names[:SHOWN]))
    return shown + (f", … {len(names)} in all" if len(names) > SHOWN else "")
