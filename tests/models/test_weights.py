"""Weights on disk: exact round trips, safety, and errors that explain."""

import copy
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from limbeck import models
from limbeck.models.weights import weights_digest


@pytest.fixture
def model():
    return models.resnet_cifar(8, width=4)


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def test_round_trip(model, tmp_path):
    models.save_weights(model, tmp_path / "w.safetensors")
    other = models.resnet_cifar(8, width=4)
    models.load_weights(other, tmp_path / "w.safetensors")
    assert same(model.state_dict(), other.state_dict())
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"epoch": 3, "state_dict": state},
        lambda state: {"model": {"module." + key: value for key, value in state.items()}},
        lambda state: {"state_dict": {"model._orig_mod." + key: value for key, value in state.items()}},
        lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "pth", "bin"])
def test_torch_checkpoints_and_their_wrappers(model, tmp_path, wrap, suffix):
    path = tmp_path / f"w.{suffix}"
    torch.save(wrap(model.state_dict()), path)
    other = models.resnet_cifar(8, width=4)
    models.load_weights(other, path)
    assert same(model.state_dict(), other.state_dict())


class Malicious:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "pkl", "ckpt"])
@pytest.mark.parametrize("write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_malicious_pickle_does_not_run(model, tmp_path, suffix, write):
    witness, path = tmp_path / "witness", tmp_path / f"w.{suffix}"
    write({"state_dict": model.state_dict(), "extra": Malicious(witness)}, path)
    with pytest.raises(ValueError, match=r"run code.* safetensors\.torch\.save_file") as error:
        models.load_weights(model, path)
    assert "can still be loaded" not in str(error.value)  # torch's advice to read it all the same
    assert "\x1b" not in str(error.value)
    assert not witness.exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("kept", [0, 4, 1000, -10])
def test_a_truncated_file_leaves_the_model_alone(model, tmp_path, suffix, kept):
    path = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(model.state_dict(), path)
    else:
        models.save_weights(model, path)
    path.write_bytes(path.read_bytes()[:kept])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        models.load_weights(model, path)
    assert same(before, model.state_dict())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"depth": 14, "width": 4}, r"unexpected layer1.1.bn1.\w+ \[4\].*and 32 more.*another depth"),
        (
            {"depth": 8, "width": 4, "classes": 3},
            r"linear.weight is \[3, 16\], the model needs \[10, 16\].*3 in the file",
        ),
        ({"depth": 8, "width": 8}, r"conv1.weight is \[8, 3, 3, 3\].*another width"),
        ({"depth": 8, "width": 4, "channels": 1}, "input channels"),
        (None, "another architecture"),
    ],
)
def test_a_foreign_checkpoint_is_explained(model, tmp_path, args, message):
    foreign = models.mlp(4) if args is None else models.resnet_cifar(**args)
    models.save_weights(foreign, tmp_path / "w.safetensors")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        models.load_weights(model, tmp_path / "w.safetensors")
    assert same(before, model.state_dict())


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, torch.zeros(3)])
def test_a_file_without_weights_says_what_it_holds(model, tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="contains no state_dict"):
        models.load_weights(model, tmp_path / "w.pt")


def test_a_missing_file(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        models.load_weights(model, tmp_path / "w.safetensors")


def test_a_full_disk_leaves_the_old_file_whole(model, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    models.save_weights(model, path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        models.save_weights(models.resnet_cifar(8, width=4), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_tied_and_strided_tensors(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
            self.head.weight = self.embedding.weight
            self.strided = nn.Parameter(torch.randn(3, 5).t())

    tied, other = Tied(), Tied()
    models.save_weights(tied, tmp_path / "w.safetensors")
    assert set(safetensors.torch.load_file(tmp_path / "w.safetensors")) == {"embedding.weight", "strided"}
    models.load_weights(other, tmp_path / "w.safetensors")
    assert same(tied.state_dict(), other.state_dict())
    assert other.head.weight is other.embedding.weight


def test_the_digest_of_weights_is_of_all_values_and_no_names() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).bfloat16()
    digest = weights_digest(model)
    assert digest is not None
    assert weights_digest(nn.ModuleDict({"inner": copy.deepcopy(model)})) == digest
    for change in (lambda one: one[0].weight[0, 0].add_(1), lambda one: one[1].running_mean[2].add_(1)):
        other = copy.deepcopy(model)
        with torch.no_grad():
            change(other)
        assert weights_digest(other) != digest


def test_the_folder_of_a_model_stands_for_its_weights(model, tmp_path):
    (tmp_path / "student").mkdir()
    models.save_weights(model, tmp_path / "student" / "model.safetensors")
    other = models.resnet_cifar(8, width=4)
    models.load_weights(other, tmp_path / "student")
    assert same(model.state_dict(), other.state_dict())
    with pytest.raises(FileNotFoundError, match=r"the folder holds no model\.safetensors"):
        models.load_weights(other, tmp_path)
