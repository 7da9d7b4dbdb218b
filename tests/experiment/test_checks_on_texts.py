"""What is wrong with texts, tokenizers and the encoders that read them: one clear error each, before anything is trained."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch import nn

from limbeck import Distillation, Term, Training, objectives
from limbeck.data import Items, Questions, load_questions, per_actor_items, tokenize, tokenize_questions
from limbeck.engine import Settings, steps
from limbeck.models import get
from limbeck.recipe import Recipe
from limbeck.runs import run_recipe
from limbeck.tasks import MaskedLanguageModelling, QuestionAnswering, Task
from tests.data.tiny_tokenizers import byte_bpe, of_words
from tests.experiment.tiny_texts import WORDS, encoder, items, texts
from tests.runs.test_text_runs import teacher

transformers = pytest.importorskip("transformers")
QUICK = Training(length=steps(3), batch_size=4, settings=Settings(progress=False, trackers=()))


def check(train: Items, student: nn.Module, *terms: Term, teacher: nn.Module | None = None, **others: Any) -> None:
    """What `fit` does first; nothing is trained."""
    Distillation(student, teacher or encoder(), terms=list(terms) or None, training=QUICK, **others).check(train)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and encoders that recipes name."""
    folder = tmp_path_factory.mktemp("bad-texts")
    for name in ("train", "test"):
        written, labels = texts(24)
        pq.write_table(pa.table({"text": written, "label": labels}), folder / f"{name}.parquet")
        numbered = pa.table({"text": written, "label": [("no", "yes")[label] for label in labels]})
        pq.write_table(numbered, folder / f"{name}-words.parquet")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    teacher(folder / "teacher", words, transformers.BertForSequenceClassification, layers=3, hidden=16, tokens=16)
    return folder


def recipe(place: Path, kind: str = "", **changes: Any) -> Recipe:
    training = {"steps": 2, "batch_size": 8, "trackers": [], "threads": 1}
    data: dict[str, Any] = {
        "train": str(place / f"train{kind}.parquet"),
        "test": str(place / f"test{kind}.parquet"),
        "max_length": 16,
    }
    data["allow_shared_items"] = True
    content: dict[str, Any] = {
        "name": "bad",
        "data": data,
        "teacher": {"model": "transformers", "args": {"name_or_path": str(place / "teacher")}, "training": training},
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0, 2]}}},
        "terms": ["hard_targets"],
        "training": training,
    }
    return Recipe.from_dict(content | changes)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.runs.teacher.train_teacher", lambda *_, **__: pytest.fail("the teacher was trained first"))


# --- tokenizers ------------------------------------------------------------------------------------------------------


def parted() -> Items:
    written, labels = ["good film", "unable film"] * 4, [0, 1] * 4
    both = {"student": of_words([word for word in WORDS if word != "unable"]), "teacher": of_words(WORDS)}
    return tokenize(Items.from_tensors(written, labels), both, 16)


def test_tokenizers_that_part_are_refused_where_tokens_are_compared() -> None:
    hidden = Term(objectives.HiddenStates(), student="hidden(-1)", teacher="hidden(-1)")
    said = (
        r"term 'hidden_states' compares tokens one by one, .* differ at token 1 of item 1: student 'un' \+ '##able' …, teacher "
    )
    with pytest.raises(ValueError, match=said + r"'unable' \+ .*one tokenizer.*compare whole texts"):
        check(parted(), encoder(), hidden)
    for by_text in (objectives.SoftTargets(), objectives.HardTargets()):  # the class of a text has no tokens
        check(parted(), encoder(), Term(by_text))


def test_windows_of_as_many_tokens_are_refused_where_they_part() -> None:
    asked = Questions(("q",) * 8, ("the film",) * 8, ("the unable film",) * 8, ((("unable", 4),),) * 8)
    known = {"student": ["the", "un", "##able", "film"], "teacher": ["the", "unable", "fi", "##lm"]}
    train = per_actor_items({name: tokenize_questions(asked, of_words(words), 16, 2) for name, words in known.items()})
    reader = encoder(head="ForQuestionAnswering", vocab_size=12)
    said = r"term 'span_soft_targets' compares tokens one by one, .* differ at token 2 of window 0, of question q: "
    with pytest.raises(ValueError, match=said + r"student 'film' .*, teacher 'fi' \+ '##lm' …\. Give both one tokenizer"):
        check(train, reader, Term(objectives.SpanSoftTargets()), teacher=copy.deepcopy(reader), task=QuestionAnswering())


def test_a_vocabulary_of_another_model() -> None:
    few = encoder(vocab_size=7)
    with pytest.raises(
        ValueError,
        match=r"training data: the student \(Bert.*\) has a vocabulary of 7 tokens, and .* hold token 8, 'the'.*another",
    ):
        check(items(), few)
    with pytest.raises(
        ValueError, match=r"the teacher \(Bert.*\) has a vocabulary of 7 tokens, and .* hold token 11, 'unable'.*its own"
    ):
        check(parted(), encoder(), teacher=few)


# --- lengths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "limit"), [("Bert", 16), ("Roberta", 14)])
def test_texts_longer_than_the_positions(name: str, limit: int) -> None:
    model = encoder(name, **({"pad_token_id": 1} if name == "Roberta" else {}))
    said = (
        rf"training data: max_length={limit + 1}, and the student \({name}.*positions for {limit} tokens; set .* to {limit} or"
    )
    with pytest.raises(ValueError, match=said):
        check(items(limit + 1), model, teacher=encoder(max_position_embeddings=40))
    check(items(limit), model)


def test_a_tokenizer_that_is_not_the_teachers(place: Path, tmp_path: Path, untrained: None) -> None:
    """Its ids fit, and would mean other words to the model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "teacher")
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = len([word for word in words if word.startswith("[")])
    other = of_words([*words[special:][::-1]])
    other.save_pretrained(tmp_path / "tokenizer")
    data = recipe(place).data.model_dump() | {"tokenizer": str(tmp_path / "tokenizer")}
    with pytest.raises(
        ValueError, match=r"data.tokenizer: .* is not what the teacher reads: token \d+ is '.*' in the teacher's"
    ):
        run_recipe(recipe(place, data=data), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_recipe_longer_than_its_encoder(place: Path, tmp_path: Path, untrained: None) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "teacher")
    tokenizer.model_max_length = 512  # a tokenizer that does not know its model
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    data = recipe(place).data.model_dump() | {"max_length": 17, "tokenizer": str(tmp_path / "tokenizer")}
    with pytest.raises(ValueError, match=r"max_length=17, and the student .* set max_length to 16 or less"):
        run_recipe(recipe(place, data=data), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


# --- heads and layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "tap"),
    [("attention_distributions", "attention(-1)"), ("attention_scores", "scores(-1)"), ("value_relation", "values(-1)")],
)
def test_heads_that_do_not_match(place: Path, tmp_path: Path, untrained: None, objective: str, tap: str) -> None:
    other = transformers.BertConfig.from_pretrained(place / "teacher", num_attention_heads=2).to_dict()
    student = {"model": "transformers", "args": {"config": other}}
    terms = [{objective: {"student": tap, "teacher": tap}}]
    said = rf"term '{objective}' .*\(2, 2, .*\(2, 4, .*equal.*heads.*`self_attention_relations` \(MiniLM v2\)"
    with pytest.raises(ValueError, match=said):
        run_recipe(recipe(place, student=student, terms=terms), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    three = [f"{kind}(-1)" for kind in ("queries", "keys", "values")]
    relations = Term(objectives.SelfAttentionRelations(heads=8), student=tuple(three), teacher=tuple(three))
    check(items(), encoder(num_attention_heads=2), relations)  # what the message says to use


@pytest.mark.parametrize(
    ("student", "teacher", "said"),
    [
        ("hidden(9)", "hidden(-1)", r"term 'hidden_states', student: Bert.* has 2 layers: 1 to 2, or -1 to -2; got 9"),
        ("hidden(-1)", "hidden(9)", r"term 'hidden_states', teacher: Bert.* has 3 layers: 1 to 3, or -1 to -3; got 9"),
        ("scores(0)", "scores(1)", r"term 'hidden_states', student: Bert.* has 2 layers: 1 to 2, or -1 to -2; got 0"),
    ],
)
def test_a_layer_that_is_not_there(place: Path, tmp_path: Path, untrained: None, student: str, teacher: str, said: str) -> None:
    terms = [{"hidden_states": {"student": student, "teacher": teacher}}]
    with pytest.raises(ValueError, match=said):
        run_recipe(recipe(place, terms=terms), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


# --- empty texts -----------------------------------------------------------------------------------------------------


def with_empty() -> Items:
    written, labels = texts()
    written[3] = written[8] = "  "
    with pytest.warns(UserWarning, match=r"^2 of 12 items are empty texts \(the first: item 3\); leave them out"):
        return tokenize(Items.from_tensors(written, labels), of_words(WORDS), 16)


def test_empty_texts_are_counted() -> None:
    with_empty()
    with pytest.warns(UserWarning, match=r"1 of 2 items are empty texts \(the first: item 1\)"):
        tokenize(Items.from_tensors([("", "film"), ("", " ")]), of_words(WORDS), 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenize(Items.from_tensors(["film"]), of_words(WORDS), 16)


STATES = tuple(f"{kind}(-1)" for kind in ("queries", "keys", "values"))
COMPARED = [
    Term(objectives.HardTargets()),
    Term(objectives.SoftTargets()),
    Term(objectives.HiddenStates(), student="hidden(-1)", teacher="hidden(-1)"),
    Term(objectives.HiddenCosine(), student="hidden(-1)", teacher="hidden(-1)"),
    Term(objectives.AttentionDistributions(), student="attention(-1)", teacher="attention(-1)"),
    Term(objectives.SelfAttentionRelations(heads=4), student=STATES, teacher=STATES),
]


def test_empty_texts_neither_crash_nor_give_nan() -> None:
    job = Distillation(encoder, encoder(), terms=COMPARED, training=QUICK, control=False, allow_shared_items=True)
    student = job.fit(with_empty())
    assert all(bool(parameter.isfinite().all()) for parameter in student.parameters())
    assert job.evaluate(with_empty()).items == 12


def test_nothing_but_empty_texts_has_no_words_to_hide() -> None:
    with pytest.warns(UserWarning, match="8 of 8 items"):
        nothing = tokenize(Items.from_tensors([""] * 8), of_words(WORDS), 16)
    task: Task = MaskedLanguageModelling()
    model = encoder(head="ForMaskedLM")
    with pytest.raises(ValueError, match=r"training data: the texts hold no token that could be hidden; are they empty\?"):
        check(nothing, model, Term(objectives.HardTargets()), teacher=copy.deepcopy(model), task=task)


def test_without_special_tokens_an_empty_text_is_nothing() -> None:
    with (
        pytest.warns(UserWarning, match="1 of 2 items are empty"),
        pytest.raises(ValueError, match=r"item 1: an empty text has no tokens.*leave such items out"),
    ):
        tokenize(Items.from_tensors(["film", ""], [0, 1]), byte_bpe(special=False), 16)


# --- labels ----------------------------------------------------------------------------------------------------------


def test_labels_that_are_words_are_numbered_in_sorted_order(place: Path) -> None:
    train = recipe(place, "-words").items(recipe(place, "-words").data.train)
    assert train.class_names == ["no", "yes"]
    assert train.target is not None
    assert train.target[:4].tolist() == [0, 1, 0, 1]
    assert repr(train) == "Items(24, 24 labelled, classes=2 (0: no, 1: yes))"


def test_a_teacher_that_numbers_the_same_classes_otherwise(place: Path, tmp_path: Path, untrained: None) -> None:
    labels = {"id2label": {0: "yes", 1: "no"}, "label2id": {"yes": 0, "no": 1}}
    teacher = {"model": "transformers", "args": {"name_or_path": str(place / "teacher"), **labels}}
    said = (
        r"""training data: .* numbered 0 'no', 1 'yes', and those of the \w+ 0 'yes', 1 'no'; .*\["yes", "no"\], into classes"""
    )
    with pytest.raises(ValueError, match=said):
        run_recipe(recipe(place, "-words", teacher=teacher), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    same = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
    for kind, names in (("-words", same), ("", labels)):  # classes that are numbered only have no names to differ in
        args = {"name_or_path": str(place / "teacher"), **names}
        agreeing = recipe(place, kind, teacher={"model": "transformers", "args": args}, control=False)
        run_recipe(agreeing, tmp_path / f"run{kind}", progress=False)


def test_texts_without_labels(place: Path, tmp_path: Path, untrained: None) -> None:
    data = {
        "train": {"path": str(place / "train.parquet"), "label": False},
        "test": str(place / "test.parquet"),
        "max_length": 16,
    }
    with pytest.raises(
        ValueError, match=r"training data: the student needs labels for its control, .*set control: false, or: name the column"
    ):
        run_recipe(recipe(place, data=data), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_head_for_other_classes_than_the_data_has(place: Path) -> None:
    with pytest.raises(ValueError, match=r"teacher: its weights have other shapes than num_labels=3 .*ignore_mismatched_sizes"):
        get("transformers", name_or_path=str(place / "teacher"), num_labels=3)
    with pytest.warns(UserWarning, match="initialised randomly"):
        model = get("transformers", name_or_path=str(place / "teacher"), num_labels=3, ignore_mismatched_sizes=True)
    assert model.config.num_labels == 3  # type: ignore[union-attr]


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answers_outside_their_contexts_are_named(tmp_path: Path) -> None:
    ids, asked, contexts = ("a", "b", "c", "d"), ("who?",) * 4, ("the film",) * 4
    answers = ((("film", 4),), (("film", 3),), (("cow", 0),), (("film", -4),))
    with pytest.raises(ValueError, match=r"those of 3 questions do not stand .* \(b, c, d\); .*load_questions"):
        Questions(ids, asked, contexts, answers)
    rows = [
        {"id": one, "question": "who?", "context": text, "answers": {"text": [word], "answer_start": [start]}}
        for one, text, ((word, start),) in zip(ids, contexts, answers, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "q.parquet")
    with pytest.warns(UserWarning, match=r"3 answers do not .* \(questions b, c, d\): 2 were moved .*, 1 occur nowhere"):
        assert load_questions(tmp_path / "q.parquet").answer_texts == [["film"], ["film"], [], ["film"]]
