"""One step's mathematics, against formulas written out by hand."""

from __future__ import annotations

import copy
import io
import socket

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch, as_batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.item_weights import ItemWeight, TeacherConfidence
from limbeck.core.schedules import Linear
from limbeck.core.teachers import VirtualTeacher
from limbeck.core.terms import Term
from limbeck.models import resnet_cifar
from limbeck.objectives import (
    AttentionDistributions,
    AttentionScores,
    Contrastive,
    FeatureMapTransfer,
    HardTargets,
    HiddenCosine,
    HiddenStates,
    Hint,
    LogitMSE,
    RKDDistance,
    SelfAttentionRelations,
    SimilarityPreserving,
    SoftTargets,
    ValueRelation,
    Variational,
)
from limbeck.utils import distributed

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(6, 3, generator=GENERATOR)
Y = torch.tensor([0, 1, 2, 3, 0, 1])


class Net(nn.Module):
    """Two layers, dropout between them so that the mode shows, and a count of runs."""

    def __init__(self, width: int = 5, classes: int = 4, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.norm = nn.Linear(3, width), nn.BatchNorm1d(width)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(width, classes)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return self.head(self.drop(self.norm(self.body(x))))


def student() -> Net:
    return Net().eval()  # without dropout, so that formulas can be written out


def teacher() -> Net:
    return Net(7, seed=1).train()  # as it is left by who trained it


def hinton(s: Tensor, t: Tensor, T: float = 4) -> Tensor:
    return T**2 * (F.softmax(t / T, 1) * (F.log_softmax(t / T, 1) - F.log_softmax(s / T, 1))).sum(1)


HINTON = [Term(HardTargets(), weight=0.1), Term(SoftTargets(temperature=4), weight=0.9)]


# The value, and whose gradient


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


def test_an_adapted_hint_is_the_formula():
    s, t = student(), teacher()
    criterion = Criterion([Term(Hint(), student="body", teacher="body")], s, t, example=X)
    weight, bias = criterion.parameters()
    expected = (F.linear(s.body(X), weight, bias) - t.body(X)).square().mean()
    torch.testing.assert_close(criterion(X)["hint"], expected)


def test_adapters_that_no_optimizer_knows_are_refused_every_time():
    criterion = Criterion([Term(Hint(), student="body", teacher="body")], student(), teacher())
    for _ in range(2):
        with pytest.raises(ValueError, match="Pass example=batch"):
            criterion((X, Y))


def test_adapters_depend_on_the_seed_and_leave_torchs_generator_alone():
    def adapter(seed):
        return next(Criterion([Term(Hint(), student="body", teacher="body")], s, t, example=X, seed=seed).parameters())

    s, t = student(), teacher()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = adapter(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(first, adapter(0))
    assert not torch.equal(first, adapter(1))


def test_building_leaves_no_trace_in_normalisation():
    s, t = resnet_cifar(8), resnet_cifar(8, width=24)
    images = torch.rand(1, 3, 16, 16)  # a single item must do
    before = copy.deepcopy(s.state_dict()), copy.deepcopy(t.state_dict())
    criterion = Criterion([Term(Hint(), student="layer1", adapter="conv_bn")], s, t, example=images)
    norm = next(m for m in criterion.adapters.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.num_batches_tracked == 0
    assert norm.training
    for state, model in zip(before, (s, t), strict=True):
        assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


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


# Who counts


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
    expected = (hinton(s(X), t(X)) * TeacherConfidence()(s(X), t(X), None)).sum() / 6
    torch.testing.assert_close(sure, expected)


def test_no_gradient_passes_through_item_weights():
    class ByLoss(ItemWeight):
        def __call__(self, student, teacher, target):
            return F.cross_entropy(student, target, reduction="none")

    s = student()
    Criterion([Term(HardTargets(), item_weight=ByLoss())], s)((X, Y))["loss"].backward()
    reference = copy.deepcopy(s)
    losses = F.cross_entropy(reference(X), Y, reduction="none")
    expected = torch.autograd.grad((losses * losses.detach()).mean(), reference.head.weight)[0]
    torch.testing.assert_close(s.head.weight.grad, expected)


def test_item_weights_of_another_shape_are_refused():
    class Wrong(ItemWeight):
        def __call__(self, student, teacher, target):
            return torch.ones(len(student), 2)

    with pytest.raises(TermError, match=r"shape \(6, 2\) do not fit losses of shape \(6,\)"):
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


# Over time


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


# What is refused before the first step


def test_class_counts_that_differ_are_named_with_the_term_and_both_shapes():
    with pytest.raises(
        TermError, match=r"term 'soft_targets' \(student student, teacher teacher\).*4 classes and the teacher 6"
    ):
        Criterion(HINTON, student(), Net(classes=6), example=(X, Y))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Term(Hint(), student="bodi"), "unknown tap 'bodi'"),
        (Term(Hint(), student=("body", "head"), teacher="body"), "2 student taps and 1 teacher taps do not fit"),
        (Term(HardTargets(), trains=["studnet"]), "unknown actor among those the update trains 'studnet'; nearest: student"),
        (Term(Hint(), student="auto", teacher="body"), "'auto' chooses the taps of both sides"),
        (Term(SoftTargets(), student="auto", teacher=VirtualTeacher()), "'auto' chooses the taps of both sides"),
    ],
)
def test_terms_that_do_not_fit_are_refused(term, message):
    with pytest.raises(ValueError, match=message):
        Criterion([term], student(), teacher(), example=(X, Y))


def test_a_criterion_needs_terms_and_a_student():
    with pytest.raises(ValueError, match="at least one term"):
        Criterion([], student())
    with pytest.raises(ValueError, match="pass a student"):
        Criterion(HINTON)
    with pytest.raises(ValueError, match="unknown actor 'generator'"):
        Criterion(HINTON, student(), teacher(), generator="generator")
    s = student()
    with pytest.raises(ValueError, match="the same model is frozen too"):
        Criterion(HINTON, s, s)


# Terms and criteria


def test_terms_may_be_used_again():
    term = Term(Variational(), student="body", teacher="body")
    first = Criterion([term], student(), teacher(), example=X)
    second = Criterion([term], Net(9), Net(3, seed=2), example=X)  # other shapes
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    assert second(X)["loss"].isfinite()


def test_names_are_told_apart():
    terms = [Term(SoftTargets(temperature=T)) for T in (1, 2)] + [Term(SoftTargets(), name="mine")]
    losses = Criterion(terms, student(), teacher())(X)
    assert list(losses) == ["loss", "soft_targets.0", "soft_targets.1", "mine"]


def test_automatic_taps_share_the_weight():
    s, t, images = resnet_cifar(8), resnet_cifar(14, width=20), torch.rand(2, 3, 16, 16)
    criterion = Criterion([Term(Hint(), student="auto", weight=6)], s, t, example=images)
    assert criterion.chosen_taps == [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3")]
    losses = criterion(images)
    assert list(losses) == ["loss", "hint.layer1", "hint.layer2", "hint.layer3"]
    torch.testing.assert_close(losses["loss"], 2 * sum(losses[f"hint.layer{k}"] for k in (1, 2, 3)))


def texts(layers: int, width: int = 16, heads: int = 2) -> nn.Module:
    sizes = {"vocab_size": 20, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": 24}
    torch.manual_seed(layers)
    return transformers.BertModel(transformers.BertConfig(**sizes, num_hidden_layers=layers)).eval()


TOKENS = {"input_ids": torch.randint(1, 20, (3, 5), generator=GENERATOR), "attention_mask": torch.ones(3, 5, dtype=torch.long)}


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        (HiddenStates, "hidden"),
        (HiddenCosine, "hidden"),
        (FeatureMapTransfer, "hidden"),
        (AttentionScores, "scores"),
        (AttentionDistributions, "attention"),
        (ValueRelation, "values"),
    ],
)
def test_automatic_taps_of_texts_are_numbered_layers(objective, kind):
    terms = [Term(objective(), teacher="auto", weight=6)]
    criterion = Criterion(terms, texts(2), texts(3), example=TOKENS)
    assert criterion.chosen_taps == [(f"{kind}(1)", f"{kind}(2)"), (f"{kind}(2)", f"{kind}(3)")]
    losses, name = criterion(TOKENS), objective.name
    assert list(losses) == ["loss", f"{name}.1", f"{name}.2"]
    torch.testing.assert_close(losses["loss"], 3 * (losses[f"{name}.1"] + losses[f"{name}.2"]))
    by_hand = [Term(objective(), ours, theirs, weight=3) for ours, theirs in criterion.chosen_taps]
    torch.testing.assert_close(Criterion(by_hand, texts(2), texts(3), example=TOKENS)(TOKENS)["loss"], losses["loss"])


def test_automatic_taps_of_relations_take_queries_keys_and_values_of_a_layer_together():
    models = texts(2, width=24, heads=3), texts(4)
    criterion = Criterion([Term(SelfAttentionRelations(heads=4), student="auto")], *models, example=TOKENS)
    kinds = ("queries", "keys", "values")
    assert criterion.chosen_taps == [(f"{kind}({m})", f"{kind}({n})") for m, n in ((1, 2), (2, 4)) for kind in kinds]
    by_hand = Term(SelfAttentionRelations(heads=4), [f"{kind}(1)" for kind in kinds], [f"{kind}(2)" for kind in kinds])
    expected = Criterion([by_hand], *models, example=TOKENS)(TOKENS)["loss"]
    losses = criterion(TOKENS)
    assert list(losses) == ["loss", "self_attention_relations.1", "self_attention_relations.2"]
    torch.testing.assert_close(losses["self_attention_relations.1"], expected)


def test_automatic_taps_of_texts_build_an_adapter_a_layer():
    criterion = Criterion([Term(HiddenStates(), student="auto")], texts(2, width=8), texts(4), example=TOKENS)
    assert sum(isinstance(part, nn.Linear) for part in criterion.adapters.modules()) == 2
    with pytest.raises(ValueError, match=r"equal shapes .* are needed; `self_attention_relations`"):
        Criterion([Term(AttentionScores(), student="auto")], texts(2, heads=4), texts(4), example=TOKENS)


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


# Whom a term trains


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


def test_gradient_that_cannot_be_kept_apart_is_refused():
    term = Term(LogitMSE(), student="student", teacher="teacher", trains=["student"])
    with pytest.raises(TermError, match="gradient of student would reach generator too; train them in updates of their own"):
        play(trains=("student", "generator"), terms=[term])
    actors = Actors({"a": trained(student()), "b": trained(Net(seed=3)), "generator": trained(nn.Linear(2, 3))})
    with pytest.raises(TermError, match="the update trains 'b', the teacher, and 'generator' through it"):
        Criterion(
            [Term(LogitMSE(), student="a", teacher="b")],
            actors=actors,
            trains=("a", "b", "generator"),
            generator="generator",
            example=torch.randn(4, 2),
        )


# Several ranks


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
