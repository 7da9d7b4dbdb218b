"""One step's mathematics, against formulas written out by hand."""

from __future__ import annotations

import copy
import io
import socket

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch, as_batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.schedules import Linear
from limbeck.core.terms import Term
from limbeck.objectives import (
    Contrastive,
    HardTargets,
    Hint,
    RKDDistance,
    SimilarityPreserving,
    SoftTargets,
    Variational,
)
from limbeck.utils import distributed
from tests.core.networks import Net, X, Y, student, teacher


def hinton(s: Tensor, t: Tensor, T: float = 4) -> Tensor:
    return T**2 * (F.softmax(t / T, 1) * (F.log_softmax(t / T, 1) - F.log_softmax(s / T, 1))).sum(1)


HINTON = [Term(HardTargets(), weight=0.1), Term(SoftTargets(temperature=4), weight=0.9)]


def test_hintons_loss_and_gradient_are_the_formula():
    s, t = student(), teacher()
    losses = Criterion(HINTON, s, t)((X, Y))
    losses["loss"].backward()
    reference, fixed = copy.deepcopy(s), copy.deepcopy(t).eval()
    hard, soft = F.cross_entropy(reference(X), Y), hinton(reference(X), fixed(X)).mean()
    expected = 0.1 * hard + 0.9 * soft
    for name, value in {"hard_targets": hard, "soft_targets": soft, "loss": expected}.items():
        torch.testing.assert_close(losses[name], value)
    gradients = torch.autograd.grad(expected, list(reference.parameters()))
    for p, gradient in zip(s.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.grad, gradient)
    assert all(p.grad is None for p in t.parameters())


def test_the_teacher_stays_in_evaluation_mode_and_unchanged():
    class Surrounding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student, self.teacher = Net(), teacher()
            self.criterion = Criterion(HINTON, self.student, self.teacher)

    whole = Surrounding().train()
    before = copy.deepcopy(whole.teacher.state_dict())
    losses = [whole.train().criterion((X, Y))["soft_targets"] for _ in range(3)]
    assert not whole.teacher.training
    assert all(torch.equal(before[name], tensor) for name, tensor in whole.teacher.state_dict().items())
    assert len({loss.item() for loss in losses}) == 3  # the student's dropout is on
    assert not list(whole.criterion.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_student_is_yours(training):
    s = Net().train(training)
    s.norm.eval()
    criterion = Criterion(HINTON, s, teacher(), example=(X, Y))
    before = s.norm.running_mean.clone()
    criterion((X, Y))
    assert (s.training, s.body.training, s.norm.training) == (training, training, False)
    assert torch.equal(s.norm.running_mean, before)


def test_no_grad_builds_no_graph():
    s = Net()
    criterion = Criterion([Term(Hint(), student="body", teacher="body", adapter="linear")], s, teacher(), example=(X, Y))
    with torch.no_grad():
        assert not criterion((X, Y))["loss"].requires_grad
        forward_cache = ForwardCache(criterion.probes, as_batch(X), criterion.plan, set_modes=False)
        assert not forward_cache[criterion.terms[0].students[0]].requires_grad


def test_a_plain_loop_trains_student_and_adapters():
    s, t = Net(5), teacher()
    terms = [Term(HardTargets()), Term(Hint(), student="body", teacher="body", weight=10)]
    criterion = Criterion(terms, s, t, example=(X, Y))
    assert [p.shape for p in criterion.parameters()] == [(7, 5), (7,)]
    optimizer = torch.optim.SGD([*s.parameters(), *criterion.parameters()], lr=0.01)
    before = [p.detach().clone() for p in (*s.parameters(), *criterion.parameters())]
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        losses = criterion((X, Y))
        losses["loss"].backward()
        optimizer.step()
        values.append(losses["hint"].item())
    assert values[-1] < values[0] / 2
    assert not any(torch.equal(b, p) for b, p in zip(before, (*s.parameters(), *criterion.parameters()), strict=True))


def test_adapters_that_no_optimizer_knows_are_refused_every_time():
    criterion = Criterion([Term(Hint(), student="body", teacher="body")], student(), teacher())
    for _ in range(2):
        with pytest.raises(ValueError, match="Pass example=batch"):
            criterion((X, Y))


def test_a_term_of_weight_zero_is_not_computed_and_its_teacher_does_not_run():
    s, t = student(), teacher()
    criterion = Criterion([Term(HardTargets()), Term(SoftTargets(), weight=Linear(1, 0, finish=0.5))], s, t, example=(X, Y))
    t.runs = 0
    assert set(criterion((X, Y), progress=0.5)) == {"loss", "hard_targets"}
    assert t.runs == 0
    assert set(criterion((X, Y), progress=0.4)) == {"loss", "hard_targets", "soft_targets"}
    assert t.runs == 1


def test_a_loss_of_no_terms_at_all_is_refused():
    criterion = Criterion([Term(HardTargets(), weight=Linear(0, 1))], student())
    with pytest.raises(ValueError, match="all weights are zero at this point"):
        criterion((X, Y), progress=0)
    assert criterion((X, Y), progress=0.5)["loss"] > 0


def test_a_criterion_needs_terms_and_a_student():
    with pytest.raises(ValueError, match="at least one term"):
        Criterion([], student())
    with pytest.raises(ValueError, match="pass a student"):
        Criterion(HINTON)
    with pytest.raises(ValueError, match="unknown actor 'generator'"):
        Criterion(HINTON, student(), teacher(), generator="generator")
    s = student()
    with pytest.raises(ValueError, match="share parameters"):
        Criterion(HINTON, s, s)


def test_the_state_makes_a_round_trip():
    s, t = student(), teacher()
    terms = [Term(Variational(), student="body", teacher="body"), Term(Contrastive(negatives=4, dim=3))]
    batch = Batch({"default": X}, target=Y, index=torch.arange(6))
    first, second = (Criterion(terms, s, t, example=batch, samples=6, seed=seed) for seed in (0, 1))
    first(batch)
    assert first.state_dict().keys() == second.state_dict().keys()
    assert not torch.equal(first(batch)["loss"], second(batch)["loss"])
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(first(batch)["loss"], second(batch)["loss"], rtol=0, atol=0)


def test_closing_removes_all_hooks():
    s, t = student(), teacher()
    criterion = Criterion([Term(Hint(), student="body", teacher="body")], s, t, example=X)
    assert s.body._forward_hooks
    assert t.body._forward_hooks
    criterion.close()
    assert not any(m._forward_hooks for m in (*s.modules(), *t.modules()))


def test_a_criterion_is_copied_and_saved_with_its_models():
    s, t = student(), teacher()
    whole = nn.ModuleDict(
        {"student": s, "criterion": Criterion([Term(Hint(), student="body", teacher="body")], s, t, example=X)}
    )
    file = io.BytesIO()
    torch.save(whole, file)
    file.seek(0)
    expected = whole["criterion"](X)["loss"]
    for other in (copy.deepcopy(whole), torch.load(file, weights_only=False)):
        torch.testing.assert_close(other["criterion"](X)["loss"], expected)
        nn.init.zeros_(other["student"].body.weight)
        assert not torch.allclose(other["criterion"](X)["loss"], expected)
        torch.testing.assert_close(whole["criterion"](X)["loss"], expected)


def test_random_variants_are_drawn_anew_in_a_loop_of_your_own():
    widths = []

    def random(model, x, generator):
        widths.append(int(torch.randint(1000, (), generator=generator)))
        return model(x)

    criterion = Criterion(
        [Term(HardTargets(), student="@random")], actors=Actors({"student": trained(student(), variants={"random": random})})
    )
    for _ in range(4):
        criterion((X, Y))
    assert len(set(widths[-4:])) > 1


def gathered(pieces: int, piece: int) -> dict[str, Tensor]:
    """Gradients and state after two updates' worth of gathered losses on this rank's share of the batch."""
    s, t = student(), teacher()
    whole = Batch({"default": X}, target=Y, index=torch.arange(6))
    terms = [Term(Contrastive(negatives=4, dim=3)), Term(RKDDistance()), Term(SimilarityPreserving(), student="body"), *HINTON]
    criterion = Criterion(terms, s, t, example=whole, samples=6)
    rows = slice(piece * 6 // pieces, (piece + 1) * 6 // pieces)
    part = Batch({"default": X[rows]}, target=Y[rows], index=torch.arange(6)[rows])
    counts = distributed.all_reduce_sum(criterion.counts(part))
    for _ in range(2):
        criterion(part, counts=counts, gathered=True)["loss"].backward()
    parameters = [*s.parameters(), *criterion.parameters()]
    distributed.all_reduce_gradients(parameters)
    return {**{f"gradient {k}": p.grad for k, p in enumerate(parameters)}, **criterion.state_dict()}


def _rank(rank: int, port: int, folder: str) -> None:
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.save(gathered(2, rank), f"{folder}/{rank}.pt")
    distributed.exit_process(0)


@pytest.mark.slow
def test_two_ranks_give_the_gradients_and_memories_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (port, str(tmp_path)), nprocs=2)
    alone = gathered(1, 0)
    for rank in (0, 1):
        together = torch.load(tmp_path / f"{rank}.pt")
        assert together.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(
                together[name], value, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
            )


class TwoHeads(nn.Module):
    """Features and logits in a tuple, as many backbones return them."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(x), self.head(self.body(x))


@pytest.mark.parametrize("output", ["(1)", "head"])
def test_terms_without_a_tap_read_the_output_of_the_actor(output):
    two = TwoHeads()
    actors = Actors({"student": trained(two, output=output), "teacher": frozen(teacher())})
    criterion = Criterion(HINTON, actors=actors, example=(X, Y))
    reference = Criterion(
        HINTON, actors=Actors({"student": trained(nn.Sequential(two.body, two.head)), "teacher": frozen(teacher())})
    )
    torch.testing.assert_close(criterion((X, Y))["loss"], reference((X, Y))["loss"])
    with pytest.raises(ValueError, match="several could be its logits"):
        Criterion(HINTON, TwoHeads(), teacher(), example=(X, Y))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_student_and_a_criterion_of_another_precision_than_the_teacher(dtype):
    """As a loop leaves them that converts its module and the batch, and knows nothing of the teacher."""
    s, t = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3))
    x, y = torch.randn(16, 6), torch.arange(16) % 3
    terms = [Term(SoftTargets(temperature=2)), Term(Hint(), student="0", teacher="0", weight=2)]
    criterion = Criterion(terms, s, t, example=(x, y))
    expected = criterion((x, y))
    s.to(dtype)
    criterion.to(dtype)
    assert {parameter.dtype for parameter in criterion.parameters()} == {dtype}
    found = criterion((x.to(dtype), y))
    found["loss"].backward()
    for name, value in expected.items():
        torch.testing.assert_close(found[name].float(), value, rtol=3e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-3)
    for parameter in (*s.parameters(), *criterion.parameters()):
        assert parameter.grad is None or parameter.grad.isfinite().all()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in criterion.parameters())
    assert {parameter.dtype for parameter in t.parameters()} == {torch.float32}


def test_a_teacher_that_fails_after_the_first_step_is_named():
    student, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
    criterion = Criterion([Term(SoftTargets())], student, teacher)
    criterion((torch.ones(4, 3),))["loss"].backward()
    assert not criterion.objectives[0].validate  # so the second step is not looked at, unless its loss is not finite
    nn.init.constant_(teacher.weight, torch.nan)
    with pytest.raises(TermError, match=r"term 'soft_targets'.*the teacher signal holds NaN or infinity"):
        criterion((torch.ones(4, 3),))


def test_a_student_that_fails_is_not_put_down_to_the_teacher():
    student = nn.Linear(3, 2)
    criterion = Criterion([Term(SoftTargets())], student, nn.Linear(3, 2))
    criterion((torch.ones(4, 3),))
    nn.init.constant_(student.weight, torch.nan)
    assert criterion((torch.ones(4, 3),))["loss"].isnan()
