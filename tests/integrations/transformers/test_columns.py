"""Each model reads its own columns; labels and masks are aligned with the outputs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers")

from datasets import Dataset
from transformers import (
    BertForQuestionAnswering,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

from limbeck import Term, objectives
from limbeck.integrations.transformers import DistillationMixin, DistillationTrainer
from limbeck.integrations.transformers.columns import BatchColumns
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, wordpiece
from tests.integrations.tiny import CLASSES, WORDS, arguments, batch, bert, hinton, ids, loud, t5, texts


def distilbert():
    torch.manual_seed(0)
    sizes = {"vocab_size": WORDS, "dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2, "num_labels": CLASSES}
    return loud(DistilBertForSequenceClassification(DistilBertConfig(**sizes, dropout=0.0, attention_dropout=0.0)))


def record_calls(model):
    """The keyword arguments of all calls of a model, recorded as they come."""
    calls = []
    model.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True)
    return calls


def beside(columns):
    return {f"teacher_{name}": values for name, values in columns.items()}


@pytest.mark.parametrize("unused", [True, False])
def test_a_column_of_the_teacher_does_not_reach_the_student(tmp_path, unused):
    teacher, student = bert(24, 2, seed=1), distilbert()
    rows = Dataset.from_list(
        [{n: v.tolist() for n, v in row.items()} | {"token_type_ids": [0] * 4 + [1] * 5} for row in texts(16)]
    )
    options = {"train_dataset": rows, "eval_dataset": rows, "teacher": teacher, "terms": [hinton()]}
    made = DistillationTrainer(student, arguments(tmp_path, remove_unused_columns=unused), **options)
    student_calls, teacher_calls = record_calls(student), record_calls(teacher)
    made.train()
    made.evaluate()
    assert all(set(call) == {"input_ids", "attention_mask", "token_type_ids"} for call in teacher_calls)
    assert all(call["token_type_ids"].sum() == 5 * len(call["input_ids"]) for call in teacher_calls)
    assert all("token_type_ids" not in call for call in student_calls)
    assert {"labels" in call for call in student_calls} == {True, False}  # not in the trial run


def test_the_teacher_reads_tokens_of_its_own_tokenizer(tmp_path):
    ours, theirs = wordpiece(), byte_bpe()
    long = {"max_position_embeddings": 64}
    teacher, student = bert(24, 2, seed=1, vocab_size=len(theirs), **long), bert(vocab_size=len(ours), **long)

    def tokenised(rows):
        return {**ours(rows["text"]), **beside(theirs(rows["text"]))}

    rows = Dataset.from_dict({"text": CORPUS * 4, "labels": [0, 1, 2, 0] * 4}).map(tokenised, batched=True)
    relation = Term(objectives.get("rkd_distance"), student="cls(-1)", teacher="cls(-1)")
    made = DistillationTrainer(
        student,
        arguments(tmp_path, per_device_train_batch_size=16),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=ours,
        teacher=teacher,
        teacher_processing_class=theirs,
        terms=[hinton(1), relation],
        labels=0,
    )
    student_calls, teacher_calls = record_calls(student), record_calls(teacher)
    made.train()
    made.evaluate()
    padded = theirs([CORPUS[n] for n in range(4)], padding=True, return_tensors="pt")
    seen = [{tuple(row) for row in call["input_ids"].tolist()} for call in teacher_calls]
    assert {tuple(row) for row in padded["input_ids"].tolist()} in seen
    assert all(not name.startswith("teacher_") for call in student_calls for name in call)
    made.save_model(str(tmp_path / "student"))
    assert (tmp_path / "student" / "tokenizer.json").exists()


def test_token_classification_compares_every_real_token(tmp_path):
    made_of = {"kind": BertForTokenClassification}
    student, teacher = bert(**made_of), bert(24, seed=1, **made_of)
    given = batch(texts(4)) | {"labels": torch.randint(CLASSES, (4, 9)).index_fill(1, torch.tensor([0, 2]), -100)}
    terms = [hinton(1), Term(objectives.get("hard_targets"))]
    made = DistillationTrainer(student, arguments(tmp_path), train_dataset=texts(), teacher=teacher, terms=terms, labels=0)
    read = {name: given[name] for name in ("input_ids", "attention_mask")}
    s, t, mask = student(**read).logits, teacher(**read).logits, given["attention_mask"].bool()
    soft = 4 * F.kl_div((s / 2).log_softmax(-1), (t / 2).softmax(-1), reduction="none").sum(-1)[mask].mean()
    hard = F.cross_entropy(s[mask], given["labels"][mask])
    made.train_dataset = [{name: value[n] for name, value in given.items()} for n in range(4)]
    torch.testing.assert_close(made.compute_loss(student.train(), given), soft + hard)


def test_questions_have_two_labels(tmp_path):
    made_of = {"kind": BertForQuestionAnswering, "num_labels": 2}
    student, teacher = bert(**made_of), bert(24, seed=1, **made_of)
    rows = [row | {"start_positions": torch.tensor(1), "end_positions": torch.tensor(2)} for row in texts(labels=False)]
    terms = [Term(objectives.get("span_targets")), Term(objectives.get("span_soft_targets"), weight=0)]
    made = DistillationTrainer(student, arguments(tmp_path), train_dataset=rows, teacher=teacher, terms=terms, labels=0)
    given = batch(rows[:4])
    outputs = student(**{name: given[name] for name in ("input_ids", "attention_mask")})
    padding = given["attention_mask"] == 0
    ends = [
        F.cross_entropy(logits.masked_fill(padding, -torch.inf), given[name])
        for logits, name in ((outputs.start_logits, "start_positions"), (outputs.end_logits, "end_positions"))
    ]
    torch.testing.assert_close(made.compute_loss(student.train(), given), sum(ends) / 2)


def test_an_encoder_decoder_is_compared_at_its_labelled_tokens(tmp_path):
    class Writing(DistillationMixin, Seq2SeqTrainer):
        pass

    student, teacher = t5(16, 0), t5(24, 1)
    tokens, mask = ids(8)
    labels = ids(8, seed=1)[0][:, :6]
    labels = labels.masked_fill(labels == 0, -100)
    rows = [{"input_ids": i, "attention_mask": m, "labels": y} for i, m, y in zip(tokens, mask, labels, strict=True)]
    options = {"predict_with_generate": True, "generation_max_length": 6, "report_to": "none", "use_cpu": True}
    quiet = {"max_steps": 2, "save_strategy": "no", "disable_tqdm": True}
    made = Writing(
        student,
        Seq2SeqTrainingArguments(str(tmp_path), **options, **quiet),
        train_dataset=rows,
        eval_dataset=rows,
        teacher=teacher,
        terms=[hinton(0.4)],
        labels=0.5,
    )
    given = batch(rows)
    s, t = student(**given), teacher(**given)
    soft = 4 * F.kl_div((s.logits / 2).log_softmax(-1), (t.logits / 2).softmax(-1), reduction="none").sum(-1)
    loss = made.compute_loss(student.train(), given)
    torch.testing.assert_close(loss, 0.5 * s.loss + 0.4 * soft[labels != -100].mean())
    without = BatchColumns(student, teacher, ["labels"]).batch({"input_ids": tokens, "decoder_input_ids": labels.clamp(min=0)})
    assert without.mask is None
    made.train()
    assert made.evaluate()["eval_loss"] > 0


def test_an_unreadable_batch_is_refused_with_the_models_inputs():
    columns = BatchColumns(bert(), bert(24), ["labels"])
    with pytest.raises(ValueError, match=r"takes attention_mask, input_ids.* and the batch holds words; name"):
        columns.batch({"words": torch.ones(2, 3)})
