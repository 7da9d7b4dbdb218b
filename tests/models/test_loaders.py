"""Loaders of other libraries: absent ones name their install command, present ones rebuild without a download."""

import importlib

import pytest
import torch

from limbeck import models

BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "num_labels": 3,
}


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("timm", {"model": "resnet18"}),
        ("torchvision", {"model": "resnet18"}),
        ("transformers", {"name_or_path": "bert-base-uncased"}),
    ],
)
def test_an_absent_package_is_one_line_with_the_command(name, args, monkeypatch):
    def absent(package):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(importlib, "import_module", absent)
    for kind in (ValueError, ImportError):
        with pytest.raises(kind, match=f"^{name} is not installed: pip install {name}$"):
            models.get(name, **args)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("transformers", {"name_or_path": "x", "trust_remote_code": True}, "trust_remote_code stays off"),
        ("transformers", {}, "either name_or_path or config"),
        ("timm", {"model": "resnet18", "checkpoint_path": "x.pth"}, "may read a pickle"),
    ],
)
def test_unsafe_arguments_are_refused_before_anything_is_loaded(name, args, message):
    with pytest.raises(ValueError, match=message):
        models.get(name, **args)


def test_torchvision(tmp_path):
    pytest.importorskip("torchvision")
    model = models.torchvision_model("mobilenet_v3_small", classes=4).eval()
    ours = models.mobilenet_v3("small", classes=4).eval()
    ours.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(ours(images), model(images), atol=1e-5)
    models.save_model(model, None, tmp_path)
    assert torch.equal(models.load_model(tmp_path)(images), model(images))
    with pytest.raises(ValueError, match="nearest: mobilenet"):
        models.torchvision_model("mobilenet_v4")


def test_timm(tmp_path):
    pytest.importorskip("timm")
    model = models.timm_model("deit_tiny_patch16_224", classes=4).eval()
    statistics = {key: models.spec_of(model)["args"][key] for key in ("mean", "std")}
    ours = models.vit_tiny(224, 16, depth=12, classes=4, **statistics).eval()
    ours.load_state_dict(model.state_dict())
    images = torch.rand(1, 3, 224, 224)
    assert torch.allclose(ours(images), model(images), atol=1e-4)
    models.save_model(model, None, tmp_path)
    assert torch.equal(models.load_model(tmp_path)(images), model(images))


def test_transformers(tmp_path):
    pytest.importorskip("transformers")
    model = models.transformers_model(config=BERT).eval()
    tokens = torch.randint(50, (2, 5))
    models.save_model(model, None, tmp_path)
    assert torch.equal(models.load_model(tmp_path)(tokens).logits, model(tokens).logits)
    with pytest.raises(ValueError, match="nearest: AutoModelForSequenceClassification"):
        models.transformers_model(config=BERT, task="AutoModelForSequenceClassifier")
