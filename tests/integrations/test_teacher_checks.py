"""Teachers that no integration accepts."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")
from limbeck.integrations.teacher_checks import require_one_precision
from tests.integrations.tiny import bert, trainer


def test_a_teacher_in_several_precisions(tmp_path):
    teacher = bert(24, 2)
    teacher.classifier.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"BertForSequenceClassification are in bfloat16 and float32.*teacher\.to"):
        trainer(tmp_path, teacher=teacher)
    teacher.quantization_method = "some"
    require_one_precision(teacher)
