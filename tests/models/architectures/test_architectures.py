"""All networks: published parameter counts, shapes, normalisation and errors."""

import pytest
import torch

from limbeck import models


@pytest.mark.parametrize(
    ("name", "args", "count"),
    [
        ("mobilenet_v3", {"variant": "small"}, 2_542_856),
        ("mobilenet_v3", {"variant": "large"}, 5_483_032),
        ("mobilenet_v2", {}, 3_504_872),
        ("vit_tiny", {"size": 224, "patch": 16, "depth": 12, "classes": 1000}, 5_717_416),
        ("vit_tiny", {"size": 224, "patch": 16, "depth": 12, "classes": 1000, "distilled": True}, 5_910_800),
        ("mobile_resnet", {}, 64_270),
        ("mlp", {"inputs": 64}, 64 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10),
    ],
)
def test_parameter_counts(name, args, count):
    assert models.count_parameters(models.get(name, **args)) == count


IMAGE_MODELS = [
    ("resnet_cifar", {"depth": 8}, (3, 32, 32)),
    ("mobilenet_v3", {"stride": 4, "width": 0.5}, (3, 32, 32)),
    ("mobilenet_v3", {"variant": "large", "width": 0.35}, (3, 64, 96)),
    ("mobilenet_v3", {"channels": 1, "stride": 8}, (1, 28, 28)),
    ("mobilenet_v2", {"width": 0.35}, (3, 64, 32)),
    ("mobilenet_v2", {"width": 0.35, "resize": 32, "channels": 1}, (1, 16, 16)),
    ("mobile_resnet", {"squeeze": True}, (3, 32, 32)),
    ("mobile_resnet", {"channels": 1, "expansion": 1}, (1, 28, 28)),
    ("tiny_cnn", {"size": 8, "width": 4}, (1, 8, 8)),
    ("tiny_cnn", {"separable": True, "blocks": 2}, (1, 28, 28)),
    ("tiny_cnn", {"size": 64, "channels": 3}, (3, 64, 64)),
    ("vit_tiny", {"dim": 24, "depth": 2}, (3, 32, 32)),
    ("vit_tiny", {"dim": 24, "depth": 2, "distilled": True}, (3, 32, 32)),
    ("vit_tiny", {"dim": 24, "depth": 1, "size": 28, "patch": 7, "channels": 1}, (1, 28, 28)),
]


@pytest.mark.parametrize(("name", "args", "shape"), IMAGE_MODELS)
def test_shapes_and_gradients(name, args, shape):
    model = models.get(name, classes=5, **args)
    logits = model(torch.rand(3, *shape))
    assert logits.shape == (3, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(("name", "args", "shape"), IMAGE_MODELS)
def test_normalisation_is_inside_and_not_in_the_state(name, args, shape):
    """A model with other statistics, fed the image that undoes them, gives the same logits."""
    model = models.get(name, **args).eval()
    assert not any("normalize" in key for key in model.state_dict())
    plain = models.get(name, mean=0.0, std=1.0, **args).eval()
    plain.load_state_dict(model.state_dict())
    images = torch.rand(2, *shape)
    assert torch.allclose(model(images), plain(model.normalize(images)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("resnet_cifra", {}, "resnet_cifar"),
        ("resnet_cifar", {"dept": 8}, "dept"),
        ("resnet_cifar", {"classes": 0}, "classes must be at least 1"),
        ("mobilenet_v3", {"variant": "medium"}, "'small' or 'large'"),
        ("mobilenet_v3", {"stride": 6}, "stride must be one of"),
        ("mobile_resnet", {"widths": (1, 2)}, "three positive numbers"),
        ("tiny_cnn", {"size": 4}, "at least 8"),
        ("vit_tiny", {"patch": 5}, "patch must divide size"),
        ("mlp", {"inputs": 4, "hidden": [3, 0]}, r"hidden\[1\]"),
        ("tiny_cnn", {"mean": (0.1, 0.2)}, "one per channel"),
        ("tiny_cnn", {"std": 0}, "std must be positive"),
    ],
)
def test_errors_name_the_argument(name, args, message):
    with pytest.raises(ValueError, match=message):
        models.get(name, **args)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "divide bytes by 255"),
        (torch.zeros(2, 1, 8, 8), r"expected images \[B, 3, H, W\]"),
        (torch.zeros(3, 8, 8), r"expected images \[B, 3, H, W\]"),
    ],
)
def test_unusable_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        models.resnet_cifar(8)(images)
