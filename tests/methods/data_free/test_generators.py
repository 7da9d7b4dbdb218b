"""Methods whose generator and student take turns: two made samples, computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import models
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from tests.methods.data_free.setting import Net, check, updates


def kl(target: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """T² KL of each item."""
    p, q = (target / temperature).softmax(-1), (logits / temperature).softmax(-1)
    return temperature**2 * (p * (p.log() - q.log())).sum(-1)


def balance(logits: Tensor) -> Tensor:
    p = logits.softmax(-1).mean(0)
    return math.log(3) + (p * p.log()).sum()


def one_hot(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, logits.argmax(-1))


def statistics(teacher: Net, x: Tensor) -> Tensor:
    read = teacher.body(x)
    mean, variance = teacher.norm.running_mean, teacher.norm.running_var
    assert mean is not None
    assert variance is not None
    return (read.mean(0) - mean).norm() + (read.var(0, unbiased=False) - variance).norm()


def test_belief_matching_raises_and_lowers_the_divergence_on_the_same_inputs() -> None:
    seek, learn = updates("belief_matching", attention=0)
    assert seek.source is learn.source
    assert (learn.repeat, learn.fresh) == (10, False)
    check(seek, lambda teacher, student, x: -kl(teacher(x), student(x)).mean())
    check(learn, lambda teacher, student, x: kl(teacher(x), student(x)).mean())


def test_belief_matching_softens_both_sides_of_its_divergence() -> None:
    seek, learn = updates("belief_matching", attention=0, temperature=4)
    check(seek, lambda teacher, student, x: -kl(teacher(x), student(x), 4.0).mean())
    check(learn, lambda teacher, student, x: kl(teacher(x), student(x), 4.0).mean())


def test_attention_weighs_against_the_divergence_as_in_the_authors_code() -> None:
    """There KL is a mean over classes too: 250 of the sum of three depths stands beside a tenth of the KL of ten classes."""
    _, learn = updates("belief_matching", shape=[1, 8, 8])
    student, teacher = (models.get("tiny_cnn", width=width, size=8) for width in (3, 4))
    actors = Actors({"teacher": frozen(teacher), "student": trained(student)})
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    criterion = Criterion(learn.terms, actors=actors, trains=["student"], example=Batch({"default": images}))
    found = criterion(Batch({"default": images}))["loss"]

    def read(model: nn.Module) -> tuple[Tensor, list[Tensor]]:
        """The log-probabilities and the attention maps of both resolutions."""
        maps, x = [], model.get_submodule("normalize")(images)
        for name in ("layer1", "layer2", "layer3"):
            x = model.get_submodule(name)(x)
            maps.append(F.normalize(x.square().mean(1).flatten(1)))
        return model.get_submodule("linear")(x.mean((2, 3))).log_softmax(-1), [maps[0], maps[2]]

    (ours, our_maps), (theirs, their_maps) = read(student), read(teacher)
    divergence = (theirs.exp() * (theirs - ours)).mean()  # over items and classes
    apart = [(a - b).square().mean() for a, b in zip(our_maps, their_maps, strict=True)]
    torch.testing.assert_close(found, 10 * (divergence + 250 * 3 * torch.stack(apart).mean()))


def test_dafl_asks_the_teacher_alone() -> None:
    seek, learn = updates("dafl", one_hot=0.5, balance=3.0, activation=0.2, repeat=4)
    assert (learn.repeat, learn.fresh) == (4, True)  # its inputs are no answer to the student: used twice they teach less
    check(
        seek,
        lambda teacher, student, x: (
            0.5 * one_hot(teacher(x)) + 3 * balance(teacher(x)) - 0.2 * teacher.features(x).abs().mean()
        ),
    )
    check(learn, lambda teacher, student, x: kl(teacher(x), student(x)).mean())


def test_dfad_plays_with_the_absolute_difference() -> None:
    seek, learn = updates("dfad")
    assert (learn.repeat, learn.fresh) == (5, True)
    check(seek, lambda teacher, student, x: -(teacher(x) - student(x)).abs().mean())
    check(learn, lambda teacher, student, x: (teacher(x) - student(x)).abs().mean())


@pytest.mark.parametrize("distance", ["l1", "kl"])
def test_dfq_keeps_its_adversary_to_what_the_teacher_knows(distance: str) -> None:
    seek, learn = updates("dfq", distance=distance, adversary=2, one_hot=0.5, balance=3, statistics=0.7)

    def sought(teacher: Net, student: nn.Module, x: Tensor) -> Tensor:
        z, s = teacher(x), student(x)
        apart = (z - s).abs().mean() if distance == "l1" else kl(z, s).mean()
        return -2 * apart + 0.5 * one_hot(z) + 3 * balance(z) + 0.7 * statistics(teacher, x)

    check(seek, sought)
    check(learn, lambda teacher, student, x: (teacher(x) - student(x)).abs().mean())


def test_a_part_of_weight_0_is_left_out() -> None:
    seek, _ = updates("dfq", statistics=0, one_hot=0, balance=0)
    assert [term.name for term in seek.terms] == ["adversary"]


def test_the_adversary_is_not_the_teacher_itself() -> None:
    """A public implementation passes the teacher as the student, so that its adversarial term is 0."""
    (term,) = updates("dfad")[0].terms
    assert (term.student, term.teacher) == ("student", None)
    assert float(torch.as_tensor(term.weight(0))) == -1  # type: ignore[operator]
