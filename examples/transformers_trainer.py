"""Distillation with the Trainer of Transformers: `compute_loss` returns the criterion's loss, and nothing else changes.

Two vision transformers with random weights stand for a teacher and a student from the hub: replace `vit` by
`AutoModelForImageClassification.from_pretrained(…)`. Text models work in the same way; their mask of real tokens is taken from
the batch.
"""

import tempfile
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from limbeck import Criterion, Term, objectives
from limbeck.data import load_items


def vit(width: int, layers: int) -> ViTForImageClassification:
    return ViTForImageClassification(
        ViTConfig(
            image_size=8,
            patch_size=2,
            num_channels=1,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_labels=10,
        )
    )


def digits(split: str) -> list[dict[str, Any]]:
    items = load_items("digits", split=split)
    images = items.fetch(torch.arange(len(items))).float() / 255
    return [{"pixel_values": image, "labels": label} for image, label in zip(images, items.target, strict=True)]


class Distiller(Trainer):
    """A Trainer with the loss of a criterion."""

    def __init__(self, *args: Any, criterion: Criterion, **options: Any) -> None:
        super().__init__(*args, **options)
        self.criterion = criterion

    def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        if not model.training:  # evaluation needs no teacher
            return super().compute_loss(model, inputs, return_outputs)
        loss = self.criterion(inputs)["loss"]
        return (loss, None) if return_outputs else loss


def arguments(folder: str, epochs: int) -> TrainingArguments:
    return TrainingArguments(
        folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        learning_rate=3e-3,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )


def accuracy(outputs: Any) -> dict[str, float]:
    return {"accuracy": float((outputs.predictions.argmax(-1) == outputs.label_ids).mean())}


def main(epochs: int = 5) -> dict[str, float]:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # fastest for models this small
    train, test = digits("train"), digits("test")
    teacher, student = vit(64, layers=3), vit(16, layers=1)
    terms = [
        Term(objectives.get("hard_targets"), weight=0.1),
        Term(objectives.get("soft_targets", temperature=4), weight=0.9),
    ]
    with tempfile.TemporaryDirectory() as folder:
        data = {"train_dataset": train, "eval_dataset": test, "compute_metrics": accuracy}
        learns = Trainer(teacher, arguments(folder, epochs), **data)
        learns.train()
        distils = Distiller(student, arguments(folder, epochs), criterion=Criterion(terms, student, teacher), **data)
        distils.train()
        found = {name: trainer.evaluate()["eval_accuracy"] for name, trainer in (("teacher", learns), ("student", distils))}
    print(found)
    return found


if __name__ == "__main__":
    main()
