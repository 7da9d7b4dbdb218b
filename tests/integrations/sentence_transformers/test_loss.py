"""A loss of Sentence Transformers on embeddings and scores of student and teacher."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

pytest.importorskip("sentence_transformers")

from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from transformers import BertModel

from limbeck import Term, objectives
from limbeck.core.schedules import Linear
from limbeck.integrations.sentence_transformers import DistillationLoss
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, wordpiece
from tests.integrations.tiny import bert

TOKENIZER = wordpiece()
QUERIES = ["quick fox", "a story told", "the café owners", "that is that"]
POSITIVES = ["the lazy dog jumps", "ninety minutes", "they re-open", "it is what it is"]
NEGATIVES = ["the film is weak", "over the dog", "an unbelievable 2nd half", "brown fox"]
COLUMNS = {"query": QUERIES * 4, "positive": POSITIVES * 4, "negative": NEGATIVES * 4}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """`encoder(width, seed)`: a tiny sentence encoder without dropout, its mean pooled."""

    def made(width=16, seed=0, tokenizer=TOKENIZER, **sizes):
        folder = str(tmp_path_factory.mktemp("encoder"))
        model = bert(width, 1, seed, kind=BertModel, vocab_size=len(tokenizer), **sizes)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return SentenceTransformer(modules=[Transformer(folder), Pooling(width)], device="cpu")

    return made


def mse(**options):
    return Term(objectives.get("embedding_mse"), **options)


def margins(**options):
    return Term(objectives.get("margin_mse"), student="scores", **options)


def features(model, *columns):
    return [model.preprocess(column) for column in columns]


def embedded(model, *columns):
    with torch.no_grad():
        return [model(one)["sentence_embedding"] for one in features(model, *columns)]


def train(student, loss, folder, columns, **options):
    given = {"max_steps": 2, "per_device_train_batch_size": 8, "logging_steps": 1, "learning_rate": 1e-3}
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    args = SentenceTransformerTrainingArguments(str(folder), **{**given, **quiet, **options})
    data = Dataset.from_dict(columns)
    trainer = SentenceTransformerTrainer(student, args, train_dataset=data, eval_dataset=data, loss=loss)
    trainer.train()
    return trainer


def test_terms_on_embeddings_are_their_formulas(encoder):
    student, teacher = encoder(), encoder(seed=1)
    terms = [mse(weight=2), Term(objectives.get("embedding_cosine")), Term(objectives.get("rkd_distance"), weight=3)]
    found = DistillationLoss(student, teacher, terms=terms)(features(student, QUERIES, POSITIVES))
    s, t = torch.cat(embedded(student, QUERIES, POSITIVES)), torch.cat(embedded(teacher, QUERIES, POSITIVES))
    torch.testing.assert_close(found["embedding_mse"], 2 * F.mse_loss(s, t))
    torch.testing.assert_close(found["embedding_cosine"], 1 - F.cosine_similarity(s, t).mean())
    distances = [torch.cdist(x, x) / torch.cdist(x, x)[~torch.eye(8).bool()].mean() for x in (s, t)]
    torch.testing.assert_close(found["rkd_distance"], 3 * F.smooth_l1_loss(*distances), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_margins_are_those_of_the_passages(encoder, similarity):
    student, teacher = encoder(), encoder(24, seed=1)
    loss = DistillationLoss(student, teacher, terms=[margins(weight=0.5)], similarity=similarity)
    found = loss(features(student, QUERIES, POSITIVES, NEGATIVES))

    def margin(model):
        query, positive, negative = embedded(model, QUERIES, POSITIVES, NEGATIVES)
        if similarity == "cosine":
            return F.cosine_similarity(query, positive) - F.cosine_similarity(query, negative)
        return (query * positive).sum(1) - (query * negative).sum(1)

    torch.testing.assert_close(found["margin_mse"], 0.5 * F.mse_loss(margin(student), margin(teacher)))


def test_gradient_reaches_the_student_alone(encoder):
    student, teacher = encoder(), encoder(24, seed=1)
    teacher.train()
    loss = DistillationLoss(student, teacher, terms=[mse(), margins()]).train()
    sum(loss(features(student, QUERIES, POSITIVES, NEGATIVES)).values()).backward()
    assert all(p.grad is not None for name, p in student.named_parameters() if "pooler" not in name)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    own = {id(p) for p in loss.parameters()} - {id(p) for p in student.parameters()}
    assert own == {id(p) for p in loss.texts.parameters()}
    assert len(own) == 2  # weight and bias of one projection from 16 to 24


def test_teacher_outputs_may_be_computed_beforehand(encoder):
    student, teacher = encoder(), encoder(seed=1)
    texts = (QUERIES, POSITIVES, NEGATIVES)
    theirs = torch.stack(embedded(teacher, *texts), 1)
    scores = torch.stack([(theirs[:, 0] * theirs[:, n]).sum(1) for n in (1, 2)], 1)
    margin = scores[:, 0] - scores[:, 1]

    def value(terms, labels=None):
        loss = DistillationLoss(student, teacher if labels is None else None, terms=terms)
        return loss(features(student, *texts), labels)

    both = [mse(), margins()]
    torch.testing.assert_close(value(both, theirs), value(both))
    for labels in (scores, margin, margin[:, None]):
        torch.testing.assert_close(value([margins()], labels), value([margins()]))
    same = F.mse_loss(torch.cat(embedded(student, *texts)), theirs[:, 0].repeat(3, 1))
    torch.testing.assert_close(value([mse()], theirs[:, 0])["embedding_mse"], same)


def test_a_loss_among_the_librarys_own(encoder, tmp_path):
    student, teacher = encoder(), encoder(24, seed=1)
    terms = [mse(), Term(objectives.get("rkd_cosine")), margins(weight=0.01)]
    loss = DistillationLoss(student, teacher, terms=terms)
    before = copy.deepcopy(loss.texts.state_dict())
    trainer = train(student, loss, tmp_path, COLUMNS, gradient_accumulation_steps=2)
    first = trainer.state.log_history[0]
    assert first["loss"] == pytest.approx(sum(first[name] for name in ("embedding_mse", "rkd_cosine", "margin_mse")), abs=2e-3)
    assert not any(torch.equal(before[name], value) for name, value in loss.texts.state_dict().items())
    assert not any(name.startswith(("teacher", "_models")) for name in loss.state_dict())
    assert trainer.evaluate()["eval_loss"] > 0
    trainer.save_model(str(tmp_path / "student"))
    again = SentenceTransformer(str(tmp_path / "student"), device="cpu")
    torch.testing.assert_close(again.encode(QUERIES, convert_to_tensor=True), student.encode(QUERIES, convert_to_tensor=True))


def test_the_student_learns_from_the_teacher(encoder, tmp_path):
    student, teacher = encoder(), encoder(24, seed=1)
    loss = DistillationLoss(student, teacher, terms=[Term(objectives.get("rkd_cosine"))])
    trainer = train(student, loss, tmp_path, {"text": QUERIES + POSITIVES}, max_steps=40, learning_rate=1e-2)
    values = [line["rkd_cosine"] for line in trainer.state.log_history if "rkd_cosine" in line]
    assert values[-1] < 0.1 * values[0]


def test_static_embeddings_learn_from_labels(tmp_path):
    student = SentenceTransformer(modules=[StaticEmbedding(TOKENIZER, embedding_dim=8)], device="cpu")
    labels = torch.randn(4, 12, generator=torch.Generator().manual_seed(0)).tolist()
    loss = DistillationLoss(student, terms=[mse()], width=12)
    trainer = train(student, loss, tmp_path, {"text": QUERIES, "label": labels}, max_steps=30, learning_rate=5e-2)
    values = [line["embedding_mse"] for line in trainer.state.log_history if "embedding_mse" in line]
    assert values[-1] < 0.3 * values[0]


def test_a_model_card_knows_the_terms(encoder):
    loss = DistillationLoss(encoder(), encoder(24, seed=1), terms=[mse(weight=2), margins()], similarity="cosine")
    assert loss.get_config_dict() == {"terms": {"embedding_mse": 2.0, "margin_mse": 1.0}, "similarity": "cosine"}
    assert "2004.09813" in loss.citation
    assert "2010.02666" in loss.citation


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": []}, "terms: none are given"),
        ({"terms": [mse()], "similarity": "euclid"}, "similarity='euclid'"),
        ({"terms": [mse(weight=Linear(0, 1))]}, "its weight is a schedule"),
        ({"terms": [Term(objectives.get("hint"), student="0.auto_model")]}, "it taps '0.auto_model'"),
    ],
)
def test_terms_that_a_loss_cannot_serve(encoder, options, message):
    with pytest.raises(ValueError, match=message):
        DistillationLoss(encoder(), encoder(seed=1), **options)


def test_teachers_that_cannot_read_the_students_tokens(encoder):
    student = encoder()
    with pytest.raises(ValueError, match=r"share parameters.*hand over a deep copy"):
        DistillationLoss(student, student, terms=[mse()])
    with pytest.raises(ValueError, match=r"than the student's \(token 0 is '<pad>' in the .*'\[PAD\]' in.*beforehand"):
        DistillationLoss(student, encoder(seed=1, tokenizer=byte_bpe(CORPUS)), terms=[mse()])
    static = SentenceTransformer(modules=[StaticEmbedding(TOKENIZER, embedding_dim=8)], device="cpu")
    with pytest.raises(ValueError, match="it cannot read what the student's tokenizer returns, input_ids, offsets"):
        DistillationLoss(static, student, terms=[mse()])
    mixed = encoder(seed=1)
    mixed.append(nn.Linear(2, 2).to(torch.bfloat16))
    with pytest.raises(ValueError, match="in bfloat16 and float32"):
        DistillationLoss(student, mixed, terms=[mse()])


def test_texts_longer_than_the_teachers_positions(encoder):
    student, teacher = encoder(), encoder(seed=1, max_position_embeddings=16)
    loss = DistillationLoss(student, teacher, terms=[mse()])
    loss(features(student, QUERIES))
    message = r"teacher: a batch has input_ids of 32 tokens.*has positions for 16; set student\.max_seq_length = 16"
    with pytest.raises(ValueError, match=message):
        loss(features(student, QUERIES, [" ".join(CORPUS)] * 4))
    student.max_seq_length = 16
    loss(features(student, QUERIES, [" ".join(CORPUS)] * 4))


@pytest.mark.parametrize(
    ("terms", "labels", "message"),
    [
        ([mse()], None, "without a teacher the data set needs a column `label`"),
        ([mse()], torch.zeros(4, 2, 16), r"shape \(4, 2, 16\) does not fit 3 columns"),
        ([mse()], torch.zeros(4, 3, 20), "width 20; pass width=20"),
        ([mse(), margins()], torch.zeros(4, 16), r"shape \(4, 16\) does not fit 3 columns"),
        ([margins()], torch.zeros(4, 5), r"a query and 2 passages; scores are \[batch, 2\], margins \[batch, 1\]"),
    ],
)
def test_labels_that_do_not_fit(encoder, terms, labels, message):
    student = encoder()
    loss = DistillationLoss(student, terms=terms)
    with pytest.raises(ValueError, match=message):
        loss(features(student, QUERIES, POSITIVES, NEGATIVES), labels)


def test_scores_need_a_second_column(encoder):
    student = encoder()
    with pytest.raises(ValueError, match="the data set has one column of texts"):
        DistillationLoss(student, encoder(seed=1), terms=[margins()])(features(student, QUERIES))


@pytest.mark.parametrize("labelled", [False, True])
def test_matryoshka_around_the_loss_is_its_formula(encoder, labelled):
    """Σ over widths of the terms on cut embeddings of length 1, the teacher's cut likewise; margins of the whole teacher."""
    student, teacher = encoder(), encoder(seed=1)
    columns = [features(student, texts) for texts in (QUERIES, POSITIVES, NEGATIVES)]
    columns = [column for (column,) in columns]
    s, t = embedded(student, QUERIES, POSITIVES, NEGATIVES), embedded(teacher, QUERIES, POSITIVES, NEGATIVES)
    own = DistillationLoss(student, None if labelled else teacher, terms=[mse(weight=2), margins()])
    around = MatryoshkaLoss(student, own, matryoshka_dims=[16, 4], matryoshka_weights=[1, 3])
    found = around(columns, torch.stack(t, 1) if labelled else None)
    expected = dict.fromkeys(("embedding_mse", "margin_mse"), torch.zeros(()))
    for width, weight in ((16, 1), (4, 3)):
        ours, theirs = ([F.normalize(one[:, :width], dim=-1) for one in side] for side in (s, t))
        expected["embedding_mse"] = expected["embedding_mse"] + weight * 2 * F.mse_loss(torch.cat(ours), torch.cat(theirs))
        cut = [F.normalize(one[:, :width], dim=-1) for one in t] if labelled else t  # labels are cut before they come here
        margin = [(q * p).sum(1) - (q * n).sum(1) for q, p, n in (ours, [one[:, :width] for one in t] if labelled else cut)]
        expected["margin_mse"] = expected["margin_mse"] + weight * F.mse_loss(*margin)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)
    sum(found.values()).backward()
    assert next(student.parameters()).grad is not None


def test_matryoshka_and_an_adapter_use_its_first_columns(encoder):
    """Σ over widths of the term on what the first columns of the adapter make of the cut embeddings, and the whole teacher."""
    student, teacher = encoder(), encoder(24, seed=1)
    columns = [column for texts in (QUERIES, POSITIVES) for column in features(student, texts)]
    own = DistillationLoss(student, teacher, terms=[mse(), Term(objectives.get("rkd_distance"))])
    (weight,) = (one for one in own.texts.adapters.parameters() if one.ndim == 2)
    biases = [one for one in own.texts.adapters.parameters() if one.ndim == 1]
    found = MatryoshkaLoss(student, own, matryoshka_dims=[16, 4])(columns, None)
    s, t = (torch.cat(embedded(model, QUERIES, POSITIVES)) for model in (student, teacher))
    expected = torch.zeros(())
    for width in (16, 4):
        mapped = F.normalize(s[:, :width], dim=-1) @ weight[:, :width].T + sum(biases)
        expected = expected + F.mse_loss(mapped, t)
    torch.testing.assert_close(found["embedding_mse"], expected)
    alone = DistillationLoss(student, teacher, terms=[Term(objectives.get("rkd_distance"))])
    relations = MatryoshkaLoss(student, alone, matryoshka_dims=[16, 4])(columns, None)["rkd_distance"]
    torch.testing.assert_close(found["rkd_distance"], relations)


def test_matryoshka_trains_in_the_trainer(encoder, tmp_path):
    student, teacher = encoder(), encoder(seed=1)
    before = copy.deepcopy(student.state_dict())
    loss = MatryoshkaLoss(student, DistillationLoss(student, teacher, terms=[mse()]), matryoshka_dims=[16, 4])
    train(student, loss, tmp_path, {"query": QUERIES * 4})
    assert any(not torch.equal(before[name], value) for name, value in student.state_dict().items())
