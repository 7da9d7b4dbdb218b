"""Loaders of other libraries: absent ones name their install command, present ones rebuild without a download."""

import importlib
import time

import pytest
import torch

from limbeck import models
from limbeck.models import loaders
from limbeck.models.tokenizer import load_tokenizer
from limbeck.utils import hub

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "a"}, "config: Transformers cannot build this bert .*'hidden_size'.*expected int, got str"),
        ({"vocab_size": None}, "config: .*'vocab_size' expected int, got NoneType"),
        ({"num_attention_heads": 0}, "config: .*ZeroDivisionError"),
        ({"hidden_act": "nope"}, "config: .*KeyError: 'nope'"),
        ({"id2label": 3}, "config: Transformers cannot build this bert"),
        ({"intermediate_size": -1}, "config: .*negative dimension -1"),
        ({"hidden_size": 10**12}, "config: .*memory"),
        ({"model_type": "bertt"}, "config: unknown model_type 'bertt'; nearest: bert"),
        ({"model_type": 3}, "config: unknown model_type 3; nearest"),
    ],
)
def test_a_wrong_configuration_names_what_is_wrong(change, message):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=message) as found:
        models.get("transformers", config=BERT | change)
    assert len(str(found.value)) < 500
    with pytest.raises(ValueError, match='config: it has no "model_type"'):
        models.get("transformers", config={})


@pytest.mark.parametrize("name", ["bert-bas-uncased", "someone/bert", "./bert", "a/b/c", "x" * 300, "a\0b", ""])
def test_models_and_tokenizers_that_do_not_exist(name, monkeypatch):
    """The hub cannot be reached: nobody waits for it, and nothing is said in the words of its libraries."""
    pytest.importorskip("transformers")
    monkeypatch.setattr(hub, "is_reachable", lambda address: False)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    for what, load in (
        ("model", lambda: models.get("transformers", name_or_path=name)),
        ("model", lambda: models.get("transformers", name_or_path=name, pretrained=False)),
        ("tokenizer", lambda: load_tokenizer(name)),
    ):
        with pytest.raises(FileNotFoundError, match=f"^no {what} '.*there is nothing of this name in .*(hub|huggingface)"):
            load()


def test_a_folder_without_tokenizer_or_with_another_configuration(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.BertForSequenceClassification(transformers.BertConfig(**BERT)).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="model: it has no tokenizer: neither"):
        load_tokenizer(str(tmp_path / "model"))
    written = tmp_path / "model" / "config.json"
    written.write_text(written.read_text().replace('"hidden_size": 16', '"hidden_size": "16"'))
    for load in (
        lambda: models.get("transformers", name_or_path=str(tmp_path / "model")),
        lambda: models.load_model(tmp_path / "model"),
    ):
        with pytest.raises(ValueError, match=r"model: Transformers cannot load it as .*'hidden_size' expected int"):
            load()


def test_a_file_in_the_place_of_a_folder(tmp_path):
    """Transformers reads it as a configuration, and says that a byte cannot be decoded."""
    pytest.importorskip("transformers")
    file = tmp_path / "train.parquet"
    file.write_bytes(b"PAR1\xff\xfe\x00")
    for load in (load_tokenizer, lambda name: models.get("transformers", name_or_path=name)):
        with pytest.raises(FileNotFoundError, match=r"train.parquet: it is a file; give the folder"):
            load(str(file))


def test_weights_on_a_server_that_cannot_be_reached(monkeypatch):
    pytest.importorskip("torchvision")
    monkeypatch.setattr(loaders, "is_reachable", lambda address: False)
    with pytest.raises(FileNotFoundError, match=r"no weights of resnet18: https://\S+ cannot be reached from here"):
        models.get("torchvision", model="resnet18", weights="DEFAULT")
