"""Masked language modelling: judged token by token against a loop, and DistilBERT's triple loss from a recipe to a verdict."""

from __future__ import annotations

import copy
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from limbeck import runs
from limbeck.core.criterion import Criterion
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, Masking, MaskingVocabulary, tokenize
from limbeck.evaluation import Predictions, load_predictions
from limbeck.evaluation.statistics import interval
from limbeck.models import load_model
from limbeck.models.shrink import init_from_teacher
from limbeck.objectives import get
from limbeck.recipe import Recipe
from limbeck.recipe.schema.terms import TermSpec
from limbeck.tasks import MaskedLanguageModelling
from tests.data.tiny_tokenizers import of_words
from tests.runs.test_text_runs import teacher

transformers = pytest.importorskip("transformers")
ANIMALS = {"cow": "moo", "cat": "meow", "dog": "woof", "duck": "quack", "sheep": "baa", "owl": "hoot"}
PLACES = {"here": "near", "there": "far"}
WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "says", "and", "it", "is"),
    *ANIMALS,
    *ANIMALS.values(),
    *PLACES,
    *PLACES.values(),
]
TRIPLE = [
    {"forward_kl": {"temperature": 2, "weight": 5}},
    {"hard_targets": {"weight": 2}},
    {"hidden_cosine": {"student": "hidden(-1)", "teacher": "hidden(-1)"}},
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sentences(count: int, seed: int) -> list[str]:
    """Every word but the names of places tells another one."""
    draw, texts = random.Random(seed), []
    for _ in range(count):
        said = [f"the {animal} says {ANIMALS[animal]}" for animal in draw.sample(list(ANIMALS), draw.randrange(1, 4))]
        place = draw.choice(list(PLACES))
        texts.append(" and ".join([*said, f"it is {place} {PLACES[place]}"]))
    return texts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked")
    for name, count, seed in (("train", 400, 0), ("test", 60, 1)):
        pq.write_table(pa.table({"text": sentences(count, seed), "source": ["made"] * count}), folder / f"{name}.parquet")
    teacher(folder / "teacher", WORDS, transformers.BertForMaskedLM, layers=3, hidden=32, tokens=32)
    return folder


@pytest.fixture(scope="module")
def items(place: Path) -> Items:
    return tokenize(Items.from_tensors(sentences(30, 2)), transformers.AutoTokenizer.from_pretrained(place / "teacher"), 32)


@pytest.fixture(scope="module")
def model(place: Path) -> nn.Module:
    return load_model(place / "teacher")


def one_by_one(model: nn.Module, items: Items, task: MaskedLanguageModelling) -> list[tuple[int, int, float]]:
    """The hidden tokens of each text, those found and the nats of all, a text and a token at a time."""
    masking, rows = Masking(MaskingVocabulary.of(items.storage.tokenizer), task.share), []  # type: ignore[attr-defined]
    for row in range(len(items)):
        one = torch.tensor([row])
        inputs, target = masking(items.fetch(one), items.keys[one], stream="evaluation")
        with torch.no_grad():
            logits = model(**inputs).logits[0].double().numpy()
        assert target is not None
        hidden, found, nats = 0, 0, 0.0
        for place, word in enumerate(target[0].tolist()):
            if word >= 0:
                powers = [math.exp(value) for value in logits[place]]
                hidden, found = hidden + 1, found + int(max(range(len(powers)), key=powers.__getitem__) == word)
                nats -= math.log(powers[word] / sum(powers))
        rows.append((hidden, found, nats))
    return rows


def test_figures_are_those_of_a_loop_over_texts_and_tokens(items: Items, model: nn.Module) -> None:
    task = MaskedLanguageModelling()
    slow = np.array(one_by_one(model, items, task))
    outputs = task.outputs(model, items)
    assert outputs.shape == (len(items), 3)  # never the logits themselves
    assert outputs.numpy() == pytest.approx(slow, abs=1e-4)
    assert torch.equal(task.outputs(model, items)[:, :2], outputs[:, :2])  # the hidden tokens never change
    hidden, found, nats = slow.sum(0)
    figures = task.compute_metrics(outputs, items)
    expected = {"masked_accuracy": found / hidden, "masked_cross_entropy": nats / hidden}
    assert figures == pytest.approx(expected | {"masked_perplexity": math.exp(nats / hidden)}, rel=1e-5)
    assert hidden / sum(int(length) - 2 for length in items.storage.lengths) == pytest.approx(0.15, abs=0.05)  # type: ignore[union-attr]


def test_other_tokens_are_named_before_any_is_hidden(place: Path) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(place / "teacher")
    both = {"student": of_words([word for word in WORDS[5:] if word != "cow"]), "teacher": theirs}
    items = tokenize(Items.from_tensors(["the says", "it is the cow", "the cow"]), both, 32)
    said = r"student and teacher read other tokens, token 4 of item 1: student '\[UNK\]' \(id 1\), teacher 'cow' \(id 10\);"
    with pytest.raises(ValueError, match=said):
        MaskedLanguageModelling().view(items, ())


def test_a_text_is_judged_alike_whatever_stands_beside_it(items: Items, model: nn.Module) -> None:
    task, some = MaskedLanguageModelling(), torch.tensor([7, 3, 20])
    whole = task.outputs(model, items, batch_size=500)
    assert torch.allclose(task.outputs(model, items.select(some), batch_size=8), whole[some], atol=1e-5)


def test_intervals_resample_texts_and_divide_sums(items: Items, model: nn.Module) -> None:
    generator = np.random.default_rng(0)
    for metric, column in (("masked_accuracy", 1), ("masked_cross_entropy", 2)):
        task = MaskedLanguageModelling(metric)
        outputs = task.outputs(model, items)
        answers = Predictions(**task.to_predictions([outputs, outputs], items))
        parts = answers.item_statistics(task.metric)
        assert parts.shape == (2, len(items), 2)
        value, (low, high) = interval(parts, value=task.metric.from_means)
        rows = outputs.double().numpy()
        assert value == pytest.approx(rows[:, column].sum() / rows[:, 0].sum())
        drawn = [rows[generator.integers(len(rows), size=len(rows))].sum(0) for _ in range(4000)]
        ratios = [draw[column] / draw[0] for draw in drawn]
        spread = np.percentile(ratios, [2.5, 97.5])
        assert (low, high) == pytest.approx(tuple(spread), abs=0.1 * (spread[1] - spread[0]))


def test_what_cannot_be_modelled_is_refused(items: Items, place: Path) -> None:
    task = MaskedLanguageModelling()
    encoder = transformers.AutoModelForSequenceClassification.from_pretrained(place / "teacher")
    with pytest.raises(ValueError, match=r"test data: the student .*needs logits of tokens .*AutoModelForMaskedLM"):
        task.check(encoder, items, "student", "test data")
    with pytest.raises(ValueError, match="reads texts as tokens"):
        task.check(encoder, Items.from_tensors(torch.rand(4, 3)), "student", "test data")
    with pytest.raises(ValueError, match=r"training\.views"):
        task.view(items, ["horizontal_flip"])
    with pytest.raises(ValueError, match="is no metric of masked_language_modelling"):
        MaskedLanguageModelling("accuracy")


def test_the_triple_loss_is_that_of_its_parts(items: Items, model: nn.Module) -> None:
    """5 T² KL at all real tokens, 2 cross entropies of hidden tokens, 1 cosine: each a mean over what it counts."""
    student = init_from_teacher(model, [0, 2])
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    source = Dataset(items, batch_size=8, views={"default": MaskedLanguageModelling().view(items, [])})
    batch = source.batch(BatchPosition(0))
    assert batch.mask is not None
    assert batch.target is not None
    criterion = Criterion(
        [TermSpec.model_validate(copy.deepcopy(term)).build() for term in TRIPLE], student, model, example=batch
    )
    losses = criterion.eval()(batch)
    inputs, mask = batch.inputs["default"], batch.mask.bool()
    ours, theirs = (net(**inputs, output_hidden_states=True) for net in (student, model))
    log_p, log_q = (net.logits[mask].div(2).log_softmax(-1) for net in (theirs, ours))
    soft = 4 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    hidden = batch.target != -100
    hard = nn.functional.cross_entropy(ours.logits[hidden], batch.target[hidden])
    states = [net.hidden_states[-1] for net in (ours, theirs)]
    distance = 1 - nn.functional.cosine_similarity(*states, dim=-1)
    cosine = torch.stack([row[real].mean() for row, real in zip(distance, mask, strict=True)]).mean()
    torch.testing.assert_close(losses["loss"], 5 * soft + 2 * hard + cosine, rtol=1e-4, atol=1e-5)
    losses["loss"].backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in student.bert.parameters())


@pytest.mark.parametrize("name", ["forward_kl", "masked_kl"])
def test_padding_and_tokens_that_do_not_count_get_exactly_nothing(name: str) -> None:
    torch.manual_seed(0)
    teacher_logits, mask = torch.randn(2, 4, 5), torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    target = torch.tensor([[-100, 2, -100, 1], [0, -100, -100, -100]])
    student = torch.randn(2, 4, 5).masked_fill_(mask[..., None] == 0, torch.nan).requires_grad_()
    loss = get(name, temperature=3)(student, teacher_logits, target=target, mask=mask)
    counted = mask.bool() if name == "forward_kl" else mask.bool() & (target != -100)
    loss.sum().backward()
    gradient: Tensor = student.grad  # type: ignore[assignment]
    assert not loss[~counted].any()
    assert not gradient[~counted].any()
    for place in counted.nonzero().tolist():
        ours, theirs = (logits[tuple(place)].div(3).softmax(-1) for logits in (student.detach(), teacher_logits))
        slow = 9 * sum(float(p) * math.log(float(p) / float(q)) for p, q in zip(theirs, ours, strict=True))
        assert float(loss[tuple(place)].detach()) == pytest.approx(slow, rel=1e-4)
        assert gradient[tuple(place)] == pytest.approx((3 * (ours - theirs)).numpy(), abs=1e-5)
    with pytest.raises(ValueError, match=f"{name}: the mask"):
        get(name)(student, teacher_logits, target=target, mask=mask[:, :3])


def recipe(place: Path, **changes: Any) -> Recipe:
    training = {"epochs": 4, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 3e-3}, "trackers": [], "threads": 1}
    content: dict[str, Any] = {
        "name": "tiny-masked",
        "task": "masked_language_modelling",
        "data": {
            "train": {"path": str(place / "train.parquet"), "input": "text"},
            "test": {"path": str(place / "test.parquet"), "input": "text"},
            "validation": 0.1,
            "max_length": 32,
        },
        "teacher": {
            "model": "transformers",
            "args": {"name_or_path": str(place / "teacher"), "task": "AutoModelForMaskedLM"},
            "training": training | {"epochs": 25},
        },
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0, 2]}}},
        "terms": TRIPLE,
        "training": training,
    }
    return Recipe.from_dict(content | changes)


def test_distilbert_from_recipe_to_verdict(place: Path, tmp_path: Path) -> None:
    verdict = runs.run_recipe(recipe(place), tmp_path / "run", progress=False)
    assert verdict.metric.name == "masked_accuracy"
    assert verdict.items == 60  # texts, not tokens
    assert verdict.teacher is not None
    assert verdict.teacher.metric > 0.6  # of 24 words; most follow from the others
    assert verdict.student.metric > 0.5
    assert verdict.control is not None
    assert verdict.gain is not None
    kept = load_predictions(tmp_path / "run")["student"].scores
    assert kept is not None
    assert kept.shape == (1, 60, 2)
    plain = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / "student")
    ids = torch.tensor([[2, 5, 4, 6, 3]])
    assert plain.config.num_hidden_layers == 2
    assert torch.equal(plain(ids).logits, load_model(tmp_path / "run" / "student")(ids).logits)
    told = runs.evaluate_run(tmp_path / "run", str(place / "test.parquet"), input="text").as_json()
    assert told["masked_accuracy"] == pytest.approx(verdict.student.metric)


def test_hidden_tokens_alone_and_a_metric_of_which_less_is_better(place: Path, tmp_path: Path) -> None:
    weights = {"model": "transformers", "args": {"name_or_path": str(place / "teacher"), "task": "AutoModelForMaskedLM"}}
    changes = {
        "teacher": weights,
        "terms": ["hard_targets", {"masked_kl": {"temperature": 2}}],
        "metric": "masked_perplexity",
        "student": {"from_teacher": {"narrower": {"hidden": 16}}},
        "control": False,
    }
    verdict = runs.run_recipe(recipe(place, **changes), tmp_path / "run", progress=False)
    assert not verdict.metric.higher_is_better
    assert verdict.teacher is not None
    assert verdict.student.metric < verdict.teacher.metric  # the teacher knows nothing yet, labels tell more
    low, high = verdict.student.ci95
    assert 1 < low < verdict.student.metric < high
