"""Teachers that no integration accepts."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")
from limbeck.integrations.teacher_checks import require_one_precision, require_own_weights
from tests.integrations.tiny import bert, trainer


def test_a_teacher_in_several_precisions(tmp_path):
    teacher = bert(24, 2)
    teacher.classifier.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"BertForSequenceClassification are in bfloat16 and float32.*teacher\.to"):
        trainer(tmp_path, teacher=teacher)
    teacher.quantization_method = "some"
    require_one_precision(teacher)


def test_a_student_that_holds_the_embeddings_of_its_teacher(tmp_path):
    teacher, student = bert(16, 2), bert(16, 1, seed=1)
    student.bert.embeddings = teacher.bert.embeddings
    with pytest.raises(ValueError, match=r"share parameters \(bert\.embeddings\.\S+\).*copy\.deepcopy\(model\)"):
        trainer(tmp_path, student, teacher=teacher)
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_an_adapter_around_the_teacher_is_told_how_to_get_the_base():
    base = bert(16, 1)
    adapted = torch.nn.Sequential(base)
    adapted.peft_config = {}
    with pytest.raises(ValueError, match=r"get_peft_model changes its base in place.*copy\.deepcopy\(student\)\.unload\(\)"):
        require_own_weights(adapted, base)
