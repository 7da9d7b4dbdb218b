"""The loss of one term, against formulas written out by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core import counted_items
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch, as_batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.schedules import Linear
from limbeck.core.term_loss import FEW, divided_sum
from limbeck.core.terms import Term
from limbeck.core.weighers import TeacherConfidence, Weigher
from limbeck.objectives import (
    HardTargets,
    Hint,
    LogitMSE,
    SoftTargets,
    Variational,
)
from tests.core.networks import Net, X, Y, student, teacher


def hinton(s: Tensor, t: Tensor, T: float = 4) -> Tensor:
    return T**2 * (F.softmax(t / T, 1) * (F.log_softmax(t / T, 1) - F.log_softmax(s / T, 1))).sum(1)


HINTON = [Term(HardTargets(), weight=0.1), Term(SoftTargets(temperature=4), weight=0.9)]


def test_an_adapted_hint_is_the_formula():
    s, t = student(), teacher()
    criterion = Criterion([Term(Hint(), student="body", teacher="body")], s, t, example=X)
    weight, bias = criterion.parameters()
    expected = (F.linear(s.body(X), weight, bias) - t.body(X)).square().mean()
    torch.testing.assert_close(criterion(X)["hint"], expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_adapters_work_in_the_precision_of_the_objectives(dtype):
    s, t = student().to(dtype), teacher().to(dtype)
    criterion = Criterion([Term(Variational(), student="body", teacher="body")], s, t, example=X.to(dtype))
    loss = criterion(X.to(dtype))["loss"]
    loss.backward()
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    assert loss.dtype is wide
    assert {p.dtype for p in criterion.parameters()} == {wide}
    assert all(p.grad is not None for p in criterion.parameters())


def test_adapters_take_what_mixed_precision_gives_them():
    criterion = Criterion([Term(Hint(), student="body", teacher="body")], student(), teacher(), example=X)
    forward_cache = ForwardCache(criterion.probes, as_batch(X), criterion.plan, autocast=torch.bfloat16)
    torch.testing.assert_close(criterion(X, forward_cache=forward_cache)["loss"], criterion(X)["loss"], rtol=0.05, atol=0.05)


def test_items_without_a_label_leave_the_average():
    s, t = student(), teacher()
    partly = torch.tensor([0, -100, 2, -100, 0, -100])
    losses = Criterion(HINTON, s, t)((X, partly))
    torch.testing.assert_close(losses["hard_targets"], F.cross_entropy(s(X)[::2], partly[::2]))
    torch.testing.assert_close(losses["soft_targets"], hinton(s(X), t(X)).mean())
    rows = F.one_hot(Y, 4).float() * torch.tensor([1.0, 0, 1, 0, 1, 0])[:, None]
    torch.testing.assert_close(Criterion(HINTON, s, t)((X, rows))["hard_targets"], F.cross_entropy(s(X)[::2], Y[::2]))


def test_a_batch_without_any_label_gives_zero_not_nan():
    losses = Criterion(HINTON, student(), teacher())((X, torch.full((6,), -100)))
    assert losses["hard_targets"] == 0
    assert losses["loss"] > 0


def test_item_weights_multiply_and_do_not_renormalise():
    s, t = student(), teacher()
    weight = torch.tensor([1.0, 2, 0, 0, 1, 1])
    losses = Criterion(HINTON, s, t)(Batch({"default": X}, target=Y, weight=weight))
    torch.testing.assert_close(losses["soft_targets"], (hinton(s(X), t(X)) * weight).sum() / 6)
    sure = Criterion([Term(SoftTargets(), item_weight=TeacherConfidence())], s, t)((X, Y))["loss"]
    expected = (hinton(s(X), t(X)) * TeacherConfidence().weigh([t(X)], None, s(X), 0.0)).sum() / 6
    torch.testing.assert_close(sure, expected)


def test_no_gradient_passes_through_item_weights():
    class ByLoss(Weigher):
        def weigh(self, signals, batch, student, progress):
            return F.cross_entropy(student, batch.target, reduction="none")

    s = student()
    Criterion([Term(HardTargets(), item_weight=ByLoss())], s)((X, Y))["loss"].backward()
    reference = copy.deepcopy(s)
    losses = F.cross_entropy(reference(X), Y, reduction="none")
    expected = torch.autograd.grad((losses * losses.detach()).mean(), reference.head.weight)[0]
    torch.testing.assert_close(s.head.weight.grad, expected)


def test_item_weights_of_another_shape_are_refused():
    class Wrong(Weigher):
        def weigh(self, signals, batch, student, progress):
            return torch.ones(len(student), 2)

    with pytest.raises(TermError, match=r"shape \(2, 2\) do not fit losses of shape \(2,\)"):
        Criterion([Term(HardTargets(), item_weight=Wrong())], student())((X, Y))


class Words(nn.Module):
    """Token logits [B, T, 5]."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.head(self.embed(input_ids))


def test_padding_leaves_the_average_of_tokens():
    s, t = Words(0), Words(1)
    tokens = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0]])
    mask = (tokens > 0).long()
    loss = Criterion([Term(SoftTargets(temperature=1))], s, t)({"input_ids": tokens, "attention_mask": mask})["loss"]
    each = F.kl_div(s(tokens).log_softmax(-1), t(tokens).softmax(-1), reduction="none").sum(-1)
    torch.testing.assert_close(loss, (each * mask).sum() / 4)
    other = tokens.masked_fill(mask == 0, 7)
    torch.testing.assert_close(
        Criterion([Term(SoftTargets(temperature=1))], s, t)({"input_ids": other, "attention_mask": mask})["loss"], loss
    )


def test_without_a_mask_every_token_counts_once():
    s, t, tokens = Words(0), Words(1), torch.randint(9, (2, 4))
    loss = Criterion([Term(SoftTargets(temperature=1))], s, t)(tokens)["loss"]
    each = F.kl_div(s(tokens).log_softmax(-1), t(tokens).softmax(-1), reduction="none").sum(-1)
    torch.testing.assert_close(loss, each.mean())


def test_tokens_without_a_label_leave_the_average():
    s, tokens = Words(0), torch.randint(9, (2, 4))
    labels = torch.tensor([[1, -100, 2, 3], [-100, -100, 4, 0]])
    loss = Criterion([Term(HardTargets())], s)((tokens, labels))["loss"]
    torch.testing.assert_close(loss, F.cross_entropy(s(tokens).flatten(0, 1), labels.flatten()))


def test_the_temperature_follows_its_schedule_and_no_other_term():
    s, t = student(), teacher()
    objective = SoftTargets(temperature=4)
    terms = [Term(objective, temperature=Linear(1, 9), name="moving"), Term(objective, name="still")]
    criterion = Criterion(terms, s, t)
    for progress, T in ((0, 1), (0.5, 5), (1, 9)):
        losses = criterion((X, Y), progress=progress)
        torch.testing.assert_close(losses["moving"], hinton(s(X), t(X), T).mean())
        torch.testing.assert_close(losses["still"], hinton(s(X), t(X), 4).mean())
    assert objective.temperature == 4


def test_a_pattern_averages_losses_and_counts_itself_out():
    peers = {f"peers.{k}": trained(Net(seed=k).eval()) for k in range(3)}
    criterion = Criterion(
        [Term(SoftTargets(), student="peers.*", teacher="peers.*")], actors=Actors(peers), trains=tuple(peers)
    )
    losses = criterion(X)
    said = [actor.model(X) for actor in peers.values()]
    torch.testing.assert_close(losses["soft_targets.peers.1"], (hinton(said[1], said[0]) + hinton(said[1], said[2])).mean() / 2)
    losses["soft_targets.peers.1"].backward()
    assert [peer.model.head.weight.grad is None for peer in peers.values()] == [True, False, True]


def play(*, trains, terms):
    actors = Actors({"student": trained(student()), "teacher": frozen(teacher()), "generator": trained(nn.Linear(2, 3))})
    return actors, Criterion(terms, actors=actors, trains=trains, generator="generator", example=torch.randn(4, 2))


def test_a_term_may_train_some_of_those_that_the_step_trains():
    actors = Actors({"a": trained(student()), "b": trained(Net(seed=3).eval()), "teacher": frozen(teacher())})
    terms = [Term(SoftTargets(), student="a", trains=["a"]), Term(LogitMSE(), student="b", trains=["a"])]
    Criterion(terms, actors=actors, trains=("a", "b"))(X)["loss"].backward()
    assert actors["a"].model.head.weight.grad.abs().sum() > 0
    assert actors["b"].model.head.weight.grad is None


def test_gradient_reaches_a_generator_through_student_and_teacher():
    actors, criterion = play(trains=("generator",), terms=[Term(LogitMSE(), student="student", teacher="teacher")])
    z, g = torch.randn(4, 2), actors["generator"].model
    found = torch.autograd.grad(criterion(z)["loss"], g.weight)[0]
    x = g(z)
    expected = torch.autograd.grad((actors["student"].model(x) - actors["teacher"].model(x)).square().mean(), g.weight)[0]
    torch.testing.assert_close(found, expected)


def test_a_mask_of_ones_changes_no_bit_of_loss_and_gradient(monkeypatch: pytest.MonkeyPatch):
    """Where all items have a label, which is looked at on a CPU, losses are not multiplied by a mask."""
    found = []
    for left_out in (True, False):
        monkeypatch.setattr(counted_items, "_can_be_left_out", lambda labels, left_out=left_out: left_out)
        s = student()
        criterion = Criterion(HINTON, s, teacher())
        losses = criterion((X, Y))
        counted = counted_items.count_items(criterion.losses, as_batch((X, Y)))
        assert (counted.masks[0] is None) is left_out
        losses["loss"].backward()
        found.append([*losses.values(), *(p.grad for p in s.parameters())])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_items_without_a_label_are_masked():
    criterion = Criterion(HINTON, student(), teacher(), example=(X, Y))
    labels = Y.clone()
    labels[1] = -100
    counted = counted_items.count_items(criterion.losses, as_batch((X, labels)))
    assert counted.masks[0].tolist() == [1.0, 0.0, *[1.0] * (len(Y) - 2)]
    assert [float(count) for count in counted.counts] == [len(Y) - 1, len(Y)]


@pytest.mark.parametrize("shape", [(1,), (7,), (4, 3), (FEW + 1,), (2, FEW)])
@pytest.mark.parametrize("as_mask", [True, False])
def test_the_mean_of_a_term_is_the_sum_of_its_losses_by_their_number(shape: tuple[int, ...], as_mask: bool):
    """Few losses are averaged by a product with a vector, many by a sum and a division."""
    losses = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    count = float(losses.numel() + 2)  # of a global batch, of which this is a part
    mean = divided_sum(losses, torch.tensor(count) if as_mask else count)
    mean.backward()
    assert mean.item() == pytest.approx(losses.sum().item() / count, rel=1e-12)
    assert losses.grad.sub(1 / count).abs().max() < 1e-12
