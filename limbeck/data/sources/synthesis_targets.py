"""What each made sample is to show: labels, or class probabilities drawn around each class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.ensemble_module import EnsembleModule
from limbeck.core.model_io import call_model, logits_of, preserve_modes
from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry

registry = Registry("synthesis target")
LEAST = 1e-2  # share of a class in a concentration, which must be positive


class SynthesisTargets(ABC):
    """Base class: the targets of a number of samples."""

    def bind(self, models: Mapping[str, nn.Module], inputs: Tensor) -> None:  # noqa: B027  some need no model
        """Called before the first draw.

        Args:
            models: all models by name.
            inputs: some samples as they are before the first round, which the models read.
        """

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Labels `[count]`, or class probabilities `[count, classes]`."""


def synthesis_targets(value: Any) -> SynthesisTargets:
    """Converts a name, or the recipe form `{dirichlet: {scales: [1, 0.1]}}`, to targets; a whole number is that of classes.

    Raises:
        ValueError: an unknown name, or arguments that it does not have.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return BalancedLabels(value)
    made: SynthesisTargets = registry.part(value, SynthesisTargets, "{dirichlet: {scales: [1, 0.1]}}")
    return made


@registry.register("balanced")
class BalancedLabels(SynthesisTargets):
    """Labels: every class as often as any other, up to one.

    Args:
        classes: how many; None: as many as the actor has outputs.
        actor: the model that is to see the classes.

    Raises:
        ValueError: fewer than two classes; in `bind`, not as many as the actor has outputs.
    """

    def __init__(self, classes: int | None = None, actor: str = "teacher") -> None:
        if classes is not None and classes < 2:
            raise ValueError(f"balanced: classes is {classes}; expected 2 or more")
        self.classes, self.actor = classes, actor

    def bind(self, models: Mapping[str, nn.Module], inputs: Tensor) -> None:
        if self.actor not in models:
            if self.classes is None:
                raise ValueError(f"balanced: there is no actor {self.actor!r} whose classes could be counted; give classes")
            return
        outputs = _logits(models[self.actor], inputs).shape[-1]
        if self.classes not in (None, outputs):
            raise ValueError(
                f"balanced: classes is {self.classes}, and {self.actor!r} has {outputs} outputs; leave classes out, then "
                "samples show all of them"
            )
        self.classes = outputs

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        if self.classes is None:
            raise ValueError("balanced: without classes, targets can be drawn within a run only, which binds the models")
        first = int(torch.randint(self.classes, (), generator=generator))  # so that no class is favoured over several draws
        return (torch.arange(count) + first) % self.classes


@registry.register("dirichlet")
class DirichletTargets(SynthesisTargets):
    """Class probabilities y ~ Dirichlet(β c_k) for each class k: what a sample of the class may look like to the teacher.

    c_k is row k of the cosine similarities between the classes' weights in the last layer, scaled to [0, 1] by its least and
    its largest entry: similar classes share probability. A small β gives targets near one class, β = 1 softer ones. Samples go
    through all classes and all β in turn. (In the paper's code the scaling to [0, 1] follows the multiplication by β, which
    undoes it, so that both of its β are one.)

    Of an ensemble, such as that of the clients of a federation, the similarities are the mean over its models.

    Args:
        actor: the model whose last linear layer is read.
        layer: path of that layer; None: the linear layer whose output is that of the model, or else the last that runs.
        scales: the β.

    Raises:
        ValueError: no scale, or one that is not positive; in `bind`, a model without such a layer, or with one that has not as
            many rows as the model has outputs.

    Source: Nayak et al. 2019, arXiv 1905.08114.
    """

    def __init__(self, actor: str = "teacher", layer: str | None = None, scales: Sequence[float] = (1.0, 0.1)) -> None:
        require_finite("dirichlet", {"scales": scales})
        if not scales or min(scales) <= 0:
            raise ValueError(f"dirichlet: scales is {list(scales)}; expected numbers above 0, such as [1, 0.1]")
        self.actor, self.layer, self.scales = actor, layer, tuple(scales)
        self.similarity: Tensor | None = None

    def bind(self, models: Mapping[str, nn.Module], inputs: Tensor) -> None:
        model = models[self.actor]
        members = list(model.models) if isinstance(model, EnsembleModule) else [model]
        found = [class_similarity(self._weights(each, inputs)) for each in members]
        if len({len(each) for each in found}) > 1:
            rows = ", ".join(str(len(each)) for each in found)
            raise ValueError(
                f"dirichlet: the last linear layers of the models of {self.actor!r} have {rows} rows; expected the "
                "same classes in each"
            )
        self.similarity = torch.stack(found).mean(0)

    def _weights(self, model: nn.Module, inputs: Tensor) -> Tensor:
        linear = {path: module for path, module in model.named_modules() if isinstance(module, nn.Linear)}
        name, outputs = _classifier(model, linear, inputs)
        name = name if self.layer is None else self.layer
        if name not in linear or len(linear[name].weight) != outputs:
            found = ", ".join(f"{path} ({len(module.weight)} rows)" for path, module in linear.items()) or "none"
            raise ValueError(
                f"dirichlet: layer is {self.layer!r}; expected the path of a linear layer with a row of weights for each of "
                f"the {outputs} outputs of {self.actor!r}. Its linear layers: {found}. Without such a classifier use a "
                "method that reads outputs alone, such as dfad"
            )
        return linear[name].weight.detach().float().cpu()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        if self.similarity is None:
            raise ValueError("dirichlet: targets can be drawn within a run only, which binds the teacher")
        classes = len(self.similarity)
        rows = torch.arange(count)
        scales = torch.tensor(self.scales)[(rows // classes) % len(self.scales)]
        concentration = self.similarity[rows % classes].clamp(min=LEAST) * scales[:, None]
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):  # torch's gamma takes no generator
            torch.manual_seed(seed)
            gamma = torch._standard_gamma(concentration.double()).clamp(min=1e-12)
        return (gamma / gamma.sum(1, keepdim=True)).float()


@torch.no_grad()
def _logits(model: nn.Module, inputs: Tensor) -> Tensor:
    with preserve_modes(model):
        logits = logits_of(call_model(model.eval(), inputs))
    if not isinstance(logits, Tensor):
        raise ValueError(f"synthesis: the outputs of {type(model).__name__} are no tensor of logits, whose classes are counted")
    return logits


def _classifier(model: nn.Module, linear: Mapping[str, nn.Linear], inputs: Tensor) -> tuple[str, int]:
    """The path of the linear layer that gives a model's outputs, else of the last one that runs; and the number of outputs."""
    ran: dict[str, Tensor] = {}

    def listen(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(_: nn.Module, __: Any, output: Tensor) -> None:
            ran.pop(path, None)
            ran[path] = output

        return keep

    hooks = [module.register_forward_hook(listen(path)) for path, module in linear.items()]
    try:
        logits = _logits(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    same = (path for path, output in ran.items() if output.shape == logits.shape and output.data_ptr() == logits.data_ptr())
    return next(same, next(reversed(ran), "")), logits.shape[-1]


def class_similarity(weights: Tensor) -> Tensor:
    """Cosine similarities between the rows of [C, D], each row scaled to [0, 1]; with two equal rows all are 1."""
    unit = F.normalize(weights, dim=1)
    cosine = unit @ unit.T
    least, largest = cosine.amin(1, keepdim=True), cosine.amax(1, keepdim=True)
    return torch.where(largest > least, (cosine - least) / (largest - least).clamp(min=1e-12), 1.0)
