"""A teacher from timm, distilled into a small student in one call that returns the verdict.

Here the teacher starts from random weights, so that nothing is downloaded, and is trained on the digits first. With
`pretrained=True` the published weights are downloaded instead.
"""

import torch
from torch import nn

from limbeck import Training, distill, models
from limbeck.data import load_items
from limbeck.engine import Settings, epochs


def learn(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, passes: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(passes):
        for rows in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()


def main(passes: int = 3) -> dict[str, float]:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # fastest for models this small
    train, test = load_items("digits", split="train"), load_items("digits", split="test")
    teacher = models.get("timm", model="resnet10t", classes=10, channels=1)  # takes images in [0, 1]; normalises inside
    learn(teacher, train.fetch(torch.arange(len(train))).float() / 255, train.target, passes)
    student = models.get("tiny_cnn", width=8, size=8)
    quiet = Training(epochs(10 * passes), batch_size=32, settings=Settings(progress=False))
    outcome = distill(teacher, student, train, test, training=quiet)
    print(outcome)
    arms = outcome.verdict.arms
    return {"teacher": arms["teacher"].metric, "student": arms["student"].metric}


if __name__ == "__main__":
    main()
