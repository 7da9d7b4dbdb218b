"""MobileBERT beside its teacher: feature maps of one width, its words, positions and norm, its head."""

import pytest
import torch
import transformers
from torch import nn

from limbeck.models import shrink as text

IDS = torch.tensor([[7, 8, 9, 10]])


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert", "MPNet", "Electra", "ModernBert"])
@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification", "ForQuestionAnswering", "ForMaskedLM"])
def test_families_and_heads(family, head, build, answers, tmp_path):
    if (family, head) == ("ModernBert", "ForQuestionAnswering"):
        head = "ForTokenClassification"
    teacher = build(family, head)
    student = text.mobilebert(teacher)
    assert type(student).__name__ == f"MobileBert{head}"
    with torch.no_grad():
        ours, theirs = (model(IDS, output_hidden_states=True).hidden_states for model in (student, teacher))
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    student.save_pretrained(tmp_path)
    auto = getattr(transformers, f"AutoModel{head}" if head != "Model" else "AutoModel")
    loaded = auto.from_pretrained(tmp_path)
    assert all(torch.equal(weight, student.get_parameter(name)) for name, weight in loaded.named_parameters())


def test_the_embedding_is_the_teachers_with_a_fixed_deviation(build):
    """With as many columns as the hidden size: γ·(x − mean)/σ + β, σ² the mean variance of every word, position and type."""
    teacher = build("Bert", max_position_embeddings=6)
    student = text.mobilebert(teacher, embedding=32)
    with torch.no_grad():
        parts = teacher.embeddings
        w, p, t = (table.weight for table in (parts.word_embeddings, parts.position_embeddings, parts.token_type_embeddings))
        every = (w[:, None, None] + p[None, :, None] + t).reshape(-1, 32)
        sums = w[IDS[0]] + p[:4] + t[0]
        expected = (sums - sums.mean(1, keepdim=True)) / every.var(1, correction=0).mean().sqrt()
        expected = expected * parts.LayerNorm.weight + parts.LayerNorm.bias
        assert torch.allclose(student.embeddings(IDS)[0], expected, atol=1e-4)


@pytest.mark.parametrize("family", ["Roberta", "Electra"])
def test_positions_and_projection_of_other_families(family, build):
    """Where every sum has the same deviation the student's embedding is the teacher's own."""
    teacher = build(family)
    width = teacher.get_input_embeddings().embedding_dim
    with torch.no_grad():
        for name, weight in teacher.named_parameters():
            if name.endswith("_embeddings.weight"):
                weight.zero_()
        signs = torch.tensor([[1.0, -1.0]]).repeat(60, width // 2)
        teacher.get_input_embeddings().weight.copy_(torch.stack([row.roll(shift) for shift, row in enumerate(signs)]))
        teacher.get_input_embeddings().weight[:, 2:4] *= -1
        theirs = teacher(IDS, output_hidden_states=True).hidden_states[0]
        ours = text.mobilebert(teacher, embedding=width)(IDS, output_hidden_states=True).hidden_states[0]
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_first_of_roberta_positions_is_the_students_first(build):
    teacher = build("Roberta")
    with torch.no_grad():
        teacher.embeddings.position_embeddings.weight[2] += 10 * torch.randn(32)  # <pad> is 1, the first token reads row 2
    rows = text.mobilebert(teacher).embeddings.position_embeddings.weight
    assert len(rows) == 38
    assert rows.norm(dim=1).argmax() == 0


def test_neighbours_do_not_count_until_trained(build):
    student = text.mobilebert(build("Bert"), embedding=4)
    other = torch.tensor([[30, 8, 31, 10]])
    with torch.no_grad():
        assert torch.allclose(student.embeddings(IDS)[0, 1], student.embeddings(other)[0, 1])
        student.embeddings.embedding_transformation.weight[:, 8:] = 1  # the last columns read the previous token
        before = student.embeddings(IDS)[0]
        after = student.embeddings(torch.tensor([[30, 8, 9, 10]]))[0]
    assert not torch.allclose(before[1], after[1])
    assert torch.allclose(before[2:], after[2:])


@pytest.mark.parametrize("embedding", [8, 32])
def test_without_trigrams(embedding, build):
    student = text.mobilebert(build("Bert"), embedding=embedding, trigram=False)
    reference = text.mobilebert(build("Bert"), embedding=embedding)
    with torch.no_grad():
        assert torch.allclose(student.embeddings(IDS), reference.embeddings(IDS), atol=1e-5)


def test_the_head_of_a_bert_is_copied(build):
    teacher = build("Bert", "ForSequenceClassification", num_labels=3)
    student = text.mobilebert(teacher)
    for name in ("classifier.weight", "classifier.bias", "{}.pooler.dense.weight"):
        assert torch.equal(student.get_parameter(name.format("mobilebert")), teacher.get_parameter(name.format("bert")))
    assert student.config.num_labels == 3


def test_sizes(build):
    student = text.mobilebert(build("Bert"), layers=2, intra=12, feed_forward=20, feed_forward_networks=2, embedding=5)
    config = student.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.hidden_size) == (2, 4, 32)
    assert (config.true_hidden_size, config.intermediate_size, config.embedding_size) == (12, 20, 5)
    assert {part.out_features for part in student.encoder.modules() if isinstance(part, nn.Linear)} == {12, 20, 32}
    assert len(student.encoder.layer[0].ffn) == 1
    assert text.mobilebert(build("Bert"), intra=9).config.num_attention_heads == 3  # four do not divide it


@pytest.mark.parametrize(
    ("family", "head", "sizes", "message"),
    [
        ("Bert", "Model", {"intra": 12, "heads": 5}, "heads=5 do not divide intra=12; these do: 1, 2, 3, 4, 6, 12"),
        ("Bert", "Model", {"intra": 33}, "intra_bottleneck_size=33: .* the hidden size 32"),
        ("Bert", "Model", {"embedding": 0}, "embedding_size=0"),
        ("Bert", "LMHeadModel", {}, "no counterpart among MobileBertModel, MobileBertForMaskedLM"),
        ("ViT", "ForImageClassification", {}, "no token embeddings"),
        ("MobileBert", "Model", {}, "positions after a projection"),
    ],
)
def test_refusals(family, head, sizes, message, build):
    with pytest.raises(ValueError, match=message):
        text.mobilebert(build(family, head), **sizes)


def test_a_decoder_without_a_norm_above_its_embeddings():
    config = transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0)
    with pytest.raises(ValueError, match="no norm after its embeddings"):
        text.mobilebert(transformers.GPT2Model(config))
