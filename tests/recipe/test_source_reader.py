"""The files of a recipe's sources: data sets, and prompts as tokens of the run's tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.core.source import BatchPosition, named_sources
from limbeck.data.sources import DatasetFile, OwnSamples
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe.source_reader import SourceReader, check_source_data, source_data
from tests import tiny
from tests.recipe.texts import quick


def test_a_source_reads_a_data_set_as_the_recipe_reads_its_training_data():
    recipe = tiny.recipe()
    (source,) = named_sources(
        {"more": {"dataset": {"path": "digits", "split": "test", "label": False, "batch_size": 8}}}
    ).values()
    source.load(SourceReader(recipe.reader))
    assert isinstance(source, DatasetFile)
    assert source.samples == len(recipe.load().test)
    batch = source.batch(BatchPosition(0))
    assert batch.inputs["default"].shape == (8, 1, 8, 8)


def test_prompts_are_tokens_of_the_tokenizer_of_the_run(place: Path, tmp_path: Path):
    recipe = quick(place)
    tokenizer = load_tokenizer(str(place / "teacher"))
    (tmp_path / "prompts.txt").write_text("the film was great\nthe film\n", encoding="utf-8")
    for prompts in (str(tmp_path / "prompts.txt"), {"path": str(place / "test.parquet"), "limit": 3}):
        source = OwnSamples("student", prompts)
        source.load(SourceReader(recipe.reader))
        texts = ["the film was great", "the film"] if isinstance(prompts, str) else SourceReader(recipe.reader).texts(prompts)
        assert len(texts) == len(source.prompts.rows) == source.samples
        for text, row in zip(texts, source.prompts.rows, strict=True):
            ids = tokenizer(text)["input_ids"]
            assert row.tolist() == ids[:-1]  # without the token that ends every text
            assert ids[-1] == tokenizer.sep_token_id


def test_a_prompt_of_one_token_keeps_it():
    class Tokenizer:
        eos_token_id, sep_token_id = 2, None

        def __call__(self, texts):
            return {"input_ids": [[2] if not text else [*map(int, text), 2] for text in texts]}

    class Reader:
        tokenizer = Tokenizer()

    assert SourceReader(Reader()).tokenize(["", "34"]) == [[2], [3, 4]]


def test_data_without_texts_is_refused():
    with pytest.raises(ValueError, match="digits holds no texts"):
        SourceReader(tiny.recipe().reader).texts("digits")


def test_fields_that_a_data_set_does_not_have_are_refused_with_the_recipe():
    assert source_data("digits").path == "digits"
    check_source_data(named_sources({"noise": {"generated": {"actor": "g"}}, "more": {"dataset": {"path": "x"}}}))
    for described in (
        {"dataset": {"path": "x", "limmit": 3}},
        {"own_samples": {"actor": "g", "prompts": {"path": "x", "limmit": 3}}},
    ):
        with pytest.raises(ValueError, match=r"sources\.more: limmit: there is no such field; nearest: limit"):
            check_source_data(named_sources({"more": described}))
    with pytest.raises(ValueError, match=r"sources\.more: limit: .*-1"):
        check_source_data(named_sources({"more": {"dataset": {"path": "x", "limit": -1}}}))
