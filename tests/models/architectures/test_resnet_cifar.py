"""The CIFAR ResNet against the paper's counts, a slow reference of its shortcut, and the published teacher."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck import models
from limbeck.models.architectures.resnet_cifar import PaddedShortcut


@pytest.mark.parametrize(
    ("args", "count"),
    [
        ({"depth": 8}, 75_290),
        ({"depth": 20}, 269_722),
        ({"depth": 56}, 853_018),
        ({"depth": 110}, 1_727_962),
        ({"depth": 20, "widths": (8, 18, 36)}, 84_830),
    ],
)
def test_parameter_counts(args, count):
    assert models.count_parameters(models.resnet_cifar(**args)) == count


def test_keys_are_those_of_the_paper_s_layers():
    keys = list(models.resnet_cifar(8).state_dict())
    stems = {key.rsplit(".", 1)[0] for key in keys}
    blocks = {f"layer{i}.0.{part}" for i in (1, 2, 3) for part in ("conv1", "bn1", "conv2", "bn2")}
    assert stems == {"conv1", "bn1", "linear"} | blocks


@pytest.mark.parametrize(("size", "channels"), [((32, 32), 3), ((28, 28), 1), ((17, 33), 3), ((8, 8), 4)])
def test_shapes(size, channels):
    model = models.resnet_cifar(8, widths=(3, 6, 11), classes=7, channels=channels)
    assert model(torch.rand(2, channels, *size)).shape == (2, 7)


@pytest.mark.parametrize(("inputs", "outputs", "side"), [(3, 6, 8), (3, 8, 7), (4, 9, 5), (5, 5, 6)])
def test_shortcut_equals_a_slow_reference(inputs, outputs, side):
    x = torch.randn(2, inputs, side, side)
    expected = torch.zeros(2, outputs, (side + 1) // 2, (side + 1) // 2)
    for channel in range(inputs):
        for row in range(0, side, 2):
            for column in range(0, side, 2):
                shifted = channel + (outputs - inputs) // 2
                expected[:, shifted, row // 2, column // 2] = x[:, channel, row, column]
    assert torch.equal(PaddedShortcut(inputs, outputs, 2)(x), expected)


@pytest.mark.parametrize(
    ("depth", "nearest"),
    [(18, "14 and 20"), (2, "8 and 14"), (200, "104 and 110"), (57, "56 and 62")],
)
def test_another_depth_names_the_two_nearest(depth, nearest):
    with pytest.raises(ValueError, match=nearest):
        models.resnet_cifar(depth)


@pytest.mark.parametrize("widths", [(16, 32), (16, 8, 32), (0, 8, 16)])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(ValueError, match="three positive numbers that do not decrease"):
        models.resnet_cifar(8, widths=widths)


def test_no_tap_is_overwritten_by_a_later_layer():
    """An in-place ReLU or addition would change what a hook has recorded."""
    model, seen, copies = models.resnet_cifar(8), {}, {}

    def record(name):
        def hook(module, inputs, output):
            seen[name], copies[name] = output, output.detach().clone()

        return hook

    for name, module in model.named_modules():
        module.register_forward_hook(record(name))
    model(torch.rand(2, 3, 16, 16))
    assert all(torch.equal(seen[name], copies[name]) for name in seen)


@pytest.mark.skipif("LIMBECK_DATA" not in os.environ, reason="LIMBECK_DATA names the folder of data and teachers")
def test_the_teacher_loads_and_is_accurate():
    parquet = pytest.importorskip("pyarrow.parquet")
    image = pytest.importorskip("PIL.Image")
    data = Path(os.environ["LIMBECK_DATA"])
    model = models.resnet_cifar(56).eval()
    models.load_weights(model, data / "teachers" / "resnet56-cifar10.safetensors")
    rows = parquet.read_table(data / "data" / "cifar10" / "test.parquet").slice(0, 500)
    pixels = [np.asarray(image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows["image"].to_pylist()]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        predicted = torch.cat([model(batch).argmax(1) for batch in images.split(100)])
    assert (predicted == torch.tensor(rows["label"].to_pylist())).float().mean() > 0.86
