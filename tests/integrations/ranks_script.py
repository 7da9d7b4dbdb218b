"""Train the same students with the same global batches: run by one process, and by two with torchrun."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import BertModel

from limbeck import Term, objectives
from limbeck.integrations.sentence_transformers import DistillationLoss
from limbeck.integrations.transformers import DistillationTrainer
from limbeck.utils import distributed
from tests.data.tiny_tokenizers import CORPUS, of_words
from tests.integrations.tiny import SGD, arguments, bert, everywhere, hinton, llama, texts, writings

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
SHARED = {**SGD, "per_device_train_batch_size": 8 // WORLD} | ({"ddp_backend": "gloo"} if WORLD > 1 else {})
LAYER = Term(objectives.get("hidden_states"), student="hidden(-1)", teacher="hidden(-1)")
CASES: dict[str, dict[str, Any]] = {
    "everywhere": {"student": (bert, 16, 1), "teacher": (bert, 24, 2), "terms": everywhere(), "data": texts(), "labels": 0.5},
    "accumulated": {"student": (bert, 16, 1), "teacher": (bert, 24, 2), "terms": everywhere(), "data": texts(), "labels": 0.5},
    "layer": {"student": (bert, 16, 1), "teacher": (bert, 24, 2), "terms": [LAYER], "data": texts(labels=False), "labels": 0},
    "writing": {"student": (llama, 16, 0), "teacher": (llama, 24, 1), "terms": [hinton()], "data": writings(32), "labels": 0.5},
}


def trainer(folder: Path, name: str) -> DistillationTrainer:
    case = CASES[name]
    (student, *size), (teacher, *sizes) = case["student"], case["teacher"]
    pieces = 2 if name == "accumulated" else 1
    return DistillationTrainer(
        student(*size),
        arguments(folder, gradient_accumulation_steps=pieces, **SHARED),
        train_dataset=case["data"],
        teacher=teacher(*sizes),
        terms=case["terms"],
        labels=case["labels"],
    )


def sentences(folder: Path) -> tuple[Any, Any]:
    """A student and its loss after a training among Sentence Transformers' own."""
    words = sorted({word for text in CORPUS for word in text.lower().split()})
    tokenizer, encoders = of_words(words), []
    for width in (16, 24):
        place = str(folder / f"encoder-{width}-{distributed.world_size()}")
        bert(width, 1, width, kind=BertModel, vocab_size=len(tokenizer)).save_pretrained(place)
        tokenizer.save_pretrained(place)
        distributed.all_reduce_sum(torch.zeros(1))  # the first process writes, the others wait
        encoders.append(SentenceTransformer(modules=[Transformer(place), Pooling(width)], device="cpu"))
    loss = DistillationLoss(*encoders, terms=[Term(objectives.get("embedding_mse"))])
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    args = SentenceTransformerTrainingArguments(str(folder), **SHARED, **quiet)
    SentenceTransformerTrainer(encoders[0], args, train_dataset=Dataset.from_dict({"text": CORPUS * 6}), loss=loss).train()
    return encoders[0], loss.texts


def keep(folder: Path, name: str, student: Any, criterion: Any) -> None:
    state = {**student.state_dict(), **{f"criterion.{key}": value for key, value in criterion.state_dict().items()}}
    file = folder / f"{name}-{distributed.world_size()}-{distributed.rank()}.safetensors"
    save_file({key: value.clone().contiguous() for key, value in state.items()}, file)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    for name in CASES:
        made = trainer(folder, name)
        made.train()
        keep(folder, name, made.model, made.criterion)
        lines = [{key: line[key] for key in line if "loss" in key} for line in made.state.log_history if "loss" in line]
        (folder / f"{name}-{distributed.world_size()}-{distributed.rank()}.json").write_text(json.dumps(lines))
    keep(folder, "sentences", *sentences(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    distributed.exit_process(0)
