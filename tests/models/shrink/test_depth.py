"""A student with some of the teacher's layers computes what the teacher computes without the others."""

import pytest
import torch
import transformers
from torch import nn

from limbeck import models
from limbeck.models import shrink as text

FAMILIES = ["Bert", "Roberta", "DistilBert", "Electra", "MPNet", "ModernBert", "DebertaV2", "MobileBert"]
HEADED = [(family, "ForSequenceClassification") for family in FAMILIES] + [("ViT", "ForImageClassification")]


def stack_of(model):
    count = model.config.num_hidden_layers
    return next(part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count)


@pytest.mark.parametrize(("family", "head"), HEADED)
def test_the_student_is_the_teacher_without_the_other_layers(family, head, build, answers, tmp_path):
    teacher = build(family, head)
    student = text.init_from_teacher(teacher, [0, -2])
    student.save_pretrained(tmp_path)
    stack = stack_of(teacher)
    assert not torch.equal(answers(student), answers(teacher))
    del stack[3], stack[1]
    assert torch.equal(answers(student), answers(teacher))
    assert type(student) is type(teacher)
    assert student.config.num_hidden_layers == 2
    auto = transformers.AutoModelForImageClassification if family == "ViT" else transformers.AutoModelForSequenceClassification
    assert torch.equal(answers(auto.from_pretrained(tmp_path)), answers(student))


def test_the_student_is_independent_and_trainable(build, answers):
    teacher = build("Bert", "ForMaskedLM").requires_grad_(False)
    student = text.init_from_teacher(teacher, [1, 3])
    before = answers(student)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.zero_()
    assert torch.equal(answers(student), before)
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert not student.training
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_precision_attention_and_pooler_are_the_teachers(build):
    teacher = transformers.BertModel(build("Bert").config, add_pooling_layer=False).to(torch.bfloat16)
    teacher.set_attn_implementation("eager")
    student = text.init_from_teacher(teacher, [0])
    assert student.pooler is None
    assert student.dtype == torch.bfloat16
    assert student.config._attn_implementation == "eager"


def test_local_and_global_layers_stay_what_they_are(build):
    teacher = build("ModernBert", num_hidden_layers=4)
    assert teacher.config.layer_types == ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    assert text.init_from_teacher(teacher, [0, 2, 3]).config.layer_types == [
        "full_attention",
        "sliding_attention",
        "full_attention",
    ]
    with pytest.raises(ValueError, match="keep layer 0"):
        text.init_from_teacher(teacher, [2, 3])


def test_the_student_folder_of_limbeck_holds_it_too(build, answers, tmp_path):
    student = text.init_from_teacher(build("Bert", "ForSequenceClassification", num_labels=3), [0, 2])
    models.save_model(student, None, tmp_path)
    assert torch.equal(answers(models.load_model(tmp_path)), answers(student))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "layers is empty; name at least one of the teacher's 4"),
        ([0, 4], "the teacher has 4 layers, 0 to 3; there is no layer 4"),
        ([-5], "there is no layer -5"),
        ([1, 1], "must ascend without repeats"),
        ([0, 3, -1], r"counted from 0 they are \[0, 3, 3\]"),
        ([2, 1], "must ascend"),
    ],
)
def test_layers_that_cannot_be(layers, message, build):
    with pytest.raises(ValueError, match=message):
        text.init_from_teacher(build("Bert"), layers)


@pytest.mark.parametrize(("family", "message"), [("Albert", "one shared layer"), ("T5", "an encoder and a decoder")])
def test_models_without_one_stack(family, message, build):
    teacher = (
        build("Albert") if family == "Albert" else transformers.T5Model(transformers.T5Config(d_model=8, d_ff=8, num_heads=2))
    )
    with pytest.raises(ValueError, match=message):
        text.init_from_teacher(teacher, [0])
