"""What a stranger finds in an exported file."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image, ImageOps

from limbeck.data.image import to_float
from limbeck.export import ExportError, export_models, exporter, formats
from limbeck.export.file_info import beside, file_info
from limbeck.export.onnx.metadata import TOO_HIGH, TOO_LOW
from tests.docs.blocks import run_block
from tests.export import students


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shipped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)
        records = export_models(
            {"student": students.learnt()}, students.train(), students.test(), made, precisions=("fp32", "int8")
        )
    assert {record.error for record in records} == {None}
    return made / "exports"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_says_how_its_inputs_are_made(folder: Path, precision: str) -> None:
    held = {each.key: json.loads(each.value) for each in onnx.load(folder / f"student-{precision}.onnx").metadata_props}
    assert held["limbeck"]
    assert held["value_range"] == [0, 1]
    assert (held["channels"], held["size"]) == (1, [8, 8])
    assert "crop around the centre" in held["resize"]
    assert held == file_info(students.learnt(), students.test())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_bytes_in_place_of_numbers_up_to_one_are_refused(folder: Path, precision: str) -> None:
    path, images = folder / f"student-{precision}.onnx", students.images(students.test(), 4)
    session = onnxruntime.InferenceSession(path)
    session.run(None, {"inputs": images.numpy()})
    with pytest.raises(Exception, match=TOO_HIGH):  # whoever runs it
        session.run(None, {"inputs": (255 * images).numpy()})
    with pytest.raises(ExportError, match="reads numbers from 0 to 1, not these inputs"):
        formats.get("onnx").open(path)(255 * images)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_values_that_were_normalised_outside_are_refused(folder: Path, precision: str) -> None:
    path, images = folder / f"student-{precision}.onnx", students.images(students.test(), 4)
    session = onnxruntime.InferenceSession(path)
    for other in (2 * images - 1, (images - 0.45) / 0.225):
        with pytest.raises(Exception, match=TOO_LOW):
            session.run(None, {"inputs": other.numpy()})
        with pytest.raises(ExportError, match=r"reads numbers from 0 to 1, not these inputs") as found:
            formats.get("onnx").open(path)(other)
        assert "Do not normalise them" in str(found.value)
    overshot = 1.1 * images - 0.05  # as resampling does
    session.run(None, {"inputs": overshot.numpy()})


def test_the_guide_runs_a_file_with_nothing_but_onnxruntime(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for row in range(5):
        image = students.test().fetch(torch.tensor([row]))
        picture = Image.fromarray((255 * to_float(image)[0, 0]).byte().numpy())
        picture.resize((24, 16), Image.Resampling.NEAREST).save(folder / "photo.png")
        said = run_block("devices.md", "ImageOps.fit")
        small = ImageOps.fit(Image.open(folder / "photo.png"), (8, 8), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.asarray(small, np.float32))[None, None] / 255
        assert said["values"].shape == (1, 1, 8, 8)
        assert said["answer"] == str(int(formats.get("onnx").open(folder / "student-int8.onnx")(values).argmax()))
    (folder / "photo.png").unlink()


@pytest.mark.skipif(find_spec("executorch") is None, reason="needs executorch")
def test_a_file_without_metadata_has_it_beside_it(tmp_path: Path) -> None:
    items, path = students.images(students.test(), 4), tmp_path / "student.pte"
    info = file_info(students.learnt(), students.test())
    formats.get("executorch").write(students.learnt(), path, items, info=info)
    assert json.loads(beside(path).read_text()) == info
    assert {each.name for each in tmp_path.iterdir()} == {"student.pte", "student.pte.json"}


@pytest.mark.skipif(find_spec("executorch") is None, reason="needs executorch")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_program_refuses_values_of_another_range(precision: str, tmp_path: Path) -> None:
    images, path = students.images(students.test(), 4), tmp_path / "student.pte"
    info = file_info(students.learnt(), students.test())
    executorch = formats.get("executorch")
    executorch.write(students.learnt(), path, images, precision=precision, calibration=[images], info=info)
    runner = executorch.open(path)
    expected = runner(images)
    for other, remedy in ((255 * images, "Divide bytes by 255"), (2 * images - 1, "Do not normalise them")):
        with pytest.raises(ExportError, match=r"reads numbers from 0 to 1, not these inputs") as found:
            runner(other)
        assert remedy in str(found.value)
    beside(path).unlink()
    with pytest.raises(ExportError, match="cannot compute on inputs"):  # the runtime refuses, whoever runs it
        executorch.open(path)(255 * images)
    assert torch.equal(runner(images), expected)
    runner(1.1 * images - 0.05)  # as resampling overshoots
