"""Windows of two tokenizers, as each actor reads them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.data import (
    Items,
    PerActorStorage,
    Questions,
    per_actor_items,
    tokenize,
    tokenize_questions,
)
from tests.data.text.contexts import ask, join, storage
from tests.data.tiny_tokenizers import byte_bpe, of_words

PIECES = of_words(["the", "film", "is", "un", "##able"])


WHOLE = of_words(["the", "fi", "##lm", "is", "unable"])


def both(asked: Questions, **options: Any) -> Items:
    return per_actor_items(
        {"student": tokenize_questions(asked, PIECES, **options), "teacher": tokenize_questions(asked, WHOLE, **options)}
    )


def test_different_tokens_of_equal_number_are_not_aligned() -> None:
    asked = join(ask("the is", question="is the"), ask("the unable film", question="the"))
    found = both(asked)
    ours, theirs = (found.for_actor(name).storage.lengths for name in ("student", "teacher"))
    assert ours is not None
    assert torch.equal(ours, theirs)  # type: ignore[arg-type]
    assert not found.storage.aligned
    said = "token 4 of window 1, of question q: student 'un' + '##able' …, teacher 'unable' + 'fi' …"
    assert found.storage.first_difference() == said
    part = found.select(torch.tensor([0])).storage
    assert part.aligned
    assert part.first_difference() is None


def test_different_tokens_of_the_question_are_not_aligned() -> None:
    found = both(ask("the is", question="unable film")).storage
    said = "token 1 of window 0, of question q: student 'un' + '##able' …, teacher 'unable' + 'fi' …"
    assert found.first_difference() == said


def test_different_windows_are_read_one_actor_at_a_time() -> None:
    found = both(ask("the unable unable unable unable is", question="the"), max_length=10, stride=2)
    assert len(found.for_actor("student")) > len(found.for_actor("teacher"))
    with pytest.raises(ValueError, match=r"token 4 of window 0, of question q: student 'un' .* one at a time only\. Give"):
        found.fetch(torch.tensor([0]))


def test_spaces_before_words_of_a_context_do_not_count() -> None:
    from tokenizers import processors

    strict, loose = (byte_bpe(["the film"] * 9) for _ in range(2))
    loose.backend_tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 1), trim_offsets=False, add_prefix_space=False
    )
    asked = ask("the film the film", question="the film")
    parts = {"student": tokenize_questions(asked, strict), "teacher": tokenize_questions(asked, loose)}
    assert not torch.equal(storage(parts["student"]).spans.values, storage(parts["teacher"]).spans.values)
    assert per_actor_items(parts).storage.aligned


def test_only_windows_are_combined() -> None:
    parts = dict.fromkeys(("student", "teacher"), tokenize(Items.from_tensors(["the film"]), PIECES))
    with pytest.raises(ValueError, match=r"expected windows of contexts.*tokenize\(items, \{'student'"):
        per_actor_items(parts).storage.first_difference()


def test_each_actor_reads_its_own_windows() -> None:
    asked = join(ask("the is", question="is the"), ask("the unable film", question="the"))
    found = both(asked)
    parts = {name: found.for_actor(name) for name in ("student", "teacher")}
    inputs = found.fetch(torch.tensor([1, 0]))
    for name, part in parts.items():
        expected = part.fetch(torch.tensor([1, 0]))
        assert all(torch.equal(inputs[name][key], expected[key]) for key in expected)
    chosen = found.select(torch.tensor([1]))
    assert len(chosen) == 1
    assert chosen.fetch(torch.tensor([0])).keys() == {"student", "teacher"}
    identity = per_actor(found).identity
    assert identity("student") == parts["student"].storage.identity()  # type: ignore[attr-defined]
    assert identity() == f"{identity('student')}+{identity('teacher')}"


def test_more_windows_of_one_actor_are_named() -> None:
    texts = ask("the is the is the is", question="the")
    short, long = (tokenize_questions(texts, PIECES, 9, stride) for stride in (2, 0))
    storage = PerActorStorage({"student": short, "teacher": long.select(torch.tensor([0]))})
    assert storage.first_difference() == f"{len(short)} windows for the student, 1 for the teacher"
    assert not storage.aligned
    assert not storage.same_items


def per_actor(items: Items) -> PerActorStorage:
    assert isinstance(items.storage, PerActorStorage)
    return items.storage
