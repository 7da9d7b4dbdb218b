"""Predictions of a masked model, against a loop over words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from limbeck.data import MaskedModelReplacements
from limbeck.data.text.words import WordSpans, whole_word_tokens
from tests.data.text.word_replacements.models import FAMILIES, TEXTS, VOCABULARY, masked_model, parsed
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, of_words


def guessed(model: nn.Module, tokenizer: Any, words: WordSpans, number: int, count: int) -> tuple[str, ...]:
    """Algorithm 1 for one word of one text, over whole words."""
    start, end = words.spans[number]
    encoded = tokenizer(words.text, return_offsets_mapping=True, return_tensors="pt")
    places = [place for place, span in enumerate(encoded.offset_mapping[0].tolist()) if start <= span[0] < span[1] <= end]
    whole = whole_word_tokens(tokenizer)
    if len(places) != 1:
        return ()
    (place,) = places
    ids = encoded.input_ids.clone()
    own, ids[0, place] = int(ids[0, place]), tokenizer.mask_token_id
    if own not in whole:
        return ()
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, place]
    best = sorted((id for id in whole if id != own), key=lambda id: -float(logits[id]))[:count]
    return tuple(sorted(whole[id].title() if words.words[number].istitle() else whole[id] for id in best))


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_agree_with_a_loop_over_words(family: str) -> None:
    tokenizer = of_words(VOCABULARY)
    model, texts = masked_model(tokenizer, family), parsed(TEXTS)
    found = MaskedModelReplacements(model, tokenizer, count=4, batch_size=3)(texts)
    slow = [[guessed(model, tokenizer, text, number, 4) for number in range(len(text))] for text in texts]
    assert found == slow
    assert [list(map(len, text)) for text in found] == [[4] * 6, [4] * 5, [4, 4, 0, 0], [4], [], [], [0, 4, 4, 4]]


def test_predictions_do_not_depend_on_other_texts() -> None:
    tokenizer = of_words(VOCABULARY)
    masked = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=3)
    together = masked(parsed(TEXTS))
    for text, candidates in zip(TEXTS, together, strict=True):
        assert masked(parsed([text])) == [candidates]
    assert masked(parsed(TEXTS[::-1])) == together[::-1]
    assert masked([]) == []


def test_a_word_without_its_accent_is_no_candidate() -> None:
    tokenizer = of_words(VOCABULARY)
    (((candidates),),) = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=50)(parsed(["café"]))
    everything = set(whole_word_tokens(tokenizer).values())
    assert set(candidates) == everything - {"cafe"}


def test_spellings_in_other_case_count_once() -> None:
    """A vocabulary with capitals, whose model predicts GOOD, Good and good with the highest probability."""
    words = [each for word in ("good", "bad", "late", "fine") for each in (word, word.title(), word.upper())]
    tokenizer = byte_bpe([f" {word}" for word in words] * 3, size=400)
    spelled = whole_word_tokens(tokenizer)
    assert set(words) <= set(spelled.values())
    model = _fixed(tokenizer, {id: 9.0 if word.lower() in ("good", "bad") else 1.0 for id, word in spelled.items()})
    ((_, candidates),) = MaskedModelReplacements(model, tokenizer, count=3)(parsed(["late Bad"]))
    assert "Good" in candidates
    assert len(candidates) == len({word.lower() for word in candidates}) == 3


def _fixed(tokenizer: Any, biases: dict[int, float]) -> nn.Module:
    """A masked model with the same outputs for all inputs."""
    model = masked_model(tokenizer)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        for id, bias in biases.items():
            model.get_output_embeddings().bias[id] = bias  # type: ignore[operator]
    return model


def test_first_words_of_byte_level_vocabularies_have_candidates() -> None:
    """Without a space in front, the first word is split into other tokens than elsewhere."""
    tokenizer = byte_bpe(CORPUS, size=420)
    found = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=2)(parsed(["is that it", "it is"]))
    assert [list(map(len, text)) for text in found] == [[2, 2, 2], [2, 2]]


@pytest.mark.parametrize(("together", "passes"), [(1, 16), (2, 8), (3, 7), (100, 7)])
def test_words_masked_in_one_pass(together: int, passes: int) -> None:
    tokenizer = of_words(VOCABULARY)
    masked = MaskedModelReplacements(masked_model(tokenizer), tokenizer, together=together)
    made = list(masked._passes(parsed([" ".join(VOCABULARY[:16])])))
    assert len(made) == passes
    assert sorted(word for _, _, asked in made for _, word, _ in asked) == list(range(16))
    for ids, places, asked in made:
        assert (ids == tokenizer.mask_token_id).nonzero()[:, 0].tolist() == places == [word + 1 for _, word, _ in asked]
        assert all(later - earlier == passes for earlier, later in pairwise(places))


def test_words_beyond_max_length_have_no_candidates() -> None:
    tokenizer = of_words(VOCABULARY)
    masked = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=2, max_length=4)
    assert list(map(len, masked(parsed(["the film is good"]))[0])) == [2, 2, 0, 0]


def test_hooks_are_removed_and_identity_depends_on_model_and_options() -> None:
    tokenizer = of_words(VOCABULARY)
    model = masked_model(tokenizer)
    masked = MaskedModelReplacements(model.train(), tokenizer)
    masked(parsed(TEXTS))
    assert not model.training
    assert not model.get_output_embeddings()._forward_pre_hooks  # type: ignore[operator]
    same = MaskedModelReplacements(masked_model(tokenizer), of_words(VOCABULARY))
    assert same.identity == masked.identity
    changed = masked_model(tokenizer)
    with torch.no_grad():
        next(changed.parameters())[0, 0] += 1
    others = [
        MaskedModelReplacements(model, tokenizer, count=3),
        MaskedModelReplacements(model, tokenizer, together=2),
        MaskedModelReplacements(model, tokenizer, max_length=9),
        MaskedModelReplacements(changed, tokenizer),
    ]
    assert len({masked.identity, *(other.identity for other in others)}) == 5


def test_wrong_models_and_options_are_refused() -> None:
    tokenizer = of_words(VOCABULARY)
    model = masked_model(tokenizer)
    for name in ("count", "together", "batch_size"):
        with pytest.raises(ValueError, match=f"{name}=0: expected 1 or more"):
            MaskedModelReplacements(model, tokenizer, **{name: 0})
    with pytest.raises(ValueError, match=r"the model 8 embeddings: they do not belong together"):
        MaskedModelReplacements(masked_model(tokenizer, rows=8), tokenizer)
    with pytest.raises(ValueError, match="has no mask token; choose a masked language model"):
        MaskedModelReplacements(model, of_words(VOCABULARY, mask_token=None))
    with pytest.raises(ValueError, match="no token that is a whole word"):
        MaskedModelReplacements(model, of_words(["##s", "!"]))
