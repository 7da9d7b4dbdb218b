"""A student folder rebuilds the student, and says what is wrong when it cannot."""

import copy
import json

import pytest
import torch
from torch import nn

from limbeck import models
from limbeck.models.saving import name_classes, save_model


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("resnet_cifar", {"depth": 8, "widths": (3, 5, 8)}, (3, 32, 32)),
        ("tiny_cnn", {"width": 4, "mean": 0.13, "std": [0.31]}, (1, 28, 28)),
        ("mobilenet_v3", {"width": 0.35, "stride": 8, "classes": 4}, (3, 32, 32)),
        ("vit_tiny", {"dim": 24, "depth": 2}, (3, 32, 32)),
        ("mlp", {"inputs": 64, "hidden": (8,)}, (64,)),
    ],
)
def test_round_trip(name, args, shape, tmp_path):
    model, x = models.get(name, **args).eval(), torch.rand(2, *shape)
    models.save_model(model, None, tmp_path / "deep" / "student")
    rebuilt = models.load_model(tmp_path / "deep" / "student")
    assert not rebuilt.training
    assert torch.equal(rebuilt(x), model(x))
    assert models.spec_of(rebuilt).keys() == models.spec_of(model).keys()


def test_models_remember_their_arguments_with_defaults():
    by_name, by_function = models.get("mlp", inputs=4), models.mlp(4)
    expected = {"model": "mlp", "args": {"inputs": 4, "hidden": (64, 64), "classes": 10, "dropout": 0.0}}
    assert models.spec_of(by_name) == models.spec_of(by_function) == models.spec_of(copy.deepcopy(by_name)) == expected
    assert models.spec_of(nn.Linear(1, 1)) is None


def test_a_spec_given_by_hand(tmp_path):
    model = models.mlp(4, hidden=(3,))
    models.save_model(model, {"model": "mlp", "args": {"inputs": 4, "hidden": [3]}}, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {"model": "mlp", "args": {"inputs": 4, "hidden": [3]}, "format": 1}
    assert torch.equal(models.load_model(tmp_path)(torch.ones(1, 4)), model(torch.ones(1, 4)))


def test_a_model_of_unknown_making_needs_a_spec(tmp_path):
    with pytest.raises(ValueError, match="it is unknown how to build this Linear"):
        models.save_model(nn.Linear(1, 1), None, tmp_path)


def test_arguments_that_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="cannot be saved as JSON"):
        models.save_model(models.mlp(4), {"model": "mlp", "args": {"inputs": torch.ones(1)}}, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "expected format 1"),
        ('{"model": "mlp", "args": {"inputs": 4}, "format": 2}', "expected format 1, got 2"),
        ('{"model": 3, "args": {}, "format": 1}', '"model" must be a name'),
        ('{"model": "mpl", "args": {}, "format": 1}', "nearest: mlp"),
        ('{"model": "mlp", "args": {"inputs": 4, "classes": 3}, "format": 1}', "another number of classes"),
    ],
)
def test_a_damaged_folder_is_explained(tmp_path, config, message):
    models.save_model(models.mlp(4), None, tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        models.load_model(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        models.load_model(tmp_path)


def test_class_names_are_written_where_transformers_looks_for_them(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=3
    )
    model = transformers.BertForSequenceClassification(config)
    name_classes(model, ["no", "maybe", "yes"])
    save_model(model, None, tmp_path)
    saved = transformers.AutoConfig.from_pretrained(tmp_path)
    assert saved.id2label == {0: "no", 1: "maybe", 2: "yes"}
    assert saved.label2id == {"no": 0, "maybe": 1, "yes": 2}
    for names in (None, ["a", "b"]):  # not known, or of other outputs
        name_classes(model, names)
        assert model.config.id2label[2] == "yes"
    name_classes(torch.nn.Linear(2, 2), ["a", "b"])
