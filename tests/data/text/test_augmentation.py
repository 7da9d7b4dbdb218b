"""Altered copies of texts are functions of key, number and seed alone."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck.data import AugmentationReport, EmbeddingReplacements, Items, augment_texts, keyed_random, tokenize
from limbeck.data.content_keys import text_key
from limbeck.data.text.words import WordSpans
from tests.data.text.altered import ANSWERS, TEXTS, Fixed, copies_of, items_of, texts_of
from tests.data.tiny_tokenizers import wordpiece

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def one_by_one(text: str, copies: int, probability: float, seed: int) -> list[str]:
    """The copies of one text, computed word by word from the same draws."""
    words, made = WordSpans.of(text), [text]
    for number in range(copies):
        key = torch.tensor([text_key(text)])
        lucks = keyed_random.uniform(seed, key, number, "augment/chance", max(len(words), 1))[0].tolist()
        shares = keyed_random.uniform(seed, key, number, "augment/choice", max(len(words), 1))[0].tolist()
        altered: list[str | None] = []
        for word, luck, share in zip(words.words, lucks, shares, strict=False):
            options = ANSWERS.get(word, ())
            altered.append(options[int(share * len(options))] if options and luck < probability else None)
        if (copy := words.replace(altered)) not in made:
            made.append(copy)
    return made[1:]


@few
@given(
    texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5, unique=True),
    copies=st.integers(1, 6),
    probability=st.sampled_from([0.1, 0.4, 1.0]),
    seed=st.integers(0, 9),
)
def test_copies_are_those_of_a_loop_over_words(texts: list[str], copies: int, probability: float, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that none was altered
        made = copies_of(texts, copies=copies, probability=probability, seed=seed)
    for text in texts:
        assert [copy for _, copy in made[text]] == one_by_one(text, copies, probability, seed)


def test_originals_come_first_with_their_keys_and_copies_have_their_targets() -> None:
    items = items_of(TEXTS)
    made = augment_texts(items, Fixed(), copies=4, probability=0.7)
    assert texts_of(made)[: len(items)] == TEXTS
    assert torch.equal(made.keys[: len(items)], items.keys)
    assert made.classes == items.classes
    assert len(made) > 2 * len(items)
    assert len(set(made.keys.tolist())) == len(made)  # no copy for any other, nor for an original
    assert made.target is not None
    for text, row in zip(texts_of(made), made.target.tolist(), strict=True):
        assert len(WordSpans.of(text)) == len(WordSpans.of(TEXTS[row]))
    assert augment_texts(Items.from_tensors(TEXTS), Fixed()).target is None


@few
@given(order=st.permutations(range(len(TEXTS))), kept=st.integers(1, len(TEXTS)))
def test_copies_do_not_depend_on_other_items(order: list[int], kept: int) -> None:
    everything = copies_of(TEXTS, copies=5)
    some = [TEXTS[row] for row in order[:kept]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert copies_of(some, copies=5) == {text: everything[text] for text in some}


def test_copies_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = copies_of(TEXTS)
    monkeypatch.setattr("limbeck.data.text.augmentation.CHUNK", 2)
    assert copies_of(TEXTS) == expected


def test_more_copies_keep_the_earlier_ones() -> None:
    fewer, more = copies_of(TEXTS, copies=3), copies_of(TEXTS, copies=9)
    for text in TEXTS:
        assert more[text][: len(fewer[text])] == fewer[text]
    assert sum(map(len, more.values())) > sum(map(len, fewer.values())) > 0


def test_another_seed_gives_other_copies() -> None:
    assert copies_of(TEXTS, seed=1) == copies_of(TEXTS, seed=1) != copies_of(TEXTS, seed=2)
    one, other = (dict(copies_of(["bad " * 30], seed=seed, copies=1)["bad " * 30]) for seed in (1, 2))
    assert one.keys().isdisjoint(other)  # another text under the same number has another key


def test_equal_copies_are_dropped_and_counted() -> None:
    told: list[AugmentationReport] = []
    made = augment_texts(items_of(["late", "late film"]), Fixed(), copies=50, probability=0.5, report=told.append)
    assert sorted(texts_of(made)[2:]) == sorted(
        ["tardy", *(f"{a} {b}" for a in ("late", "tardy") for b in ("film", "movie", "cinema") if (a, b) != ("late", "film"))]
    )
    assert told == [AugmentationReport(items=2, copies=6, dropped=94, cached=False)]


def test_probability_zero_alters_nothing() -> None:
    provider, told = Fixed(), list[AugmentationReport]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = augment_texts(items_of(TEXTS), provider, copies=3, probability=0, report=told.append)
    assert texts_of(made) == TEXTS
    assert provider.asked == 0
    assert told == [AugmentationReport(len(TEXTS), 0, 3 * len(TEXTS), False)]


def test_probability_one_replaces_every_word_that_has_candidates() -> None:
    for copies in copies_of(TEXTS, probability=1, copies=8).values():
        assert not {word for _, text in copies for word in WordSpans.of(text).words} & ANSWERS.keys()


def test_words_are_replaced_with_the_probability_and_uniformly() -> None:
    text = " ".join(["bad"] * 500)
    (copies,) = copies_of([text], probability=0.3, copies=20).values()
    words = [word for _, copy in copies for word in copy.split()]
    assert words.count("bad") / len(words) == pytest.approx(0.7, abs=0.02)
    for option in ANSWERS["bad"]:
        assert words.count(option) / len(words) == pytest.approx(0.3 / 4, abs=0.015)


def test_both_texts_of_a_pair_are_altered() -> None:
    pairs = [("bad film", "Good film."), ("good", "bad"), ("bad", "good")]
    made = copies_of(pairs, copies=8, probability=0.5)
    for pair, copies in made.items():
        assert all(isinstance(copy, tuple) and len(copy) == 2 for _, copy in copies)
        for side in (0, 1):
            assert {copy[side] for _, copy in copies} - {pair[side]}
    words = copies_of(["bad film"], copies=8, probability=1)["bad film"]
    assert {text for _, text in words} != {pair[0] for _, pair in copies_of(pairs, copies=8, probability=1)[pairs[0]]}
    assert len({key for copies in made.values() for key, _ in copies}) == sum(map(len, made.values()))


def test_altered_items_are_tokenized() -> None:
    made = tokenize(augment_texts(items_of(TEXTS), Fixed(), copies=2), wordpiece(), 16)
    assert len(made.fetch(torch.tensor([len(made) - 1]))["input_ids"]) == 1


def test_no_items_and_no_candidates() -> None:
    assert len(augment_texts(items_of([]), Fixed(), cache=None)) == 0
    with pytest.warns(UserWarning, match="none of 7 texts was altered: none of their words has candidates"):
        assert len(augment_texts(items_of(TEXTS), Fixed({}))) == len(TEXTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": 0}, "copies=0: expected 1 or more"),
        ({"probability": 1.5}, "probability=1.5: expected a number from 0 to 1"),
        ({"probability": float("nan")}, "probability=nan"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augment_texts(items_of(TEXTS), Fixed(), **options)


def test_items_that_are_not_texts_are_refused() -> None:
    for items in (Items.from_tensors(torch.rand(3, 2)), tokenize(items_of(TEXTS), wordpiece(), 16)):
        with pytest.raises(ValueError, match=r"expected texts, which are altered before tokenize"):
            augment_texts(items, Fixed())


def test_neighbours_are_computed_once_for_each_word() -> None:
    """However many texts and copies contain it; otherwise sixty thousand sentences would take hours instead of a minute."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklm", k=6)) for _ in range(300)]
    provider = EmbeddingReplacements(words, torch.randn(300, 8, generator=torch.Generator().manual_seed(0)))
    asked: list[str] = []
    learn = provider._find_neighbours

    def listened(new: Iterable[str]) -> None:
        asked.extend(known := list(new))
        learn(known)

    provider._find_neighbours = listened  # type: ignore[method-assign]
    texts = [" ".join(draw.choices(words, k=8)) for _ in range(1000)]
    made = augment_texts(items_of(texts), provider, copies=3)
    assert len(made) > 3500
    assert sorted(asked) == sorted({word for text in texts for word in text.split()})
