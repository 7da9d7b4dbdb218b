"""What cannot be distilled is refused before the first step, with what to do instead."""

from __future__ import annotations

import sys
from copy import deepcopy
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("transformers")

from transformers import LEDConfig, LEDForConditionalGeneration

from limbeck import Term, objectives
from limbeck.integrations import checks
from limbeck.integrations.position_limits import Positions
from limbeck.integrations.transformers import DistillationTrainer
from tests.data.tiny_tokenizers import byte_bpe, wordpiece
from tests.integrations.test_columns import t5
from tests.integrations.tiny import arguments, batch, bert, everywhere, hinton, ids, texts


def trainer(folder, *, teacher=None, terms=None, student=None, data=None, **options):
    given = {"train_dataset": texts() if data is None else data, "teacher": teacher or bert(24, 2, seed=1)}
    return DistillationTrainer(student or bert(), arguments(folder), **given, terms=terms or everywhere(), **options)


def test_vocabularies_of_other_sizes(tmp_path):
    made = trainer(tmp_path, teacher=bert(24, vocab_size=70), terms=[hinton()])
    with pytest.raises(ValueError, match=r"vocabulary has 70, the student's 60.*columns teacher_input_ids"):
        made.train()


def test_tokenizers_decide_where_they_are_known(tmp_path):
    ours, theirs = wordpiece(), byte_bpe()
    size = max(len(ours), len(theirs))
    models = {"student": bert(vocab_size=size), "teacher": bert(24, vocab_size=size)}
    made = trainer(tmp_path, **models, terms=[hinton()], processing_class=ours, teacher_processing_class=theirs)
    said = r"mean other tokens to it \(token 0 is '<pad>' in the teacher's vocabulary and '\[PAD\]' in the student's\)"
    with pytest.raises(ValueError, match=said):
        made.train()
    padded = {"student": bert(vocab_size=size), "teacher": bert(24, vocab_size=size + 4)}
    trainer(tmp_path, **padded, terms=[hinton()], processing_class=ours, teacher_processing_class=deepcopy(ours)).train()


def test_tokens_of_two_tokenizers_are_not_compared_one_by_one(tmp_path):
    data = [row | {"teacher_input_ids": row["input_ids"], "teacher_attention_mask": row["attention_mask"]} for row in texts()]
    made = trainer(tmp_path, data=data)
    with pytest.raises(ValueError, match="'hidden_states': it compares token by token, and the teacher reads"):
        made.train()


@pytest.mark.parametrize(
    ("reads", "remedy"), [("student", "tokenise .* max_length=32$"), ("teacher", "max_length=32, .*a teacher with more")]
)
def test_the_first_batch_that_is_longer_than_the_positions(tmp_path, reads, remedy):
    models = {who: bert(24, max_position_embeddings=32 if who == reads else 64) for who in ("student", "teacher")}
    short = texts(8)
    long = [row | {name: row[name].repeat(5) for name in ("input_ids", "attention_mask")} for row in short]
    made = trainer(tmp_path, **models, terms=[hinton()], data=short, eval_dataset=long)
    made.train()
    said = rf"{reads}: a batch has input_ids of 45 tokens, and Bert\w+ has positions for 32; .*{remedy}"
    with pytest.raises(ValueError, match=said):
        made.compute_loss(made.model.train(), batch(long))
    if reads == "student":
        with pytest.raises(ValueError, match=said):
            made.evaluate()
    else:  # which is not asked there
        made.evaluate()


def test_each_side_of_a_model_that_writes_has_positions_of_its_own():
    torch.manual_seed(0)
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1, "decoder_attention_heads": 1}
    more = {"max_encoder_position_embeddings": 48, "max_decoder_position_embeddings": 16, "attention_window": 4}
    led = LEDForConditionalGeneration(LEDConfig(vocab_size=60, encoder_ffn_dim=8, decoder_ffn_dim=8, **sizes, **more))
    positions = Positions.of(led, "student", "at most {limit}", writes=True)
    assert positions.limits == {"input_ids": 48, "decoder_input_ids": 16}
    positions.refuse_longer({"input_ids": ids(2)[0].repeat(1, 3)})
    with pytest.raises(ValueError, match=r"decoder_input_ids of 17 tokens, and LED.* has positions for 16; at most 16"):
        positions.refuse_longer({"decoder_input_ids": torch.ones(2, 17)})


def test_texts_laid_end_to_end_begin_at_the_first_position():
    positions = Positions.of(bert(), "student", "")
    positions.refuse_longer({"input_ids": torch.ones(1, 90), "position_ids": torch.arange(90)[None] % 30})
    positions.refuse_longer({"pixel_values": torch.ones(1, 90)})
    assert Positions.of(t5(8, 0), "student", "", writes=True).limits == {}


def test_a_teacher_in_several_precisions(tmp_path):
    teacher = bert(24, 2)
    teacher.classifier.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"BertForSequenceClassification are in bfloat16 and float32.*teacher\.to"):
        trainer(tmp_path, teacher=teacher)
    teacher.quantization_method = "some"
    checks.precision(teacher)


def test_taps_that_do_not_exist(tmp_path):
    term = Term(objectives.get("hidden_states"), student="hidden(7)", teacher="hidden(1)")
    with pytest.raises(ValueError, match="has 1 layers"):
        trainer(tmp_path, terms=[term]).train()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"labels": -1}, "labels=-1: it weighs"), ({"terms": []}, "at least one term")],
)
def test_arguments_of_ones_own(tmp_path, options, message):
    given = {"train_dataset": texts(), "teacher": bert(24, 2), "terms": everywhere()} | options
    with pytest.raises(ValueError, match=message):
        DistillationTrainer(bert(), arguments(tmp_path), **given).train()


def test_no_labels_and_no_data(tmp_path):
    with pytest.raises(ValueError, match=r"labels=0.5: the batch holds none of labels .* hand over labels=0"):
        trainer(tmp_path, data=texts(labels=False)).train()
    with pytest.raises(ValueError, match="train_dataset: None"):
        DistillationTrainer(bert(), arguments(tmp_path), teacher=bert(24, 2), terms=everywhere()).create_optimizer()


def test_a_scheduler_that_does_not_know_the_adapters(tmp_path):
    student = bert()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    with pytest.raises(ValueError, match=r"hand over \(optimizer, None\)"):
        trainer(tmp_path, student=student, optimizers=(optimizer, scheduler)).train()
    trainer(tmp_path, student=student, terms=[hinton()], optimizers=(optimizer, scheduler)).train()


def test_a_checkpoint_of_other_terms(tmp_path):
    options = {"train_dataset": texts(), "teacher": bert(24, 2)}
    DistillationTrainer(bert(), arguments(tmp_path, save_strategy="steps", save_steps=1), **options, terms=everywhere()).train()
    made = DistillationTrainer(bert(), arguments(tmp_path, max_steps=4), **options, terms=[hinton()])
    with pytest.raises(ValueError, match=r"it was written with other terms, which learned 2 tensors, those of now 0"):
        made.train(resume_from_checkpoint=True)


def test_devices_that_it_does_not_run_on(tmp_path, monkeypatch):
    given = arguments(tmp_path)
    monkeypatch.setattr(type(given), "n_gpu", 2)
    with pytest.raises(ValueError, match="one process each"):
        DistillationTrainer(bert(), given, train_dataset=texts(), teacher=bert(24, 2), terms=everywhere())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"torch_compile": True}, r"torch_compile=True.*hidden\(-1\), scores\(-1\)"),
        ({"use_liger_kernel": True}, "makes no logits"),
    ],
)
def test_arguments_that_take_the_signals_away(tmp_path, given, message):
    made = trainer(tmp_path)
    found = SimpleNamespace(**{"torch_compile": False, "use_liger_kernel": False} | given)
    with pytest.raises(ValueError, match=message):
        checks.arguments(found, made.criterion)


def test_the_encoder_of_a_model_that_writes(tmp_path):
    tokens, mask = ids(8)
    rows = [{"input_ids": i, "attention_mask": m, "labels": i} for i, m in zip(tokens, mask, strict=True)]
    term = Term(objectives.get("hidden_states"), student="encoder.block.0", teacher="encoder.block.0")
    with pytest.raises(ValueError, match="it taps the encoder of T5ForConditionalGeneration"):
        trainer(tmp_path, student=t5(16, 0), teacher=t5(16, 1), data=rows, terms=[term]).train()
    inside = Term(objectives.get("hidden_states"), student="decoder.block.0", teacher="decoder.block.0")
    trainer(tmp_path, student=t5(16, 0), teacher=t5(16, 1), data=rows, terms=[inside]).train()


def test_a_loss_that_is_told_in_vain():
    assert checks.ignores_count(lambda count: torch.tensor(3.0))
    assert not checks.ignores_count(lambda count: 3.0 / count)
    assert not checks.ignores_count(lambda count: torch.tensor(torch.nan))


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "limbeck.integrations.transformers")
    with pytest.raises(ImportError, match=r"needs transformers: pip install 'limbeck\[text\]'"):
        import_module("limbeck.integrations.transformers")
