"""Loading: formats, columns, labels, sizes, and errors that say what to do."""

import io
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from limbeck.data import Items, load_items
from limbeck.data.content_keys import content_key

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def cell(pixels: np.ndarray, path: str | None = None) -> dict[str, Any]:
    return {"bytes": png(pixels), "path": path}


def parquet(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def everything(items: Items) -> Any:
    return items.fetch(torch.arange(len(items)))


def targets(items: Items) -> list[int]:
    assert items.target is not None
    return items.target.tolist()


CELLS = [cell(pixels) for pixels in PIXELS]
EXPECTED = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)


def test_digits() -> None:
    whole = load_items("digits")
    assert everything(whole).shape == (1797, 1, 8, 8)
    assert everything(whole).dtype == torch.uint8
    from sklearn.datasets import load_digits

    raw = load_digits()
    assert torch.equal(everything(whole)[:, 0], torch.from_numpy(np.round(raw.images * 255 / 16)).to(torch.uint8))
    assert targets(whole) == raw.target.tolist()
    train, test = load_items("digits", split="train"), load_items("digits", split="test")
    assert (len(train), len(test)) == (1198, 599)
    assert not set(train.keys.tolist()) & set(test.keys.tolist())
    assert load_items("digits", size=16, channels=3).fetch(torch.arange(2)).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="digits has the splits train and test"):
        load_items("digits", split="validation")


def test_parquet_of_images_and_class_names_beside_it(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0, 1, 2, 0, 1, None])
    (tmp_path / "classes.json").write_text('["cat", "dog", "eel", "fox"]')
    items = load_items(file)
    assert items.images
    assert torch.equal(everything(items), EXPECTED)
    assert targets(items) == [0, 1, 2, 0, 1, -100]
    assert items.class_names == ["cat", "dog", "eel", "fox"]
    assert items.classes == 4
    assert items.keys[0] == content_key(np.ascontiguousarray(PIXELS[0].transpose(2, 0, 1)))
    assert load_items(file, label=False).target is None


def test_images_over_the_memory_limit_are_decoded_when_fetched_and_are_the_same(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0] * 6)
    kept, lazy = load_items(file), load_items(file, memory_limit=100)
    rows = torch.tensor([4, 0, 4])
    for workers in (0, 3):
        assert torch.equal(lazy.fetch(rows, workers), kept.fetch(rows))
    assert torch.equal(lazy.select(rows).fetch(torch.arange(3)), kept.fetch(rows))
    assert lazy.fingerprint() == kept.fingerprint()


def test_csv_of_texts_with_names_for_labels(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('text,label\n"good, really",pos\nbad,neg\n"two\nlines",pos\n')
    items = load_items(file)
    assert everything(items) == ["good, really", "bad", "two\nlines"]
    assert targets(items) == [1, 0, 1]
    assert items.class_names == ["neg", "pos"]


def test_csv_of_image_paths(tmp_path: Path) -> None:
    for row in range(3):
        (tmp_path / f"{row}.png").write_bytes(png(PIXELS[row]))
    (tmp_path / "list.csv").write_text("path,class\n0.png,a\n1.png,b\n2.png,\n")
    items = load_items(tmp_path / "list.csv")
    assert torch.equal(everything(items), EXPECTED[:3])
    assert targets(items)[:2] == [items.class_names.index("a"), items.class_names.index("b")]  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_by_line_or_as_an_array(tmp_path: Path, suffix: str) -> None:
    rows = [{"sentence": "a", "label": 1}, {"sentence": "b", "label": 0}]
    file = tmp_path / f"a.{suffix}"
    file.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    items = load_items(file)
    assert everything(items) == ["a", "b"]
    assert targets(items) == [1, 0]


def test_lists_of_numbers_are_arrays(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", features=[[[1.0, 2.0]], [[3.0, 4.0]]], y=[0.0, 1.0])
    assert everything(load_items(file)).tolist() == [[[1, 2]], [[3, 4]]]
    assert targets(load_items(file)) == [0, 1]
    ragged = parquet(tmp_path / "b.parquet", features=[[1.0], [3.0, 4.0]], y=[0, 1])
    with pytest.raises(ValueError, match="lists of different lengths"):
        load_items(ragged)


def folder_of_images(root: Path) -> Path:
    for row, name in enumerate(["dog/b.png", "dog/a.PNG", "cat/z.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(PIXELS[row]))
    return root


def test_folder_of_images(tmp_path: Path) -> None:
    items = load_items(folder_of_images(tmp_path / "data"))
    assert items.class_names == ["cat", "dog"]
    assert targets(items) == [0, 1, 1]
    assert torch.equal(everything(items), EXPECTED[[2, 1, 0]])


def test_folder_of_images_with_splits(tmp_path: Path) -> None:
    folder_of_images(tmp_path / "train")
    folder_of_images(tmp_path / "test")
    assert len(load_items(tmp_path, split="train")) == 3
    with pytest.raises(ValueError, match="no split was named; set `split` to one of: test, train"):
        load_items(tmp_path)
    with pytest.raises(ValueError, match="split='val' is not there"):
        load_items(tmp_path, split="val")


def test_folder_of_tables(tmp_path: Path) -> None:
    parquet(tmp_path / "train-00000-of-00002.parquet", text=["a", "b"], label=[0, 1])
    parquet(tmp_path / "train-00001-of-00002.parquet", text=["c"], label=[1])
    parquet(tmp_path / "test.parquet", text=["d"], label=[1])
    assert everything(load_items(tmp_path, split="train")) == ["a", "b", "c"]
    assert everything(load_items(tmp_path, split="test")) == ["d"]
    with pytest.raises(ValueError, match="no split was named"):
        load_items(tmp_path)
    with pytest.raises(ValueError, match="is a single file and has no splits"):
        load_items(tmp_path / "test.parquet", split="train")


def test_what_datasets_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"pixels": datasets.Image(), "kind": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])}
    )
    rows = {"pixels": CELLS[:3], "kind": ["a"] * 3, "label": [1, 0, -1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": data, "test": data.select([2, 0])}).save_to_disk(str(tmp_path / "two"))
    data.to_parquet(str(tmp_path / "three.parquet"))
    for place in ({"name_or_path": tmp_path / "one"}, {"name_or_path": tmp_path / "three.parquet"}):
        items = load_items(**place)
        assert torch.equal(everything(items), EXPECTED[:3])
        assert targets(items) == [1, 0, -100]
        assert items.class_names == ["x", "y"]
    assert targets(load_items(tmp_path / "two", split="test")) == [-100, 1]
    with pytest.raises(ValueError, match="one of: test, train"):
        load_items(tmp_path / "two")


def test_a_hub_name_is_handed_to_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: data)
    assert targets(load_items("someone/something", split="train")) == [1, 0]

    def fail(name: str, split: str | None) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(FileNotFoundError, match=r"neither a file or folder here .* no network"):
        load_items("someone/something")


def test_missing_files_name_their_neighbours(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", text=["a"], label=[0])
    with pytest.raises(FileNotFoundError, match=r"trian.parquet; nearest names in .*: train.parquet"):
        load_items(tmp_path / "trian.parquet")
    with pytest.raises(FileNotFoundError, match=r"nearest names in .*: train.parquet"):
        load_items(tmp_path / "trian" / "deep" / "x.csv")


def test_an_unknown_format_and_a_broken_file_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"expected a folder of images or one of .*found '.xlsx'"):
        load_items(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"not a table")
    with pytest.raises(ValueError, match=r"a.parquet does not read as parquet"):
        load_items(tmp_path / "a.parquet")


def test_broken_images_are_named_and_counted_or_skipped(tmp_path: Path) -> None:
    cells = [*CELLS[:2], {"bytes": b"broken", "path": None}, CELLS[3], {"bytes": None, "path": None}]
    file = parquet(tmp_path / "a.parquet", image=cells, label=[0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"2 of 5 images do not decode, the first at .*a.parquet row 2.*on_error: skip"):
        load_items(file)
    with pytest.warns(UserWarning, match=r"2 of 5 images do not decode.*left out"):
        items = load_items(file, on_error="skip")
    assert targets(items) == [0, 1, 3]
    assert torch.equal(everything(items), EXPECTED[[0, 1, 3]])
    root = folder_of_images(tmp_path / "folder")
    (root / "dog" / "b.png").write_bytes(png(PIXELS[0])[:40])
    with pytest.raises(ValueError, match=r"the first at .*dog/b.png"):
        load_items(root)
    with pytest.raises(ValueError, match="on_error='ignore'"):
        load_items(root, on_error="ignore")  # type: ignore[arg-type]


def test_sizes_and_channels(tmp_path: Path) -> None:
    wide = np.zeros((5, 9, 3), dtype=np.uint8)
    wide[:, 2:7] = 200  # the centre that a square crop keeps
    file = parquet(tmp_path / "a.parquet", image=[CELLS[0], cell(wide)], label=[0, 1])
    with pytest.raises(ValueError, match=r"row 1 is 9×5 pixels, .*row 0 is 4×5; .*`size: 4`"):
        load_items(file)
    items = load_items(file, size=5)
    assert everything(items).shape == (2, 3, 5, 5)
    assert (everything(items)[1] == 200).all()
    assert everything(load_items(file, size=(6, 3), channels=1)).shape == (2, 1, 6, 3)
    with pytest.raises(ValueError, match="channels=2: expected 1"):
        load_items(file, channels=2)


def test_grey_and_colour_together_need_channels(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=[CELLS[0], cell(PIXELS[1, :, :, 0])], label=[0, 1])
    with pytest.raises(ValueError, match=r"row 1 has 1 channels, .*row 0 has 3; set `channels: 3`"):
        load_items(file)
    items = load_items(file, channels=3)
    assert torch.equal(everything(items)[1], EXPECTED[1, 0].expand(3, -1, -1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert everything(load_items(parquet(tmp_path / "b.parquet", image=[cell(PIXELS[1, :, :, 0])]))).shape[1] == 1


def test_sixteen_bit_images_are_refused_rather_than_clipped(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=[cell(np.full((4, 4), 5000, dtype=np.uint16))], label=[0])
    with pytest.raises(ValueError, match="not 8 bits deep"):
        load_items(file)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"a": ["x"], "b": ["y"], "label": [0]}, {}, r"which column is the input\? Set `input` to one of: a, b"),
        ({"text": ["x"], "sentence": ["y"]}, {}, r"which column is the input\? .*: text, sentence"),
        ({"text": ["x"], "label": [0], "target": [0]}, {}, r"which column is the label\? .*: label, target"),
        ({"text": ["x"], "kind": [0]}, {}, r"which column is the label\? .*: kind; or `label: false`"),
        ({"text": ["x"], "label": [0]}, {"input": "txt"}, r"input='txt': .* has the columns text, label"),
        ({"text": ["x"], "label": [0]}, {"label": "y"}, r"label='y': .* has the columns text, label"),
        ({"text": ["x", "y"], "label": [0, 5]}, {"classes": 3}, r"row 1 holds 5; expected 0 to 2 \(3 classes\)"),
        ({"text": ["x", "y"], "label": [0, -1]}, {}, r"row 1 holds -1; expected 0 or more"),
        ({"text": ["x", "y"], "label": [0.0, 0.5]}, {}, r"row 1 holds 0.5; expected class indices"),
        ({"text": ["x", "y"], "label": ["a", "b"]}, {"classes": 3}, r"classes=3, but .* has 2 classes: a, b"),
        ({"text": ["x"], "label": [[0]]}, {}, r"holds list<.*>; expected class indices or names"),
        ({"text": ["x", None], "label": [0, 1]}, {}, "column 'text' has empty cells"),
        ({"text": [], "label": []}, {}, "the data set is empty"),
    ],
)
def test_columns_and_labels_that_do_not_fit(
    tmp_path: Path, columns: dict[str, list[Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_items(parquet(tmp_path / "a.parquet", **columns), **options)


def test_a_label_that_classes_json_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"cat": 1, "dog": 0}')
    file = parquet(tmp_path / "a.parquet", text=["x", "y"], label=["cat", "dgo"])
    with pytest.raises(ValueError, match=r"row 1 holds 'dgo', which is not a known class; nearest: dog"):
        load_items(file)
    good = parquet(tmp_path / "b.parquet", text=["x", "y"], label=["cat", "dog"])
    assert targets(load_items(good)) == [1, 0]


def test_loading_leaves_no_files_behind(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0] * 6)
    load_items(file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def cifar10() -> Path | None:
    root = Path(os.environ.get("LIMBECK_DATA", "/nonexistent"))
    return next((folder for folder in (root / "cifar10", root / "data" / "cifar10") if folder.is_dir()), None)


@pytest.mark.skipif(cifar10() is None, reason="LIMBECK_DATA does not point to a folder that holds cifar10")
def test_cifar10_loads_fast_enough() -> None:
    folder = cifar10()
    assert folder is not None
    cells = pq.read_table(folder / "train.parquet", columns=["image"])["image"].to_pylist()[:5000]
    started = time.process_time()
    for encoded in cells:
        np.asarray(Image.open(io.BytesIO(encoded["bytes"])).convert("RGB"))
    decoding = 10 * (time.process_time() - started)
    started = time.process_time()
    items = load_items(folder, split="train")
    assert time.process_time() - started < 2 * decoding, "keys and columns are to cost little beside the decoding"
    assert everything(items).shape == (50_000, 3, 32, 32)
    assert items.class_names is not None
    assert items.class_names[0] == "airplane"
    assert torch.bincount(torch.tensor(targets(items))).tolist() == [5000] * 10
