"""Modalities: registered by name, columns by type, NaN found with its row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, FieldStorage, Items, Modality, TableEncoder, load_fields, map_field, tokenize
from limbeck.data.fields import modalities, modality, with_reads
from limbeck.data.loading.raw_table import RawTable
from limbeck.utils.registry import UnknownNameError
from tests.data.loading.files import parquet
from tests.data.tiny_tokenizers import of_words
from tests.runs.test_modality_runs import WORDS, columns


def test_a_list_names_modalities_and_finds_their_columns_by_type(tmp_path: Path) -> None:
    path = parquet(tmp_path / "things.parquet", **columns(6))
    items = load_fields(path, ["audio", "image"], {"student": "audio", "teacher": "image"})
    batch = items.fetch(torch.arange(2))
    assert batch["audio"] is batch["student"]
    assert batch["image"].shape == (2, 1, 16, 16)
    assert items.target.tolist() == [0, 1] * 3


def test_a_column_is_named_where_several_fit(tmp_path: Path) -> None:
    path = parquet(tmp_path / "things.parquet", **columns(6))
    with pytest.raises(ValueError, match=r"which column is the field 'text'\? Name it.*these hold texts: caption, place"):
        load_fields(path, ["text", "image"], {})
    items = load_fields(path, {"text": {"text": {"column": "caption"}}, "image": "image"}, {"student": "text"})
    assert isinstance(items.storage, FieldStorage)
    assert items.for_actor("student").fetch(torch.tensor([1])) == ["a bright high tone"]
    with pytest.raises(ValueError, match="has no column 'captions'; nearest: caption"):
        load_fields(path, {"captions": "text", "image": "image"}, {})


def test_a_table_reads_what_no_other_field_does(tmp_path: Path) -> None:
    cells = columns(12)
    del cells["caption"]
    path = parquet(tmp_path / "things.parquet", **cells)
    items = load_fields(path, {"row": "table", "image": "image"}, {"student": "row", "teacher": "image"})
    encoder = TableEncoder.fit(items.for_actor("student"))
    assert (encoder.columns.numeric, encoder.columns.categorical) == (("pitch",), ("place",))
    encoded = map_field(items, "row", encoder)
    assert encoded.fetch(torch.arange(3))["student"].shape == (3, 5)  # two flags of missing values, two places
    assert encoded.for_actor("student").target.tolist() == [0, 1] * 6


def test_tokens_of_a_field_come_with_their_mask(tmp_path: Path) -> None:
    path = parquet(tmp_path / "things.parquet", **columns(6))
    items = load_fields(path, {"caption": "text", "image": "image"}, {"student": "caption", "teacher": "image"})
    items = map_field(items, "caption", lambda texts: tokenize(texts, of_words(WORDS), 8))
    batch = Dataset(items, batch_size=4).batch(BatchPosition(0))
    assert batch.mask is not None
    assert torch.equal(batch.mask, batch.inputs["default"]["student"]["attention_mask"].bool())
    assert torch.equal(modality("text").mask(batch.inputs["default"]["caption"]).bool(), batch.mask)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="field 'title': the fields of these items are: caption, image"):
        map_field(items, "title", lambda part: part)


def test_actors_of_other_names_say_what_they_read(tmp_path: Path) -> None:
    path = parquet(tmp_path / "things.parquet", **columns(6))
    items = load_fields(path, {"wave": "audio", "image": "image"}, {})
    assert items.for_actor("image").images
    with pytest.raises(ValueError, match="actor 'critic' reads none of the fields wave, image; give data with its field"):
        items.for_actor("critic")
    batch = items.fetch(torch.arange(2))
    assert set(batch) == {"wave", "image"}
    actors = Actors({"a": trained(torch.nn.Flatten(), reads="wave"), "b": frozen(torch.nn.Flatten(), reads="image")})
    assert [actor.reads for actor in actors.values()] == ["wave", "image"]


def test_a_modality_of_a_plugin_is_used_by_name(tmp_path: Path) -> None:
    class Lengths(Modality):
        """The number of characters of a text."""

        name: ClassVar[str] = "length"
        what: ClassVar[str] = "texts"

        def holds(self, table: RawTable, column: str) -> bool:
            return str(table.columns.schema.field(column).type) == "string"

        def decode(self, table: RawTable, columns: Sequence[str]) -> Items:
            lengths = [len(text) for text in table.columns[columns[0]].to_pylist()]
            return Items.from_tensors(torch.tensor(lengths, dtype=torch.float32)[:, None])

    modalities.register("length")(Lengths)
    path = parquet(tmp_path / "things.parquet", **columns(4))
    items = load_fields(path, {"caption": "length", "image": "image"}, {"student": "caption"})
    assert items.for_actor("student").fetch(torch.tensor([0])).tolist() == [[len("a dark low tone")]]


def test_wrong_modalities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown modality 'imag'; nearest: image"):
        modality("imag")
    with pytest.raises(ValueError, match=r"modality 'audio': .*n_mel"):
        modality({"audio": {"n_mel": 3}})
    with pytest.raises(ValueError, match="is no modality"):
        modality({"audio": {}, "image": {}})


def test_nan_is_found_with_its_row(tmp_path: Path) -> None:
    cells = columns(6)
    cells["pitch"][3] = float("nan")
    path = parquet(tmp_path / "things.parquet", **cells)
    with pytest.raises(ValueError, match="column 'pitch': row 3 holds nan"):
        load_fields(path, {"row": {"table": {"numeric": ["pitch"]}}, "image": "image"}, {})
    inputs = torch.rand(5, 2)
    inputs[2, 1] = torch.nan
    with pytest.raises(ValueError, match="inputs: row 2 holds nan"):
        Items.from_tensors(inputs)
    with pytest.raises(ValueError, match="inputs 'wave': row 2 holds nan"):
        Items.from_tensors({"image": torch.rand(5, 2), "wave": inputs})
    cells["vector"] = [[0.0, 1.0]] * 4 + [[0.0, float("nan")], [0.0, 1.0]]
    path = parquet(tmp_path / "things.parquet", **cells)
    with pytest.raises(ValueError, match="column 'vector': row 4 holds nan"):
        load_fields(path, {"vector": "array", "image": "image"}, {})


def test_reads_are_given_to_items_with_fields_and_to_mappings_of_tensors(tmp_path: Path) -> None:
    path = parquet(tmp_path / "things.parquet", **columns(6))
    items = load_fields(path, {"wave": "audio", "image": "image"}, {"teacher": "image"})
    read = with_reads(items, {"student": "wave", "critic": "image", "other": None})
    assert read.for_actor("student").modality == "audio"
    assert read.for_actor("critic").images
    assert read.for_actor("teacher").images
    tensors = Items.from_tensors({"wave": torch.rand(4, 5), "image": torch.rand(4, 1, 3, 3)}, [0, 1, 0, 1])
    read = with_reads(tensors, {"student": "wave", "teacher": "image"})
    assert read.for_actor("student").fetch(torch.arange(2)).shape == (2, 5)
    assert torch.equal(read.keys, tensors.keys)
    assert with_reads(tensors, {"student": None}) is tensors
    with pytest.raises(ValueError, match="student reads 'wav', which is none of the fields wave, image"):
        with_reads(tensors, {"student": "wav"})
    with pytest.raises(ValueError, match="student reads 'wave', and these items have no fields"):
        with_reads(Items.from_tensors(torch.rand(3, 2)), {"student": "wave"})


def test_two_tables_may_share_a_column_that_both_name_but_none_reads_the_label(tmp_path: Path) -> None:
    path = parquet(tmp_path / "things.parquet", **columns(6))
    both = {"small": {"table": {"numeric": ["pitch"]}}, "large": {"table": {"numeric": ["pitch"], "categorical": ["place"]}}}
    items = load_fields(path, both, {"student": "small", "teacher": "large"})
    assert TableEncoder.fit(items.for_actor("student")).columns.numeric == ("pitch",)
    assert TableEncoder.fit(items.for_actor("teacher")).columns.categorical == ("place",)
    for spec in ({"table": {"categorical": ["label"]}}, {"table": {"numeric": ["label"]}}):
        with pytest.raises(ValueError, match="the field 'row' reads column 'label', which is the label"):
            load_fields(path, {"row": spec, "image": "image"}, {})
