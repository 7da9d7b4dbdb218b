"""Folders of Transformers models as users have them."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import models
from limbeck.utils.optional_packages import MissingPackageError

transformers = pytest.importorskip("transformers")


def base(folder: Path) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=2
    )
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    return model


def test_pickled_weights_are_named_with_the_way_out(tmp_path: Path) -> None:
    model = base(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"its weights are in pytorch_model.bin, .* convert it once: .*save_pretrained"):
        models.get("transformers", name_or_path=str(tmp_path))


def adapter(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
    return folder


def test_an_adapter_without_its_base_or_weights_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a LORA adapter and names no base model; merge it into its base once"):
        models.get("transformers", name_or_path=str(adapter(tmp_path / "a")))
    with pytest.raises(ValueError, match=r"has no adapter_model\.safetensors; merge it"):
        models.get("transformers", name_or_path=str(adapter(tmp_path / "b", base_model_name_or_path="x")))


def test_an_adapter_needs_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = adapter(tmp_path / "a", base_model_name_or_path="some/base")
    (folder / "adapter_model.safetensors").write_bytes(b"")
    found = builtins.__import__

    def without_peft(name: str, *rest: Any) -> Any:
        if name == "peft":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_peft)
    with pytest.raises(MissingPackageError, match=r"a LORA adapter of some/base, .*install peft \(pip install peft\)"):
        models.get("transformers", name_or_path=str(folder))


def test_an_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base(tmp_path / "base")
    plain = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "base")
    adapted = peft.get_peft_model(plain, peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    adapted.eval().save_pretrained(tmp_path / "adapter")
    loaded = models.get("transformers", name_or_path=str(tmp_path / "adapter")).eval()
    tokens = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(loaded(input_ids=tokens).logits, adapted(input_ids=tokens).logits)
    assert not any("lora" in name for name in loaded.state_dict())
    spec = models.spec_of(loaded)
    assert spec is not None
    again = models.get(spec["model"], **spec["args"])
    again.load_state_dict(loaded.state_dict())
