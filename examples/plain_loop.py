"""Distillation in your own training loop: the criterion runs student and teacher and returns the loss.

The teacher is trained on all labels. The student is a seventh as wide; it is trained on the labels, on the teacher's softened
probabilities, and on one of its feature maps.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from limbeck import Criterion, Term, models, objectives
from limbeck.data import load_items

EPOCHS = 5


def digits(split: str) -> TensorDataset:
    items = load_items("digits", split=split)
    return TensorDataset(items.fetch(torch.arange(len(items))).float() / 255, items.target)


def accuracy(model: nn.Module, data: TensorDataset) -> float:
    images, labels = data.tensors
    with torch.no_grad():
        return (model.eval()(images).argmax(-1) == labels).double().mean().item()


def train_teacher(data: DataLoader) -> nn.Module:
    teacher = models.get("tiny_cnn", width=28, size=8)
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=2e-3)
    for _ in range(EPOCHS):
        teacher.train()
        for images, labels in data:
            optimizer.zero_grad()
            nn.functional.cross_entropy(teacher(images), labels).backward()
            optimizer.step()
    return teacher


def distil(teacher: nn.Module, data: DataLoader) -> nn.Module:
    student = models.get("tiny_cnn", width=4, size=8)
    terms = [
        Term(objectives.get("hard_targets"), weight=0.1),
        Term(objectives.get("soft_targets", temperature=4), weight=0.9),
        Term(objectives.get("hint"), student="layer2", teacher="layer2"),  # 8 and 56 channels: an adapter is built
    ]
    criterion = Criterion(terms, student, teacher, example=next(iter(data)))  # gives the shapes
    optimizer = torch.optim.AdamW([*student.parameters(), *criterion.parameters()], lr=1e-2)  # the adapter is trained too
    for epoch in range(EPOCHS):
        student.train()  # the teacher stays in evaluation mode
        for batch in data:
            values = criterion(batch)
            optimizer.zero_grad()
            values["loss"].backward()
            optimizer.step()
        print(f"epoch {epoch}: " + ", ".join(f"{name} {value.item():.3f}" for name, value in values.items()))
    return student


def main() -> dict[str, float]:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # fastest for models this small
    train, test = digits("train"), digits("test")
    loader = DataLoader(train, batch_size=64, shuffle=True)
    teacher = train_teacher(loader)
    student = distil(teacher, loader)
    found = {"teacher": accuracy(teacher, test), "student": accuracy(student, test)}
    print(found)
    return found


if __name__ == "__main__":
    main()
