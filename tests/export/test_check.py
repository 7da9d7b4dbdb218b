"""What a written file is checked on, and what is said of one that fails."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limbeck.export import ExportError
from limbeck.export.check import check_batches, check_file


def texts() -> dict[str, Tensor]:
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    return {"input_ids": torch.arange(10).reshape(2, 5) * mask, "attention_mask": mask}


def test_one_item_and_several() -> None:
    assert [len(batch) for batch in check_batches(torch.rand(1, 4))] == [1, 3]
    assert [len(batch) for batch in check_batches(torch.rand(2, 4))] == [1, 3]
    assert [len(batch) for batch in check_batches(torch.rand(100, 4))] == [1, 8]


def test_texts_at_two_lengths_alone_and_padded() -> None:
    batches = check_batches(texts())
    assert [tuple(batch["input_ids"].shape) for batch in batches if not isinstance(batch, Tensor)] == [
        (1, 3), (1, 2), (3, 5), (3, 3),
    ]  # fmt: skip
    assert "attention_mask" in check_batches({"input_ids": torch.ones(1, 1)})[0]


def test_a_file_that_takes_one_item_only_fails() -> None:
    def single(inputs: Tensor) -> Tensor:
        if len(inputs) > 1:
            raise RuntimeError("expected 1, got 3")
        return inputs

    batches = check_batches(torch.rand(2, 4))
    with pytest.raises(ExportError, match="the file does not run on 3 items: expected 1, got 3"):
        check_file(single, batches, batches, exact=True)
    with pytest.raises(ExportError, match=r"returns \[1, 4\] for 3 items, and the model \[3, 4\]"):
        check_file(lambda inputs: inputs[:1], batches, batches, exact=False)
    with pytest.raises(ExportError, match=r"for 3 items its outputs differ by up to 1, more than rounding explains"):
        check_file(lambda inputs: inputs + (len(inputs) > 1), batches, batches, exact=True)
    with pytest.raises(ExportError, match="NaN or infinity for 1 item"):
        check_file(lambda inputs: inputs / 0, batches, batches, exact=False)
    check_file(lambda inputs: inputs + 0.1, batches, batches, exact=False)


def test_outputs_at_padding_are_not_compared() -> None:
    batches = check_batches(texts())
    tokens = [batch["input_ids"][:, None].expand(-1, 2, -1).float() for batch in batches]
    noise = [
        torch.where(batch["attention_mask"][:, None] > 0, part, torch.nan) for batch, part in zip(batches, tokens, strict=True)
    ]
    outputs = iter(noise)
    check_file(lambda batch: next(outputs), batches, tokens, exact=True)
