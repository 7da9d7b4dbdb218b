"""Factorised embeddings: exact where the teacher's tables have few directions, the best of their rank otherwise."""

import pytest
import torch

from limbeck.models import shrink as text


def of_rank(model, rank):
    """Embedding tables with `rank` directions after LayerNorm's subtraction of the mean."""
    torch.manual_seed(5)
    basis = torch.linalg.qr(torch.cat((torch.ones(32, 1), torch.randn(32, rank)), 1))[0][:, 1:]
    with torch.no_grad():
        for name, weight in model.base_model.named_parameters():
            if name.endswith("_embeddings.weight"):
                weight.copy_(torch.randn_like(weight) @ basis @ basis.T + torch.randn(len(weight), 1))
    return model


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_nothing_is_lost_where_the_tables_have_few_directions(family, build, answers, tmp_path):
    teacher = of_rank(build(family), 7)
    student, kept = text.factorised(teacher, 8)
    assert kept == pytest.approx(1)
    assert torch.allclose(answers(student), answers(teacher), atol=1e-3)
    student.save_pretrained(tmp_path)
    assert torch.equal(answers(type(student).from_pretrained(tmp_path)), answers(student))


def test_an_electra_becomes_narrower_still(build, answers):
    teacher = build("Electra", embedding_size=16)
    with torch.no_grad():
        basis = torch.linalg.qr(torch.cat((torch.ones(16, 1), torch.randn(16, 5)), 1))[0][:, 1:]
        for name, weight in teacher.named_parameters():
            if name.endswith("_embeddings.weight"):
                weight.copy_(torch.randn_like(weight) @ basis @ basis.T)
    student, kept = text.factorised(teacher, 6)
    assert kept == pytest.approx(1)
    assert torch.allclose(answers(student), answers(teacher), atol=1e-3)


def test_the_share_that_is_kept(build):
    """E[xxᵀ] over every word with every position and type, against the singular values of all those sums."""
    teacher = build("Bert", max_position_embeddings=6)
    with torch.no_grad():
        parts = teacher.embeddings
        tables = [parts.word_embeddings, parts.position_embeddings, parts.token_type_embeddings]
        w, p, t = (table.weight.double() for table in tables)
        sums = (w[:, None, None] + p[None, :, None] + t).reshape(-1, 32)
    values = torch.linalg.svdvals(sums - sums.mean(1, keepdim=True)).square()
    assert text.factorised(teacher, 9)[1] == pytest.approx(float(values[:8].sum() / values.sum()))


@pytest.mark.parametrize(
    ("head", "same"),
    [
        ("ForSequenceClassification", []),
        ("ForTokenClassification", ["classifier.bias", "classifier.weight"]),
        ("ForQuestionAnswering", ["qa_outputs.bias", "qa_outputs.weight"]),
    ],
)
def test_head_and_labels(head, same, build):
    teacher = build("Bert", head, id2label={0: "no", 1: "yes"})
    student = text.factorised(teacher, 8)[0]
    assert type(student).__name__ == f"Electra{head}"
    assert student.config.id2label == {0: "no", 1: "yes"}
    theirs = dict(teacher.named_parameters())
    ours = {name: weight for name, weight in student.named_parameters() if not name.startswith("electra.")}
    assert sorted(name for name in ours if name in theirs and torch.equal(ours[name], theirs[name])) == same
    layer = "encoder.layer.2.output.dense.weight"
    assert torch.equal(student.base_model.get_parameter(layer), teacher.base_model.get_parameter(layer))


def test_one_layer_for_all_depths(build, answers):
    teacher = of_rank(build("Bert", "ForSequenceClassification"), 7)
    student, kept = text.factorised(teacher, 8, shared=True)
    assert type(student).__name__ == "AlbertForSequenceClassification"
    assert kept == pytest.approx(1)
    assert (student.config.num_hidden_layers, student.config.num_hidden_groups) == (4, 1)
    ids = torch.tensor([[7, 8, 9]])
    with torch.no_grad():
        entered = student.albert.encoder.embedding_hidden_mapping_in(student.albert.embeddings(ids))
        assert torch.allclose(entered, teacher.bert.embeddings(ids), atol=1e-4)


def test_fresh_embeddings(build):
    student, kept = text.factorised(build("Bert"), 8, initialise="random")
    assert kept != kept  # not a number: nothing was kept
    assert student.embeddings.word_embeddings.weight.std() < 0.03


@pytest.mark.parametrize(
    ("family", "head", "args", "message"),
    [
        ("DistilBert", "Model", {}, "factorised takes bert, roberta, xlm-roberta, camembert, electra, got distilbert"),
        ("Bert", "Model", {"embedding": 32}, "embedding=32 must be between 2 and 31"),
        ("Bert", "Model", {"embedding": 1}, "embedding=1"),
        ("Bert", "Model", {"embedding": 8, "initialise": "truncate"}, "use 'svd' or 'random'"),
        ("Bert", "ForNextSentencePrediction", {"embedding": 8}, "no counterpart among ElectraModel, .*ElectraForMaskedLM"),
    ],
)
def test_refusals(family, head, args, message, build):
    with pytest.raises(ValueError, match=message):
        text.factorised(build(family, head), **args)
