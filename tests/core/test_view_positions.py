"""Signals of views of different lengths are compared position by position, in the order of those that count."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch, first_items
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.references import Reference
from limbeck.core.signals import LinearLogits, TopK
from limbeck.core.terms import Term
from limbeck.core.view_positions import match_positions
from limbeck.objectives import ForwardKL, HardTargets, Hint, SoftTargets
from limbeck.utils.registry import UnknownNameError

SOLUTION = Reference("teacher", view="solution")
OURS = torch.tensor([[0, 1, 1], [1, 0, 1]])
THEIRS = torch.tensor([[0, 0, 1, 0, 1], [1, 1, 0, 0, 0]])


def two_views(ours: Tensor | None = OURS, theirs: Tensor | None = THEIRS) -> Batch:
    given = {"default": ours, "solution": theirs}
    counted = {name: mask for name, mask in given.items() if mask is not None}
    return Batch({"default": torch.zeros(2, 3), "solution": torch.zeros(2, 5)}, counted=counted)


def test_the_ith_position_that_counts_meets_the_ith() -> None:
    signal = torch.arange(10.0).view(2, 5, 1)
    found = match_positions(signal, two_views(), SOLUTION, "default")[..., 0]
    assert found[OURS.bool()].tolist() == [2, 4, 5, 6]
    assert found[~OURS.bool()].tolist() == [2, 5]  # the first that counts, which is as finite as the others


def test_every_kind_of_token_logits_is_matched() -> None:
    dense = torch.randn(2, 5, 7)
    expected = match_positions(dense, two_views(), SOLUTION, "default")
    hidden, weight = torch.randn(2, 5, 4), torch.randn(7, 4)
    linear = match_positions(LinearLogits(hidden, weight), two_views(), SOLUTION, "default")
    torch.testing.assert_close(linear.dense(), match_positions(hidden @ weight.T, two_views(), SOLUTION, "default"))
    top = TopK(*dense.topk(2), dense.logsumexp(-1))
    found = match_positions(top, two_views(), SOLUTION, "default")
    assert found.tail.shape == (2, 3)
    assert torch.equal(found.values, expected.topk(2)[0])
    pooled = torch.randn(2, 4)
    assert match_positions(pooled, two_views(), SOLUTION, "default") is pooled  # has no positions


def test_a_view_without_counted_positions_has_those_of_the_default_view_or_counts_whole() -> None:
    signal = torch.randn(2, 3, 1)
    same = Batch({"default": torch.zeros(2, 3), "weak": torch.zeros(2, 3)}, mask=OURS)
    assert match_positions(signal, same, Reference("teacher", view="weak"), "default") is signal
    whole = Batch(two_views().inputs, counted={"solution": torch.tensor([[0, 1, 1, 1, 0]] * 2)})
    assert torch.equal(match_positions(signal.expand(2, 3, 5).mT, whole, SOLUTION, "default"), signal.expand(2, 3, 3).mT)


def test_different_numbers_of_positions_are_refused_with_item_and_both_counts() -> None:
    theirs = THEIRS.clone()
    theirs[1, 2] = 1
    message = "item 1 of the batch has 2 positions that count in view 'default' and 3 in view 'solution'"
    with pytest.raises(ValueError, match=message):
        match_positions(torch.randn(2, 5, 1), two_views(theirs=theirs), SOLUTION, "default")


@pytest.mark.parametrize("shape", [(2, 2, 5), (2, 4, 5, 5)])
def test_signals_without_one_entry_for_each_position_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(str(shape))}.*one entry for each position only"):
        match_positions(torch.randn(shape), two_views(), SOLUTION, "default")


# --- a term -----------------------------------------------------------------------------------------------------------


class Tokens(nn.Module):
    def __init__(self, seed: int, width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.head = nn.Embedding(9, width), nn.Linear(width, 9)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids))


IDS = Batch(
    {"default": torch.tensor([[1, 2, 3], [4, 5, 6]]), "solution": torch.tensor([[7, 8, 2, 0, 3], [4, 6, 1, 1, 1]])},
    target=torch.tensor([[1, 2, 3], [4, -100, 0]]),
    counted={"default": OURS, "solution": THEIRS},
)


def losses_of(term: Term, batch: Batch = IDS) -> Tensor:
    criterion = Criterion([term], Tokens(0), Tokens(1), example=batch)
    return criterion(batch)["loss"]


def test_a_term_averages_over_the_positions_of_the_students_view() -> None:
    s, t = Tokens(0)(IDS.inputs["default"]), Tokens(1)(IDS.inputs["solution"])
    rows = torch.tensor([0, 0, 1, 1])
    ours, theirs = s[rows, [1, 2, 0, 2]], t[rows, [2, 4, 0, 1]]
    expected = F.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), reduction="batchmean", log_target=True)
    for objective in (ForwardKL(), SoftTargets(temperature=1)):
        torch.testing.assert_close(losses_of(Term(objective, teacher="teacher#solution")), expected)
    swapped = losses_of(Term(ForwardKL(), student="student#solution", teacher="teacher#default"))
    ours, theirs = Tokens(0)(IDS.inputs["solution"])[rows, [2, 4, 0, 1]], Tokens(1)(IDS.inputs["default"])[rows, [1, 2, 0, 2]]
    expected = F.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), reduction="batchmean", log_target=True)
    torch.testing.assert_close(swapped, expected)


def test_labels_stand_at_the_positions_of_their_view() -> None:
    s = Tokens(0)(IDS.inputs["default"])
    expected = F.cross_entropy(s[[0, 0, 1, 1], [1, 2, 0, 2]], torch.tensor([2, 3, 4, 0]))
    torch.testing.assert_close(losses_of(Term(HardTargets())), expected)
    with pytest.raises(TermError, match=r"\(2, 3\).*\(2, 5\)|does not fit"):
        losses_of(Term(HardTargets(), student="student#solution"))


def test_hidden_states_of_two_views_are_compared_too() -> None:
    loss = losses_of(Term(Hint(), student="student:embed", teacher="teacher:embed#solution", adapter="none"))
    assert loss.isfinite()


def test_different_numbers_are_refused_before_the_first_step() -> None:
    wrong = Batch(IDS.inputs, counted={"default": OURS, "solution": torch.ones(2, 5)})
    with pytest.raises(TermError, match=r"term 'forward_kl'.*item 0 .* 2 positions .* 5 in view 'solution'"):
        losses_of(Term(ForwardKL(), teacher="teacher#solution"), wrong)


def test_counted_positions_go_with_the_batch() -> None:
    first = first_items(IDS, 1).to("cpu")
    assert torch.equal(first.counted["solution"], THEIRS[:1])
    assert first.mask is first.counted["default"]


# --- a privileged context ---------------------------------------------------------------------------------------------

ITEMS, SEPARATOR, PAD = 64, 64, 65
ANSWERS = torch.stack([torch.randperm(ITEMS, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)], 1)


class Reader(nn.Module):
    """Copies what its prompt says: at the i-th token after the separator it predicts the i-th token of the prompt."""

    def forward(self, ids: Tensor) -> Tensor:
        places = ids == SEPARATOR
        number = (places.cumsum(1).cumsum(1) - 1).clamp(min=0, max=ids.shape[1] - 1)
        return 20.0 * F.one_hot(ids.gather(1, number), 66)


class Learner(nn.Module):
    """Sees the question and the token before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(66, 64), nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 66))

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.embed(ids)
        return self.head(torch.cat([embedded[:, :1].expand_as(embedded), embedded], -1))


def privileged() -> Batch:
    """Question, separator, answer; the teacher's view begins with the solution, and padding of another length each time."""
    question, separator = torch.arange(ITEMS)[:, None], torch.full((ITEMS, 1), SEPARATOR)
    ours = torch.cat([question, separator, ANSWERS[:, :1]], 1)
    theirs = torch.full((ITEMS, 9), PAD)
    counted = torch.zeros(ITEMS, 9)
    for row in range(ITEMS):
        start = 2 + row % 4
        theirs[row, :2], theirs[row, start : start + 3] = ANSWERS[row], ours[row]
        counted[row, start + 1 : start + 3] = 1
    return Batch(
        {"default": ours, "solution": theirs}, counted={"default": torch.tensor([[0, 1, 1]] * ITEMS), "solution": counted}
    )


def accuracy(model: nn.Module, batch: Batch) -> float:
    return float((model(batch.inputs["default"])[:, 1:].argmax(-1) == ANSWERS).float().mean())


def test_a_student_learns_what_its_teacher_reads_in_a_longer_context() -> None:
    batch, student = privileged(), Learner()
    before = accuracy(student, batch)
    actors = Actors({"student": trained(student), "teacher": frozen(Reader())})
    criterion = Criterion([Term(ForwardKL(), teacher="teacher#solution")], actors=actors, example=batch)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        criterion(batch)["loss"].backward()
        optimizer.step()
    assert before < 0.05
    assert accuracy(student, batch) == 1.0


def test_a_view_that_the_source_lacks_is_refused() -> None:
    with pytest.raises((UnknownNameError, ValueError), match="view 'hint' is not among"):
        losses_of(Term(ForwardKL(), teacher="teacher#hint"))
