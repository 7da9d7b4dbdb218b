"""Distillation as a Lightning module: the criterion is a submodule, and the teacher is not.

The parameters of the criterion (here a convolution that widens the student's feature map) are parameters of the module and are
saved with it. The teacher is in no checkpoint and in no optimizer.
"""

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from limbeck import Criterion, Term, models, objectives
from limbeck.data import load_items


def digits(split: str, batch_size: int = 64) -> DataLoader:
    items = load_items("digits", split=split)
    images = items.fetch(torch.arange(len(items))).float() / 255
    return DataLoader(TensorDataset(images, items.target), batch_size, shuffle=split == "train")


class Supervised(lightning.LightningModule):
    """A model trained on labels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def loss(self, batch: list[Tensor]) -> Tensor:
        images, labels = batch
        return nn.functional.cross_entropy(self.model(images), labels)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self.loss(batch)

    def test_step(self, batch: list[Tensor], index: int) -> None:
        images, labels = batch
        self.log("accuracy", (self.model(images).argmax(-1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=5e-3)


class Distilled(Supervised):
    """The same model, trained on a teacher's outputs as well."""

    def __init__(self, student: nn.Module, teacher: nn.Module, example: list[Tensor]) -> None:
        super().__init__(student)
        terms = [
            Term(objectives.get("hard_targets"), weight=0.1),
            Term(objectives.get("soft_targets", temperature=4), weight=0.9),
            Term(objectives.get("hint"), student="layer3", teacher="layer3"),
        ]
        self.criterion = Criterion(terms, student, teacher, example=example)

    def loss(self, batch: list[Tensor]) -> Tensor:
        values = self.criterion(batch)
        self.log_dict({name: value.detach() for name, value in values.items()})
        return values["loss"]


def main(epochs: int = 6) -> dict[str, float]:
    lightning.seed_everything(0, verbose=False)
    torch.set_num_threads(1)  # fastest for models this small
    train, test = digits("train"), digits("test")

    def fit(module: Supervised) -> float:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", **quiet)
        trainer.fit(module, train)
        return float(trainer.test(module, test, verbose=False)[0]["accuracy"])

    teacher, student = models.get("tiny_cnn", width=28, size=8), models.get("tiny_cnn", width=4, size=8)
    found = {"teacher": fit(Supervised(teacher)), "student": fit(Distilled(student, teacher, next(iter(train))))}
    print(found)
    return found


if __name__ == "__main__":
    main()
