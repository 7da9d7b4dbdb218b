"""What cannot be distilled is refused before the first step, with a remedy."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("transformers")


from limbeck import Term, objectives
from limbeck.integrations.transformers import DistillationTrainer, checks
from tests.data.tiny_tokenizers import byte_bpe, wordpiece
from tests.integrations.tiny import arguments, batch, bert, everywhere, hinton, ids, t5, texts


def trainer(folder, *, teacher=None, terms=None, student=None, data=None, **options):
    given = {"train_dataset": texts() if data is None else data, "teacher": teacher or bert(24, 2, seed=1)}
    return DistillationTrainer(student or bert(), arguments(folder), **given, terms=terms or everywhere(), **options)


def test_vocabularies_of_other_sizes(tmp_path):
    made = trainer(tmp_path, teacher=bert(24, vocab_size=70), terms=[hinton()])
    with pytest.raises(ValueError, match=r"vocabulary has 70, the student's 60.*columns teacher_input_ids"):
        made.train()


def test_known_tokenizers_are_compared_instead_of_sizes(tmp_path):
    ours, theirs = wordpiece(), byte_bpe()
    size = max(len(ours), len(theirs))
    models = {"student": bert(vocab_size=size), "teacher": bert(24, vocab_size=size)}
    made = trainer(tmp_path, **models, terms=[hinton()], processing_class=ours, teacher_processing_class=theirs)
    message = r"stand for other tokens .*\(token 0 is '<pad>' in the teacher's vocabulary and '\[PAD\]' in the student's\)"
    with pytest.raises(ValueError, match=message):
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
    message = rf"{reads}: a batch has input_ids of 45 tokens, and Bert\w+ has positions for 32; .*{remedy}"
    with pytest.raises(ValueError, match=message):
        made.compute_loss(made.model.train(), batch(long))
    if reads == "student":
        with pytest.raises(ValueError, match=message):
            made.evaluate()
    else:  # the teacher does not run there
        made.evaluate()


def test_taps_that_do_not_exist(tmp_path):
    term = Term(objectives.get("hidden_states"), student="hidden(7)", teacher="hidden(1)")
    with pytest.raises(ValueError, match="has 1 layers"):
        trainer(tmp_path, terms=[term]).train()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"labels": -1}, "labels=-1: it is the weight"), ({"terms": []}, "at least one term")],
)
def test_bad_arguments_are_named(tmp_path, options, message):
    given = {"train_dataset": texts(), "teacher": bert(24, 2), "terms": everywhere()} | options
    with pytest.raises(ValueError, match=message):
        DistillationTrainer(bert(), arguments(tmp_path), **given).train()


def test_no_labels_and_no_data(tmp_path):
    with pytest.raises(ValueError, match=r"labels=0.5: the batch holds none of labels .* pass labels=0"):
        trainer(tmp_path, data=texts(labels=False)).train()
    with pytest.raises(ValueError, match="train_dataset: None"):
        DistillationTrainer(bert(), arguments(tmp_path), teacher=bert(24, 2), terms=everywhere()).create_optimizer()


def test_several_gpus_in_one_process_are_refused(tmp_path, monkeypatch):
    given = arguments(tmp_path)
    monkeypatch.setattr(type(given), "n_gpu", 2)
    with pytest.raises(ValueError, match="one process each"):
        DistillationTrainer(bert(), given, train_dataset=texts(), teacher=bert(24, 2), terms=everywhere())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"torch_compile": True}, r"torch_compile=True.*hidden\(-1\), scores\(-1\)"),
        ({"use_liger_kernel": True}, "computes no logits"),
    ],
)
def test_arguments_under_which_signals_are_missing(tmp_path, given, message):
    made = trainer(tmp_path)
    found = SimpleNamespace(**{"torch_compile": False, "use_liger_kernel": False} | given)
    with pytest.raises(ValueError, match=message):
        checks.require_signals(found, made.criterion)


def test_the_encoder_of_an_encoder_decoder_is_refused(tmp_path):
    tokens, mask = ids(8)
    rows = [{"input_ids": i, "attention_mask": m, "labels": i} for i, m in zip(tokens, mask, strict=True)]
    term = Term(objectives.get("hidden_states"), student="encoder.block.0", teacher="encoder.block.0")
    with pytest.raises(ValueError, match="it taps the encoder of T5ForConditionalGeneration"):
        trainer(tmp_path, student=t5(16, 0), teacher=t5(16, 1), data=rows, terms=[term]).train()
    inside = Term(objectives.get("hidden_states"), student="decoder.block.0", teacher="decoder.block.0")
    trainer(tmp_path, student=t5(16, 0), teacher=t5(16, 1), data=rows, terms=[inside]).train()


def test_a_loss_that_ignores_the_number_of_items():
    assert checks.ignores_count(lambda count: torch.tensor(3.0))
    assert not checks.ignores_count(lambda count: 3.0 / count)
    assert not checks.ignores_count(lambda count: torch.tensor(torch.nan))
