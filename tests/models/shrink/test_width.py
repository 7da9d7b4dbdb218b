"""Smaller sizes: proportions, slices, and a rotation that loses nothing where nothing is cut."""

import pytest
import torch
from torch import nn

from limbeck.models import shrink as text
from limbeck.models.shrink.principal_directions import layernorm_projection, second_moment

FAMILIES = ["Bert", "Roberta", "DistilBert", "Electra", "Albert", "MPNet", "ModernBert", "DebertaV2"]
HEADED = [(family, "ForSequenceClassification") for family in FAMILIES] + [("ViT", "ForImageClassification")]


def equal_norms(model):
    """All γ = 1: what a rotation of the residual stream can respect exactly."""
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.LayerNorm):
                part.weight.fill_(1)
    return model


def states(family):
    torch.manual_seed(2)
    return torch.randn(3, 40, 32) if family == "ViT" else None


@pytest.mark.parametrize(("family", "head"), HEADED)
@pytest.mark.parametrize("initialise", ["random", "truncate", "svd"])
def test_every_family_in_smaller_sizes(family, head, initialise, build, answers, tmp_path):
    teacher = build(family, head)
    student = text.narrower(teacher, layers=2, hidden=16, initialise=initialise, states=states(family))
    config = student.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 16, 2)
    assert {part.in_features for part in student.modules() if isinstance(part, nn.Linear)} <= {8, 16, 24}  # 24 = 48 / 2
    student.save_pretrained(tmp_path)
    assert torch.equal(answers(type(teacher).from_pretrained(tmp_path)), answers(student))


@pytest.mark.parametrize(
    ("family", "options"), [*((family, {}) for family in [*FAMILIES, "ViT"]), ("Electra", {"embedding_size": 32})]
)
def test_the_rotation_alone_changes_nothing_but_the_axes(family, options, build, answers):
    teacher = equal_norms(build(family, **options))
    student = text.narrower(teacher, initialise="svd", states=states(family))
    theirs, ours = (hidden @ hidden.mT for hidden in (answers(teacher), answers(student)))  # angles do not turn with the axes
    assert not torch.allclose(answers(teacher), answers(student), atol=0.1)
    assert torch.allclose(theirs, ours, atol=1e-3)


@pytest.mark.parametrize("rank", [3, 15])
def test_layernorm_respects_the_map(rank):
    """LN(Vᵀx) = √(width/D)·(‖x‖/‖Vᵀx‖)·Vᵀ LN(x) for centred x; nothing of x is lost where it has few directions."""
    torch.manual_seed(3)
    x = torch.randn(40, rank, dtype=torch.float64) @ torch.randn(rank, 32, dtype=torch.float64)
    x = x - x.mean(1, keepdim=True)
    turn, kept = layernorm_projection(second_moment(x), 16)
    assert kept == pytest.approx(1)
    assert torch.allclose(turn.T @ turn, torch.eye(16, dtype=torch.float64))
    small, whole = nn.functional.layer_norm(x @ turn, (16,)), nn.functional.layer_norm(x, (32,))
    assert torch.allclose(small, whole @ turn * (16 / 32) ** 0.5, atol=1e-4)
    assert torch.allclose(torch.ones(32, dtype=torch.float64) @ turn, torch.full((16,), 2**0.5, dtype=torch.float64))


def test_the_map_keeps_the_leading_directions():
    torch.manual_seed(4)
    x = torch.randn(200, 12, dtype=torch.float64) * torch.logspace(0, -2, 12, dtype=torch.float64)
    x = x - x.mean(1, keepdim=True)
    values = torch.linalg.svdvals(x).square()
    assert layernorm_projection(second_moment(x), 5)[1] == pytest.approx(float(values[:4].sum() / values.sum()))


def test_what_a_norm_gives_is_as_large_as_the_part_of_it_that_is_kept(build):
    """γ = 1 becomes √(share·H/hidden): the kept directions of √H·x/‖x‖ have that length in each of their coordinates."""
    torch.manual_seed(6)
    kept, teacher = torch.randn(50, 32) * torch.logspace(0, -1, 32), equal_norms(build("Bert"))
    student = text.narrower(teacher, hidden=16, initialise="svd", states=kept)
    share = layernorm_projection(second_moment(kept), 16)[1]
    assert student.embeddings.LayerNorm.weight.tolist() == pytest.approx([(share * 2) ** 0.5] * 16, abs=1e-5)


def test_coordinates_that_a_norm_singles_out_are_not_rotated(build, answers):
    """With a γ far from the others, whose coordinate stays one, the rotated teacher is still the teacher."""
    teacher = equal_norms(build("Bert"))
    with torch.no_grad():
        teacher.encoder.layer[1].output.LayerNorm.weight[5] = 3
        teacher.embeddings.LayerNorm.weight[20] = 0.1
    student = text.narrower(teacher, initialise="svd")
    assert torch.allclose(*(hidden @ hidden.mT for hidden in (answers(teacher), answers(student))), atol=1e-3)
    weights = student.encoder.layer[1].output.LayerNorm.weight
    assert weights.sort().values[-2:].tolist() == pytest.approx([1, 3])


def test_truncation_takes_leading_slices_of_evenly_spaced_layers(build):
    teacher = build("Bert", "ForSequenceClassification")
    student = text.narrower(teacher, layers=2, hidden=16, initialise="truncate")
    theirs, ours = teacher.bert.encoder.layer, student.bert.encoder.layer
    heads = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]  # two whole heads of eight
    for mine, layer in zip(ours, (theirs[0], theirs[3]), strict=True):
        assert torch.equal(mine.attention.self.query.weight, layer.attention.self.query.weight[heads][:, :16])
        assert torch.equal(mine.output.dense.weight, layer.output.dense.weight[:16, :24])
        assert torch.equal(mine.output.LayerNorm.weight, layer.output.LayerNorm.weight[:16])
    assert torch.equal(student.classifier.weight, teacher.classifier.weight[:, :16])


def test_of_each_head_the_leading_dimensions(build):
    teacher = build("Bert")
    student = text.narrower(teacher, hidden=16, heads=4, initialise="truncate")
    rows = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]  # four of the eight dimensions of each head
    theirs, ours = teacher.encoder.layer[0].attention, student.encoder.layer[0].attention
    assert torch.equal(ours.self.value.weight, theirs.self.value.weight[rows][:, :16])
    assert torch.equal(ours.output.dense.weight, theirs.output.dense.weight[:16][:, rows])


def test_sizes_in_proportion_and_by_hand(build):
    teacher = build("Electra", "ForMaskedLM")
    config = text.narrower(teacher, hidden=24).config
    assert (config.num_attention_heads, config.intermediate_size, config.embedding_size) == (3, 36, 12)
    config = text.narrower(teacher, layers=6, hidden=20, heads=5, feed_forward=7, embedding=3).config
    assert (config.num_hidden_layers, config.num_attention_heads, config.intermediate_size, config.embedding_size) == (
        6,
        5,
        7,
        3,
    )


def test_a_fresh_student_has_nothing_of_the_teacher_and_keeps_its_labels(build):
    teacher = build("Bert", "ForSequenceClassification", num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    student = text.narrower(teacher, hidden=32)
    same = [name for name, weight in student.named_parameters() if torch.equal(weight, teacher.get_parameter(name))]
    assert same == []
    assert student.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize(
    ("family", "sizes", "message"),
    [
        ("Bert", {"hidden": 18, "heads": 4}, "heads=4 do not divide hidden=18; these do: 1, 2, 3, 6, 9, 18"),
        ("ModernBert", {"hidden": 18, "heads": 2}, "heads=2 do not divide hidden=18; these do: 1, 3, 9"),
        ("Bert", {"hidden": 0}, "hidden_size=0"),
        ("Bert", {"layers": 0}, "layers must be at least 1"),
        ("Bert", {"embedding": 8}, r"factorised\(BertModel, embedding=8\)"),
        ("Bert", {"initialise": "pca"}, "'random', 'truncate' or 'svd'"),
        ("Bert", {"hidden": 64, "initialise": "svd"}, "hidden_size is 64, the teacher's is 32"),
        ("Bert", {"layers": 5, "initialise": "truncate"}, "num_hidden_layers is 5, the teacher's is 4"),
        ("Electra", {"hidden": 16, "embedding": 16, "initialise": "svd"}, "would appear or vanish"),
        ("ViT", {"hidden": 16, "initialise": "svd"}, "no token embeddings"),
        ("MobileBert", {"hidden": 16}, "an encoder whose sizes"),
    ],
)
def test_refusals(family, sizes, message, build):
    with pytest.raises(ValueError, match=message):
        text.narrower(build(family), **sizes)


def test_states_of_another_width(build):
    with pytest.raises(ValueError, match="the last axis must be the teacher's hidden size 32"):
        text.narrower(build("Bert"), hidden=16, initialise="svd", states=torch.randn(4, 16))
