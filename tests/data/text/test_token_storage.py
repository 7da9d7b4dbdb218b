"""Storage of tokens of one tokenizer or of several."""

from __future__ import annotations

import torch

from limbeck.core.actors import actor_inputs, trained
from limbeck.core.batch import as_batch, select_rows
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, TokenStorage, evaluation_batches, tokenize
from limbeck.data.dataset import unaugmented_batch
from tests.data.text.tokens import everything, same, tokens, wordpiece_like
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, of_words, wordpiece

PAIRS = [("what is it?", CORPUS[0]), ("", CORPUS[1]), (CORPUS[2], ""), ("", "")]


TOKENIZER = wordpiece()


STUDENT = of_words(["the", "un", "##believ", "##able", "fox"])


TEACHER = of_words(["fox", "unbelievable", "the"])


def test_items_of_tokens_are_selected_split_and_batched() -> None:
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


def test_memory_of_sixty_thousand_sentences() -> None:
    done = tokens(tokenize(Items.from_tensors(["the fox " * 12] * 1000), of_words(["the", "fox"])))
    (encoding,) = done.encodings.values()
    assert encoding.type_ids is not None
    assert done.lengths.tolist() == [26] * 1000
    kept = [encoding.ids.values, encoding.ids.offsets, encoding.type_ids.values, encoding.type_ids.offsets, done.lengths]
    assert 60 * sum(part.nbytes for part in kept) < 10e6


def test_each_actor_reads_its_own_encoding() -> None:
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


def test_the_first_difference_of_two_encodings_is_named() -> None:
    items = Items.from_tensors(["the fox", "fox", "the fox unbelievable fox", "unbelievable"])
    done = tokenize(items, {"student": STUDENT, "teacher": TEACHER})
    assert not tokens(done).aligned
    expected = "token 3 of item 2: student 'un' + '##believ' …, teacher 'unbelievable' + 'fox' …"
    assert tokens(done).first_difference() == expected
    part = tokens(done.select(torch.tensor([1, 3])))
    assert part.first_difference() == "token 1 of item 1: student 'un' + '##believ' …, teacher 'unbelievable' + '[SEP]'"
    assert tokens(done.select(torch.tensor([1, 0]))).aligned
    assert part.lengths.tolist() == [3, 5]


def test_the_end_of_the_shorter_encoding_is_a_difference() -> None:
    short = wordpiece_like(STUDENT)
    from tokenizers import processors

    short.backend_tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    done = tokens(tokenize(Items.from_tensors(["the fox"]), {"student": short, "teacher": STUDENT}))
    assert done.first_difference() == "token 3 of item 0: student no more tokens, teacher '[SEP]'"


def test_spaces_before_words_do_not_count() -> None:
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


def test_the_first_id_that_differs_is_named() -> None:
    again = of_words(["the", "un", "##believ", "##able", "dog", "fox"])
    done = tokens(tokenize(Items.from_tensors(["the", "the fox"]), {"student": STUDENT, "teacher": again}))
    assert done.aligned
    assert done.first_id_difference() == "token 2 of item 1: student 'fox' (id 9), teacher 'fox' (id 10)"
    assert done.select(torch.tensor([0])).first_id_difference() is None


def test_one_encoding_under_several_names() -> None:
    one = tokens(tokenize(Items.from_tensors(CORPUS), TOKENIZER))
    assert one.for_actors(()) is one
    named = one.for_actors(("student", "teacher"))
    assert named.input_names == ("student", "teacher")
    assert named.for_actors(("a", "b")) is named
    assert named.aligned
    assert named.identity("teacher") == named.identity() == one.identity()
    inputs, expected = named.fetch(torch.arange(4)), one.fetch(torch.arange(4))
    assert same(inputs["student"], expected)
    assert same(inputs["teacher"], expected)
    assert same(named.select_input("teacher").fetch(torch.arange(4)), expected)


def test_texts_for_display() -> None:
    texts = [("what is it?", "The FOX."), ("who?", "")]
    done = tokens(tokenize(Items.from_tensors(texts), TOKENIZER))
    assert done.text(0) == "what is it?\nThe FOX."
    assert done.select(torch.tensor([1])).text(0) == "who?\n"
    assert done.tokenizer is TOKENIZER
    decoded = TokenStorage(done.encodings, done.identities)  # texts were not kept
    assert decoded.text(0) == TOKENIZER.decode(done.fetch(torch.tensor([0]))["input_ids"][0], skip_special_tokens=True)
