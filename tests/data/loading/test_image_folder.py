"""Which files of a folder are images, and which folders are classes."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

import pytest
from PIL import Image

from limbeck.data import load_items
from limbeck.data.loading.image_folder import find_images


def images(folder: Path, name: str, *files: str) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        target = folder / name / file
        kind = {".jfif": "JPEG", ".jpe": "JPEG"}.get(target.suffix)
        Image.new("RGB", (4, 4), (number, len(name), 0)).save(target, kind)


def test_what_systems_leave_behind_is_no_class(tmp_path: Path) -> None:
    images(tmp_path, "cat", "a.png", "b.JPG", "c.jfif")
    images(tmp_path, "dog", "a.png")
    images(tmp_path, "__MACOSX/cat", "a.png")
    (tmp_path / "cat" / "._a.png").write_bytes(b"\x00")
    (tmp_path / "cat" / "__MACOSX").mkdir()
    (tmp_path / "cat" / "__MACOSX" / "z.png").write_bytes(b"\x00")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "dog" / "~$a.png").write_bytes(b"x")
    for system in ("@eaDir", "$RECYCLE.BIN", "#recycle", "lost+found", ".ipynb_checkpoints", "cat/@eaDir"):
        images(tmp_path, system, "y.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        items = load_items(tmp_path)
    assert items.class_names == ["cat", "dog"]
    assert items.target.tolist() == [0, 0, 0, 1]


def test_folders_without_images_and_other_files_are_named(tmp_path: Path) -> None:
    images(tmp_path, "cat", "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "b.heic").write_bytes(b"x")
    with (
        pytest.warns(UserWarning, match=r"no images in empty; such folders are no classes$"),
        pytest.warns(UserWarning, match=r"files that are not read as images: 1 \.heic$"),
    ):
        assert load_items(tmp_path).class_names == ["cat"]


def test_two_spellings_of_a_name_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "Äpfel"), unicodedata.normalize("NFD", "Äpfel")
    images(tmp_path, composed, "a.png")
    images(tmp_path, decomposed, "b.png")
    images(tmp_path, "pears", "c.png")
    items = load_items(tmp_path)
    assert items.class_names == ["pears", composed]
    assert items.target.tolist() == [0, 1, 1]
    file = tmp_path / "a.csv"
    file.write_text(f"text,label\na,{composed}\nb,{decomposed}\nc,x\n", encoding="utf-8")
    assert load_items(file).class_names == ["x", composed]


def test_classes_that_differ_in_spelling_only_are_named(tmp_path: Path) -> None:
    for name in ("Cat", "cat ", "dog", "01", "1"):
        images(tmp_path, name, "a.png")
    with (
        pytest.warns(UserWarning, match="the classes '01' and '1' differ in case, spaces or leading zeros only"),
        pytest.warns(UserWarning, match="the classes 'Cat' and 'cat '"),
    ):
        assert len(load_items(tmp_path).class_names or ()) == 5


def test_of_classes_beyond_a_limit_one_image_is_looked_for(tmp_path: Path) -> None:
    for name in ("cat", "dog", "emu"):
        images(tmp_path, name, "a.png", "b.png", "c.png")
    (tmp_path / "fox").mkdir()
    with pytest.warns(UserWarning, match="no images in fox"):
        found = find_images(tmp_path, ["fox", "emu", "dog", "cat"], 4)
    assert found.classes == ["cat", "dog", "emu"]
    assert [len([label for label in found.labels if label == number]) for number in range(3)] == [3, 3, 1]


def test_links_are_followed_but_in_no_circle(tmp_path: Path) -> None:
    images(tmp_path, "elsewhere/deep", "b.png", "c.png")
    root = tmp_path / "set"
    images(root, "cat", "a.png")
    images(root, "dog", "a.png")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "again").symlink_to(root / "cat")
    (root / "dog" / "all").symlink_to(root)
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    assert find_images(root, ["cat", "dog"]).files == ["cat/a.png", "cat/more/deep/b.png", "cat/more/deep/c.png", "dog/a.png"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    images(tmp_path, "cat", "a.png")
    (tmp_path / "cat" / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=r"1 of 2 images do not decode, the first at .*cat/b.png: .*No such file"):
        load_items(tmp_path)
    with pytest.warns(UserWarning, match="these rows are left out"):
        assert len(load_items(tmp_path, on_error="skip")) == 1


def test_images_in_no_class_are_named(tmp_path: Path) -> None:
    images(tmp_path, ".", "a.png", "b.png")
    with pytest.raises(ValueError, match=r"its 2 images have no class; put those .* \(label: false\)"):
        load_items(tmp_path)
    images(tmp_path, "cat", "a.png")
    with pytest.warns(UserWarning, match="images beside the folders of classes have no class, and are left out: 2"):
        assert len(load_items(tmp_path)) == 1


def test_a_table_beside_classes_has_to_name_images(tmp_path: Path) -> None:
    images(tmp_path, "cat", "a.png")
    (tmp_path / "info.json").write_text('{"licence": 1}')
    with pytest.raises(ValueError, match=r"holds images in folders \(cat\), and info.json, which names none; set the path"):
        load_items(tmp_path)
    (tmp_path / "info.json").rename(tmp_path / "cat" / "info.json")
    (tmp_path / "metadata.csv").write_text("file_name,label\ncat/a.png,0\n")
    assert load_items(tmp_path).images


def test_a_class_may_be_called_as_the_folder_of_data_sets_of_the_hub(tmp_path: Path) -> None:
    images(tmp_path, "data", "a.png")
    images(tmp_path, "other", "a.png")
    (tmp_path / "data" / "notes.json").write_text('{"licence": 1}')
    assert load_items(tmp_path).class_names == ["data", "other"]


def test_classes_are_not_offered_as_splits(tmp_path: Path) -> None:
    images(tmp_path, "cat", "a.png")
    with pytest.raises(ValueError, match="split='train' does not exist; there are no splits; leave `split` out"):
        load_items(tmp_path, split="train")
