"""Methods that make inputs in rounds: the loss of made samples by hand, and what they are to show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import methods, steps
from limbeck.core.actors import frozen
from limbeck.core.reference_module import module_of
from limbeck.core.teachers import Ensemble
from limbeck.data.sources import BalancedLabels, DirichletTargets, Synthesis
from limbeck.data.sources.synthesis import _targeted
from limbeck.engine import Stage
from limbeck.models import pixels
from limbeck.tasks import Classification
from tests.methods.data_free.setting import Net
from tests.methods.data_free.test_generators import kl, statistics

COUNT = 6
INPUTS = torch.zeros(2, 4)


def made_by(method: str, **arguments: Any) -> tuple[Synthesis, Stage]:
    given = {"shape": [4], "batch_size": 4, "low": -1.0, "samples": COUNT, **arguments}
    (stage,) = methods.call(method, given, task=Classification(), length=steps(5))["stages"]
    source = stage.updates[0].source
    assert isinstance(source, Synthesis)
    return source, stage


def inverted(source: Synthesis) -> tuple[Tensor, dict[str, Tensor], Net, Net, Tensor]:
    """One step of the inversion: made inputs, terms, teacher, student and targets."""
    torch.manual_seed(0)
    teacher, student = Net(1).eval().requires_grad_(False), Net(2, 6)
    source.bind({"teacher": teacher, "student": student, "images": pixels(COUNT, [4], low=-1.0)})
    batch = _targeted(source.targets, torch.arange(COUNT), torch.Generator().manual_seed(0))
    made, values = source._bound.run(batch, steps=1, lr=0.1, generator_lr=0.1, seed=0)
    assert isinstance(batch.target, Tensor)
    return made, values, teacher, student.eval(), batch.target


def js(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    p, q = (one / temperature).softmax(-1), (other / temperature).softmax(-1)
    m = (p + q) / 2
    return temperature**2 * ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1)) / 2


def test_deep_inversion_wants_the_class_and_the_statistics() -> None:
    source, stage = made_by("deep_inversion", classes=3, statistics=0.7, temperature=2, rounds=3)
    x, values, teacher, _, labels = inverted(source)
    torch.testing.assert_close(values["loss"], F.cross_entropy(teacher(x), labels) + 0.7 * statistics(teacher, x))
    assert isinstance(source.targets, BalancedLabels)
    assert (source.ahead, source.every, source.size) == (3, None, 3 * COUNT)
    (soft,) = stage.updates[0].terms
    assert (soft.objective.name, soft.objective.temperature, stage.updates[0].trains) == ("soft_targets", 2, ("student",))


def test_its_adaptive_form_wants_what_the_student_does_not_know() -> None:
    source, _ = made_by("deep_inversion", classes=3, statistics=0, adversary=0.4, every=2)
    x, values, teacher, student, labels = inverted(source)
    expected = F.cross_entropy(teacher(x), labels) - 0.4 * js(teacher(x), student(x), 3).mean()
    torch.testing.assert_close(values["loss"], expected.detach())
    assert (source.ahead, source.every) == (1, 2)


def test_zero_shot_kd_wants_probabilities_of_a_dirichlet_distribution() -> None:
    source, stage = made_by("zero_shot_kd", temperature=5, scales=[0.5])
    x, values, teacher, _, y = inverted(source)
    q = (teacher(x) / 5).log_softmax(-1)
    expected = 25 * (torch.special.xlogy(y, y) - y * q).sum(-1).mean()
    torch.testing.assert_close(values["loss"], expected)
    assert isinstance(source.targets, DirichletTargets)
    assert stage.updates[0].terms[0].objective.temperature == 5


def test_the_scale_of_a_dirichlet_distribution_is_not_undone() -> None:
    """In a public implementation the scaling to [0, 1] follows the multiplication, so all scales are one."""
    near = {}
    for scale in (1.0, 0.1):
        targets = DirichletTargets(scales=[scale])
        targets.bind({"teacher": Net(1)}, INPUTS)
        near[scale] = float(targets.draw(600, torch.Generator().manual_seed(0)).amax(1).mean())
    assert near[0.1] > near[1.0] + 0.1


def test_the_classes_of_an_ensemble_are_as_similar_as_in_the_mean_of_its_models() -> None:
    nets = {"a": Net(1), "b": Net(2)}
    whole = module_of(Ensemble(["a", "b"]), {name: frozen(net) for name, net in nets.items()})
    alone = []
    for model in (*nets.values(), whole):
        targets = DirichletTargets()
        targets.bind({"teacher": model}, INPUTS)
        alone.append(targets.similarity)
    torch.testing.assert_close(alone[2], (alone[0] + alone[1]) / 2)
    assert not torch.allclose(alone[2], alone[1])


class Auxiliary(nn.Module):
    """Its classifier is not the last linear layer of its definition."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.classifier, self.auxiliary = nn.Linear(4, 3), nn.Linear(4, rows)

    def forward(self, x: Tensor) -> Tensor:
        self.auxiliary(x)
        return self.classifier(x)


@pytest.mark.parametrize("rows", [3, 7])
def test_similarities_are_those_of_the_layer_that_gives_the_outputs(rows: int) -> None:
    model = Auxiliary(rows)
    found, named = DirichletTargets(), DirichletTargets(layer="classifier")
    for targets in (found, named):
        targets.bind({"teacher": model}, INPUTS)
    torch.testing.assert_close(found.similarity, named.similarity)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (Auxiliary(7), "auxiliary"),
        (nn.Sequential(nn.Linear(4, 5), nn.Unflatten(1, (5, 1)), nn.Conv1d(5, 3, 1), nn.Flatten()), None),
        (nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Conv1d(4, 3, 1), nn.Flatten()), None),
    ],
)
def test_a_layer_without_a_row_for_each_class_is_refused_with_the_layers_that_there_are(model: nn.Module, layer: str) -> None:
    with pytest.raises(ValueError, match=r"a row of weights for each of the 3 outputs of 'teacher'. Its linear layers: .*dfad"):
        DirichletTargets(layer=layer).bind({"teacher": model}, INPUTS)


@pytest.mark.parametrize("method", ["deep_inversion", "contrastive_inversion"])
def test_classes_are_those_of_the_teacher(method: str) -> None:
    source, _ = made_by(method)
    *_, labels = inverted(source)
    assert sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]
    for classes in (2, 10):  # with fewer, samples would show these only
        source, _ = made_by(method, classes=classes)
        with pytest.raises(ValueError, match=f"classes is {classes}, and 'teacher' has 3 outputs; leave classes out"):
            inverted(source)


def test_contrastive_inversion_tells_inputs_from_each_other_and_fools_the_student() -> None:
    source, _ = made_by(
        "contrastive_inversion", classes=3, one_hot=0.5, statistics=0.3, adversary=0.2, contrast=0, width=4, latent=3
    )
    x, values, teacher, student, labels = inverted(source)
    z = teacher(x)
    expected = 0.5 * F.cross_entropy(z, labels) + 0.3 * statistics(teacher, x) - 0.2 * kl(z, student(x)).mean()
    torch.testing.assert_close(values["loss"], expected.detach())
    source, _ = made_by("contrastive_inversion", classes=3, steps=7, features="input(linear)", memory=20)
    _, values, *_ = inverted(source)
    assert float(values["contrast"]) > 0
    (contrast,) = [one for one in source.terms if one.name == "contrast"]
    assert contrast.objective.every == 7  # only finished inputs are remembered
    assert (contrast.student, contrast.teacher) == ("teacher:input(linear)", "teacher@augmented:input(linear)")


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("dfad", {"shape": [28, 28]}, r"shape is \[28, 28\], and no generator makes embeddings"),
        ("dfad", {"shape": [1, 1, 28, 28]}, r"shape is \[1, 1, 28, 28\]; expected that of one input"),
        ("dafl", {"shape": [1, 10, 10]}, "multiples of 4"),
        ("dafl", {"shape": [4], "one_hot": 0, "balance": 0, "activation": 0}, "all of one_hot, balance, activation are 0"),
        ("dafl", {"shape": [4], "balance": -1}, "balance is -1"),
        ("dfq", {"shape": [4], "distance": "mse"}, "distance is 'mse'"),
        ("dfq", {"shape": [4], "generator_lr": 0}, "generator_lr is 0"),
        ("belief_matching", {"shape": [4], "low": 2.0}, "low is 2.0 and high is 1.0"),
        ("belief_matching", {"shape": [4], "batch_size": 1}, "batch_size is 1"),
        ("belief_matching", {"shape": [4], "attention": -1}, "attention is -1"),
        ("deep_inversion", {"shape": [4], "adversary": 1}, "give every, the steps of the student between two rounds"),
        ("deep_inversion", {"shape": [4], "classes": 1}, "classes is 1"),
        ("zero_shot_kd", {"shape": [4], "scales": [0]}, r"scales is \[0\]"),
        ("contrastive_inversion", {"shape": [4], "meta": 0}, "meta is 0"),
        ("contrastive_inversion", {"shape": [4], "samples": 0}, "contrastive_inversion: samples is 0"),
        ("contrastive_inversion", {"shape": [4], "width": -1}, "contrastive_inversion: width is -1"),
        ("deep_inversion", {"shape": [4], "samples": 0}, "deep_inversion: samples is 0"),
        ("dafl", {"shape": [4], "latent": 0}, "dafl: latent is 0"),
    ],
)
def test_values_out_of_range_are_refused(method: str, arguments: dict[str, Any], message: str) -> None:
    given = {"task": Classification(), "length": steps(1)}
    with pytest.raises(ValueError, match=message):
        methods.call(method, arguments, **given)


@pytest.mark.parametrize("method", ["deep_inversion", "contrastive_inversion", "zero_shot_kd"])
def test_views_are_of_images_only(method: str) -> None:
    source, _ = made_by(method, shape=[1, 8, 8], view=["horizontal_flip"])
    assert len(source.view) == 1
    with pytest.raises(ValueError, match=f"{method}: view changes images, and shape is"):
        made_by(method, view=["horizontal_flip"])
