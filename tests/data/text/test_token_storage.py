"""Texts as tokens: against the tokenizer's own padding, and what holds between several tokenizers."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.core.actors import actor_inputs, trained
from limbeck.core.batch import as_batch, select_rows
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, TokenStorage, evaluation_batches, tokenize
from limbeck.data.dataset import unaugmented_batch
from limbeck.data.text.tokenizer_alignment import vocabulary_difference
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, of_words, wordpiece

PAIRS = [("what is it?", CORPUS[0]), ("", CORPUS[1]), (CORPUS[2], ""), ("", "")]


def tokens(items: Items) -> TokenStorage:
    assert isinstance(items.storage, TokenStorage)
    return items.storage


def everything(items: Items) -> Any:
    return items.fetch(torch.arange(len(items)))


def same(ours: dict[str, Tensor], theirs: Any) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("texts", [CORPUS, [*CORPUS, ""], PAIRS], ids=["texts", "with an empty one", "pairs"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("make", [wordpiece, byte_bpe])
def test_a_batch_is_what_the_tokenizer_makes_of_it(texts: list[Any], side: str, make: Any) -> None:
    tokenizer = make(padding_side=side, pad_token_type_id=1)
    items = Items.from_tensors(texts, [0] * len(texts))
    done = tokenize(items, tokenizer)
    assert torch.equal(done.keys, items.keys)
    assert done.target is items.target
    assert not done.images
    for rows in ([0], [2, 1], list(range(len(texts)))):
        expected = tokenizer([texts[row] for row in rows], padding="longest", return_tensors="pt")
        assert same(done.fetch(torch.tensor(rows)), expected)
    batch = unaugmented_batch(done, torch.tensor([1, 0]))
    assert batch.mask is not None
    assert batch.mask.dtype == torch.bool
    assert batch.mask.sum(1).tolist() == tokens(done).lengths[[1, 0]].tolist()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.integers(3, 20), st.integers(1, 9))
def test_any_text_within_any_length(texts: list[str], max_length: int, multiple: int) -> None:
    tokenizer = TOKENIZER
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = tokenize(Items.from_tensors(texts), tokenizer, max_length, multiple=multiple)
    ours = everything(done)
    expected = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    mask = ours["attention_mask"].bool()
    assert [row[real].tolist() for row, real in zip(ours["input_ids"], mask, strict=True)] == expected
    width, longest = mask.shape[1], max(map(len, expected))
    assert longest <= width <= max_length
    assert width == max_length or (width % multiple == 0 and width - longest < multiple)


TOKENIZER = wordpiece()


def test_what_is_too_long_is_cut_and_counted_once() -> None:
    items = Items.from_tensors([*CORPUS, "fox"])
    with pytest.warns(
        UserWarning, match=r"^4 of 5 items \(80.0%\) are longer than max_length=6 tokens and were cut$"
    ) as caught:
        done = tokenize(items, TOKENIZER, max_length=6)
    assert len(caught) == 1
    assert tokens(done).lengths[:4].tolist() == [6] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = tokenize(items, TOKENIZER)
        tokenize(items, TOKENIZER, max_length=int(tokens(whole).lengths.max()))  # just long enough
    named = {"student": TOKENIZER, "teacher": byte_bpe()}
    with pytest.warns(UserWarning, match=r"student: 4 of 5 items .*; teacher: 4 of 5 items"):
        tokenize(items, named, max_length=6)


def test_of_a_pair_the_longer_text_is_cut() -> None:
    items = Items.from_tensors([("the fox", "the dog " * 20)])
    with pytest.warns(UserWarning, match="1 of 1 items"):
        done = tokenize(items, of_words(["the", "fox", "dog"]), max_length=10)
    assert everything(done)["token_type_ids"].tolist() == [[0] * 4 + [1] * 6]


def test_items_of_tokens_are_items() -> None:
    items = tokenize(Items.from_tensors([*CORPUS, *PAIRS[0]], torch.arange(6) % 2), TOKENIZER)
    rows = torch.tensor([5, 0, 3])
    chosen = items.select(rows)
    assert same(everything(chosen), items.fetch(rows))
    assert torch.equal(tokens(chosen).lengths, tokens(items).lengths[rows])
    assert len(items.split(0.5)[0]) == 3
    batches = list(evaluation_batches(items, 4))
    assert [batch.size for batch in batches] == [4, 2]
    assert [batch.mask.shape[1] for batch in batches if batch.mask is not None] == [
        int(tokens(items).lengths[part].max()) for part in (slice(0, 4), slice(4, 6))
    ]
    assert set(Dataset(items, batch_size=2).batch(BatchPosition(0)).inputs["default"]) == set(everything(items))


def test_sixty_thousand_sentences_take_a_few_megabytes() -> None:
    done = tokens(tokenize(Items.from_tensors(["the fox " * 12] * 1000), of_words(["the", "fox"])))
    (encoding,) = done.encodings.values()
    assert encoding.types is not None
    assert done.lengths.tolist() == [26] * 1000
    kept = [encoding.ids.values, encoding.ids.offsets, encoding.types.values, encoding.types.offsets, done.lengths]
    assert 60 * sum(part.nbytes for part in kept) < 10e6


# --- two tokenizers ---------------------------------------------------------------------------------------------------


def test_the_same_tokenizer_twice_is_one_encoding() -> None:
    again = copy.deepcopy(TOKENIZER)
    again(CORPUS, truncation=True, max_length=5, padding=True)  # leaves its settings in the backend
    done = tokens(tokenize(Items.from_tensors(CORPUS), {"student": TOKENIZER, "teacher": again}))
    assert done.input_names == ()
    assert done.aligned
    assert done.first_difference() is None
    assert same(done.fetch(torch.arange(4)), tokenize(Items.from_tensors(CORPUS), TOKENIZER).fetch(torch.arange(4)))
    assert done.identity() == done.identity("teacher") == done.identity("student")


def test_vocabularies_that_differ_where_no_text_goes_are_one_encoding_too() -> None:
    items = Items.from_tensors(["the fox", "fox the"])
    named = {"student": of_words(["the", "fox", "dog"]), "teacher": of_words(["the", "fox", "cat"])}
    done = tokens(tokenize(items, named))
    assert done.input_names == ()
    assert done.identity("student") != done.identity("teacher")
    assert done.identity("teacher") == tokens(tokenize(items, named["teacher"])).identity()
    other = tokens(tokenize(Items.from_tensors(["the dog"]), named))
    assert other.input_names == ("student", "teacher")
    assert other.aligned


def test_token_types_or_padding_of_ones_own_keep_both() -> None:
    items = Items.from_tensors(CORPUS)
    for teacher in (wordpiece_like(TOKENIZER, types=False), wordpiece_like(TOKENIZER, padding_side="left")):
        done = tokenize(items, {"student": TOKENIZER, "teacher": teacher})
        assert tokens(done).input_names == ("student", "teacher")
        assert tokens(done).aligned
        assert same(everything(done)["teacher"], teacher(CORPUS, padding="longest", return_tensors="pt"))


def wordpiece_like(tokenizer: Any, types: bool = True, **options: Any) -> Any:
    """The same tokens with other surroundings."""
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)[5:]
    return of_words(vocabulary, types, **options)


def test_each_actor_reads_its_own() -> None:
    done = tokenize(Items.from_tensors(CORPUS), {"teacher": TOKENIZER, "student": byte_bpe()})
    inputs = everything(done)
    assert list(inputs) == ["teacher", "student"]
    actor = trained(torch.nn.Identity(), reads="teacher")
    assert same(actor_inputs(actor, "teacher", inputs), everything(tokenize(Items.from_tensors(CORPUS), TOKENIZER)))
    batch = unaugmented_batch(done, torch.arange(4))
    assert batch.mask is not None
    assert torch.equal(batch.mask, inputs["student"]["attention_mask"].bool())
    assert torch.equal(as_batch({"inputs": inputs}).mask, inputs["student"]["attention_mask"])  # type: ignore[arg-type]
    assert batch.size == 4
    assert torch.equal(select_rows(inputs, torch.tensor([2]))["student"]["input_ids"], inputs["student"]["input_ids"][[2]])


STUDENT = of_words(["the", "un", "##believ", "##able", "fox"])
TEACHER = of_words(["fox", "unbelievable", "the"])


def test_where_two_encodings_part_is_named() -> None:
    items = Items.from_tensors(["the fox", "fox", "the fox unbelievable fox", "unbelievable"])
    done = tokenize(items, {"student": STUDENT, "teacher": TEACHER})
    assert not tokens(done).aligned
    expected = "token 3 of item 2: student 'un' + '##believ' …, teacher 'unbelievable' + 'fox' …"
    assert tokens(done).first_difference() == expected
    part = tokens(done.select(torch.tensor([1, 3])))
    assert part.first_difference() == "token 1 of item 1: student 'un' + '##believ' …, teacher 'unbelievable' + '[SEP]'"
    assert tokens(done.select(torch.tensor([1, 0]))).aligned
    assert part.lengths.tolist() == [3, 5]


def test_one_encoding_may_go_on_where_the_other_ends() -> None:
    short = wordpiece_like(STUDENT)
    from tokenizers import processors

    short.backend_tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    done = tokens(tokenize(Items.from_tensors(["the fox"]), {"student": short, "teacher": STUDENT}))
    assert done.first_difference() == "token 3 of item 0: student nothing more, teacher '[SEP]'"


def test_a_space_before_a_word_is_no_difference() -> None:
    loose = byte_bpe(["the fox"] * 9)
    strict = byte_bpe(["the fox"] * 9)
    from tokenizers import processors

    loose.backend_tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 1), trim_offsets=False, add_prefix_space=False
    )
    spans = [made("the fox", return_offsets_mapping=True)["offset_mapping"] for made in (loose, strict)]
    assert spans[0] != spans[1]
    strict.add_tokens(["zebra"])
    done = tokens(tokenize(Items.from_tensors(["the fox", "the zebra"]), {"student": loose, "teacher": strict}))
    assert (done.first_mismatches["teacher"] < 0).tolist() == [True, False]


def test_a_third_tokenizer_is_compared_with_the_first() -> None:
    items = Items.from_tensors(["fox", "the unbelievable fox"])
    done = tokens(tokenize(items, {"a": TEACHER, "b": wordpiece_like(TEACHER), "c": STUDENT}))
    assert done.input_names == ("a", "b", "c")
    assert done.encodings["a"] is done.encodings["b"]
    assert done.first_difference() == "token 2 of item 1: a 'unbelievable' + 'fox' …, c 'un' + '##believ' …"


def test_other_ids_of_the_same_words_are_named() -> None:
    again = of_words(["the", "un", "##believ", "##able", "dog", "fox"])
    done = tokens(tokenize(Items.from_tensors(["the", "the fox"]), {"student": STUDENT, "teacher": again}))
    assert done.aligned
    assert done.first_id_difference() == "token 2 of item 1: student 'fox' (id 9), teacher 'fox' (id 10)"
    assert done.select(torch.tensor([0])).first_id_difference() is None


def test_the_first_token_in_which_vocabularies_differ_is_named() -> None:
    ours, theirs = {"[PAD]": 0, "the": 1, "The": 2, "x": 3}, {"[PAD]": 0, "The": 1, "the": 2}
    expected = "token 1 is 'The' in the teacher's vocabulary and 'the' in the student's"
    assert vocabulary_difference(ours, theirs) == expected
    assert vocabulary_difference(ours, dict(reversed(ours.items()))) is None
    more = "token 4 is no token in the teacher's vocabulary and 'y' in the student's"
    assert vocabulary_difference(ours | {"y": 4}, ours) == more
    twice = "token 3 is 'alias' in the teacher's vocabulary and 'x' in the student's"
    assert vocabulary_difference(ours, ours | {"alias": 3}) == twice


# --- identity ---------------------------------------------------------------------------------------------------------


def test_the_identity_names_what_the_tokens_depend_on() -> None:
    items = Items.from_tensors(["the fox"])

    def identity(tokenizer: Any, max_length: int = 128) -> str:
        return tokens(tokenize(items, tokenizer, max_length)).identity()

    words = ["the", "fox"]
    base = identity(of_words(words))
    assert base == identity(of_words(words)) == tokens(tokenize(Items.from_tensors(CORPUS), of_words(words))).identity()
    others = [
        identity(of_words(words), 64),
        identity(of_words(["fox", "the"])),
        identity(of_words(words, types=False)),
        identity(of_words(words, padding_side="left")),
        identity(of_words(words, truncation_side="left")),
        identity(of_words(words, pad_token="[UNK]")),
        identity({"student": of_words(words), "teacher": of_words([*words, "dog"])}),
        identity({"student": of_words([*words, "dog"]), "teacher": of_words(words)}),
    ]
    assert len({base, *others}) == 9


def test_changing_a_tokenizer_later_changes_nothing() -> None:
    tokenizer = of_words(["the", "fox"])
    done = tokenize(Items.from_tensors(["the fox", "fox"]), tokenizer)
    before, identity = everything(done), tokens(done).identity()
    tokenizer.padding_side = "left"
    tokenizer.add_tokens(["dog"])
    assert same(everything(done), before)
    assert tokens(done).identity() == identity


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_tokenizers_that_cannot_be_used() -> None:
    items = Items.from_tensors(CORPUS)
    short = of_words(["the"], model_max_length=64)
    with pytest.raises(ValueError, match="max_length=128: the tokenizer goes up to 64 tokens; set max_length to 64 or less"):
        tokenize(items, short)
    with pytest.raises(ValueError, match="max_length=128: the teacher's tokenizer goes up to 64 tokens"):
        tokenize(items, {"student": TOKENIZER, "teacher": short})
    with pytest.raises(ValueError, match=r"max_length=2: the tokenizer adds 2 special tokens.*set max_length to 3 or more"):
        tokenize(items, TOKENIZER, max_length=2)
    with pytest.raises(ValueError, match=r"the tokenizer has no padding token; set tokenizer.pad_token"):
        tokenize(items, byte_bpe(pad_token=None))
    with pytest.raises(ValueError, match=r"the student's tokenizer \(function\) is not a fast one"):
        tokenize(items, {"student": lambda text: text, "teacher": TOKENIZER})
    with pytest.raises(ValueError, match="multiple=0: expected 1 or more"):
        tokenize(items, TOKENIZER, multiple=0)


def test_items_that_are_no_texts_or_empty_ones() -> None:
    with pytest.raises(ValueError, match="expected texts, as load_items reads"):
        tokenize(Items.from_tensors(torch.rand(3, 2)), TOKENIZER)
    with pytest.raises(ValueError, match="item 1: nothing is left to read of an empty text"):
        tokenize(Items.from_tensors(["the fox", ""]), byte_bpe(special=False))
    with pytest.raises(ValueError, match=r"tokenize\(items, tokenizer\)"):
        next(evaluation_batches(Items.from_tensors(["the fox"])))
