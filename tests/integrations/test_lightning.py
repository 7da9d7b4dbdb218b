"""A criterion in a Lightning module, in the precisions that convert the module."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from limbeck import Criterion, Term, models, objectives

lightning = pytest.importorskip("lightning")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-mixed", torch.float32), ("bf16-true", torch.bfloat16), ("64-true", torch.float64)]
)
def test_precisions(precision: str, dtype: torch.dtype) -> None:
    class Distilled(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, example: list[torch.Tensor]) -> None:
            super().__init__()
            self.student, teacher = models.get("tiny_cnn", width=4, size=8), models.get("tiny_cnn", width=8, size=8)
            terms = [Term(objectives.get("soft_targets")), Term(objectives.get("hint"), student="layer3", teacher="layer3")]
            self.criterion = Criterion(terms, self.student, teacher, example=example)

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            values = self.criterion(batch)
            self.log_dict({name: value.detach() for name, value in values.items()})
            return values["loss"]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = DataLoader(TensorDataset(torch.rand(32, 1, 8, 8), torch.arange(32) % 10), batch_size=8)
    module = Distilled(next(iter(data)))
    before = [parameter.detach().clone() for parameter in module.criterion.parameters()]
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(max_steps=3, accelerator="cpu", precision=precision, **quiet)
    trainer.fit(module, data)
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    assert all(torch.tensor(float(value)).isfinite() for value in trainer.callback_metrics.values())
    after = list(module.criterion.parameters())
    assert after
    assert all(not torch.equal(old.to(dtype), new) for old, new in zip(before, after, strict=True) if new.ndim > 1)
    assert isinstance(module.student, nn.Module)
