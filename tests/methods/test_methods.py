"""Methods: each trains a tiny student from a recipe that names it, with a vocabulary of its own and altered texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import methods, runs, steps
from limbeck.engine import Freeze, LearningRateScale, Unfreeze
from limbeck.models import load_model
from limbeck.recipe import Recipe, RecipeError
from limbeck.tasks import Classification
from tests.runs.test_text_runs import place, recipe  # noqa: F401

transformers = pytest.importorskip("transformers")
QUICK = {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 1e-3}, "trackers": [], "threads": 1}
METHODS: dict[str, dict[str, Any]] = {
    "distilbert": {"epochs": 1},
    "bert_pkd": {"epochs": 1},
    "tinybert": {"layers": 2, "hidden": 16, "layer_epochs": 1, "prediction_epochs": 1},
    "minilm": {"layers": 2, "hidden": 16, "relation_epochs": 1, "fine_tuning_epochs": 1},
    "minilm_v2": {"layers": 2, "hidden": 24, "relation_heads": 8, "relation_epochs": 1, "fine_tuning_epochs": 1},
    "mobilebert": {"layers": 2, "intra": 8, "layer_epochs": 0.5, "fine_tuning_epochs": 1},
}


def named(place: Path, method: Any, **changes: Any) -> Recipe:  # noqa: F811
    """The tiny text recipe with a method in place of its terms, and an untrained teacher, which is enough here."""
    content = recipe(place, training=QUICK).model_dump(mode="json", exclude={"terms", "stages", "student"})
    content["teacher"] = {"model": "transformers", "args": {"name_or_path": str(place / "teacher"), "num_labels": 2}}
    return Recipe.from_dict(content | {"method": method, "control": False} | changes)


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_names_it_and_all_stages_run(name: str, place: Path, tmp_path: Path) -> None:  # noqa: F811
    wanted = named(place, {name: METHODS[name]}, student={"vocabulary": True}, data=read(place, augment={"copies": 1}))
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    teacher = runs.build_teacher(wanted, wanted.load()[0])
    _, stages = methods.registry[name](teacher, task=Classification(), **METHODS[name])
    assert verdict.cost is not None
    assert verdict.cost.student_steps > len(stages)
    student = load_model(tmp_path / "run" / "student")
    assert type(student).__name__.endswith("ForSequenceClassification")
    assert type(student).from_pretrained(tmp_path / "run" / "student").config.num_labels == 2
    again = Recipe.read(tmp_path / "run" / "recipe.yaml")
    assert again.method == wanted.method


def read(place: Path, **more: Any) -> dict[str, Any]:  # noqa: F811
    return {"train": str(place / "train.parquet"), "test": str(place / "test.parquet"), "max_length": 32, **more}


def test_the_stages_of_tinybert_change_what_they_are_about(place: Path) -> None:  # noqa: F811
    teacher = load(place)
    student, (layers, prediction) = methods.tinybert(teacher, task=Classification(), layers=2, hidden=16)
    assert [term.name for term in layers.terms] == ["hidden.0", "hidden.1", "hidden.2", "attention.1", "attention.2"]
    assert [(term.student, term.teacher) for term in layers.terms][2] == ("hidden(2)", "hidden(4)")
    assert [term.objective.name for term in prediction.terms] == ["soft_targets"]
    assert student(teacher).config.hidden_size == 16


def test_texts_of_all_kinds_are_answered_by_the_encoder_before_its_fine_tuning(place: Path, tmp_path: Path) -> None:  # noqa: F811
    general = str(place / "test.parquet")
    method = {"tinybert": METHODS["tinybert"] | {"general": general, "general_epochs": 1}}
    fine_tuned = {"model": "transformers", "args": {"name_or_path": str(place / "teacher"), "num_labels": 2}, "training": QUICK}
    wanted = named(place, method, teacher=fine_tuned, data=read(place, allow_shared_items=True))
    teacher = load(place)
    stages = wanted.method_call.after_loading(teacher, wanted.load()[1])["stages"]
    assert [stage.name for stage in stages] == ["general", "layers", "prediction"]
    assert {term.teacher.split(":")[0] for term in stages[0].terms} == {"general_teacher"}
    first = stages[0].actors["general_teacher"]()
    assert torch.equal(first.encoder.layer[0].output.dense.weight, teacher.bert.encoder.layer[0].output.dense.weight)
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    assert verdict.cost is not None
    assert verdict.cost.student_steps > 3


def test_tinybert_with_a_narrower_table(place: Path, tmp_path: Path) -> None:  # noqa: F811
    """More words than a table of the hidden size has room for: those of other texts too, each a few numbers wide."""
    method = {"tinybert": METHODS["tinybert"] | {"embedding": 8}}
    wanted = named(place, method, student={"vocabulary": {"texts": [str(place / "test.parquet")]}})
    runs.run_recipe(wanted, tmp_path / "run", progress=False)
    student = transformers.ElectraForSequenceClassification.from_pretrained(tmp_path / "run" / "student")
    assert (student.config.embedding_size, student.config.hidden_size, student.config.num_hidden_layers) == (8, 16, 2)
    assert student.get_input_embeddings().weight.shape[1] == 8


def test_the_layers_that_were_asked_for_are_kept_in_a_narrower_student_too(place: Path) -> None:  # noqa: F811
    teacher = load(place)
    second = teacher.bert.encoder.layer[1].output.dense.weight
    for method in (methods.minilm, methods.minilm_v2):
        options = {} if method is methods.minilm else {"relation_heads": 8}
        wide, _ = method(teacher, task=Classification(), layers=[1, 2], hidden=teacher.config.hidden_size, **options)
        assert torch.equal(wide(teacher).bert.encoder.layer[0].output.dense.weight, second)
        cut, _ = method(teacher, task=Classification(), layers=[1, 2], hidden=16, initialise="truncate", **options)
        mine = cut(teacher).bert.encoder.layer[0].output.dense.weight
        assert torch.equal(mine, second[: mine.shape[0], : mine.shape[1]])


@pytest.mark.parametrize(
    ("kind", "layers", "width", "layer", "heads"),
    [("Bert", 24, 64, 21, 64), ("Roberta", 24, 64, 19, 64), ("Bert", 12, 48, 12, 48)],
)
def test_minilm_v2_takes_the_papers_layer_and_relation_heads(
    kind: str, layers: int, width: int, layer: int, heads: int
) -> None:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 8}
    config = getattr(transformers, f"{kind}Config")(vocab_size=50, max_position_embeddings=32, **sizes)
    teacher = getattr(transformers, f"{kind}Model")(config)
    _, stages = methods.minilm_v2(teacher, task=Classification(), layers=2)
    (term,) = stages[0].terms
    assert list(term.teacher) == [f"{part}({layer})" for part in ("queries", "keys", "values")]
    assert term.objective.heads == heads  # type: ignore[attr-defined]


def test_minilm_learns_by_way_of_an_assistant_where_it_is_small(place: Path) -> None:  # noqa: F811
    teacher = load(place)
    _, stages = methods.minilm(teacher, task=Classification(), layers=2, hidden=16)
    assert [stage.name for stage in stages] == ["assistant", "attention", "fine-tuning"]
    assert stages[0].updates[0].trains == ("assistant",)
    assert {term.teacher.split(":")[0] for term in stages[1].terms} == {"assistant"}
    _, stages = methods.minilm(teacher, task=Classification(), layers=3)
    assert [stage.name for stage in stages] == ["attention", "fine-tuning"]
    with pytest.raises(ValueError, match=r"4 heads do not divide hidden=18.*minilm_v2"):
        methods.minilm(teacher, task=Classification(), layers=2, hidden=18)


def test_mobilebert_grows_and_its_earlier_layers_follow_slowly(place: Path) -> None:  # noqa: F811
    teacher = load(place)
    _, stages = methods.mobilebert(teacher, task=Classification(), intra=8)
    assert [stage.name for stage in stages] == ["layer 1", "layer 2", "layer 3", "layer 4", "fine-tuning"]
    assert {event.factor for event in stages[2].on_enter if isinstance(event, LearningRateScale)} == {0.1}
    assert len(stages[2].on_enter) == 3
    assert stages[-1].on_enter[0] == Unfreeze("student")
    _, frozen = methods.mobilebert(teacher, task=Classification(), intra=8, earlier=0)
    (event,) = frozen[2].on_enter
    assert isinstance(event, Freeze)
    assert len(event.modules) == 3
    with pytest.raises(ValueError, match="earlier is 2"):
        methods.mobilebert(teacher, task=Classification(), earlier=2)


def test_patience_is_the_squared_distance_of_directions(place: Path) -> None:  # noqa: F811
    teacher = load(place)
    _, (stage,) = methods.bert_pkd(teacher, task=Classification(), layers=2, beta=3.0)
    term = next(term for term in stage.terms if term.name == "patience.1")
    s, t = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    unit = torch.nn.functional.normalize
    assert torch.allclose(term.weight(0) * term.objective(s, t), 3 * (unit(s) - unit(t)).square().sum(1))  # type: ignore[operator]


def test_what_does_not_fit_is_named(place: Path) -> None:  # noqa: F811
    with pytest.raises(RecipeError, match="tinybert has no 'layer'; nearest: layers"):
        named(place, {"tinybert": {"layer": 2}})
    with pytest.raises(RecipeError, match=r"unknown method .tinybrt.*tinybert"):
        named(place, "tinybrt")
    with pytest.raises(RecipeError, match="the method tinybert makes it"):
        named(place, "tinybert", student={"from_teacher": {"init_from_teacher": {"layers": [0]}}})
    with pytest.raises(RecipeError, match="one of the three"):
        named(place, "tinybert", terms=["soft_targets"])
    with pytest.raises(ValueError, match="layers=9: expected 1 to 4"):
        methods.distilbert(load(place), task=Classification(), layers=9)
    with pytest.raises(ValueError, match="bert_pkd: layers is 9; expected 2 to 4"):
        methods.bert_pkd(load(place), task=Classification(), layers=9, how="last")
    with pytest.warns(UserWarning, match=r"the teacher's 4 heads \(intra=6\); its term is left out"):
        methods.mobilebert(load(place), task=Classification(), intra=6)
    with pytest.raises(ValueError, match="an encoder of Transformers is needed"):
        methods.distilbert(torch.nn.Linear(2, 2), task=Classification())


def load(place: Path) -> Any:  # noqa: F811
    return transformers.BertForSequenceClassification.from_pretrained(place / "teacher")


def test_hinton_takes_the_losses_of_the_task():
    from limbeck.tasks import MultilabelClassification

    labels, teacher = methods.hinton(2.0, 0.75, MultilabelClassification())
    assert (labels.objective.name, labels.weight(0)) == ("binary_cross_entropy", 0.25)
    assert (teacher.objective.name, teacher.weight(0), teacher.objective.temperature) == ("binary_soft_targets", 0.75, 2)


def test_what_the_recipe_fills_in_is_passed_by_name_in_python() -> None:
    message = r"method: mutual_learning needs task and length.*methods\.call\('mutual_learning', \{…\}, task=…, length=…\)"
    with pytest.raises(ValueError, match=message):
        methods.call("mutual_learning", {"weight": 2.0})
    assert methods.call("wsld", {})["terms"]


@pytest.mark.parametrize(("argument", "field"), [("teacher", "teacher"), ("items", "data.train"), ("length", "training")])
def test_what_the_recipe_fills_in_is_not_an_argument(argument: str, field: str) -> None:
    with pytest.raises(ValueError, match=rf"method: hinton gets '{argument}' from {field}: of the recipe; say it there"):
        methods.check_arguments("hinton", {argument: 3})


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("ca_mkd", {}, "layer"),
        ("progressive_projection", {"features": {"conv": "layer2"}}, "features"),
        ("cross_architecture", {"features": {"layer9": "blocks.5"}}, "features"),
        ("supervision_transfer", {"layer": "conv", "teacher_layer": "layer2"}, "layer and teacher_layer"),
    ],
)
def test_a_term_says_which_argument_names_its_tap(name: str, arguments: dict[str, Any], named: str) -> None:
    made = methods.call(name, arguments, task=Classification(), length=steps(4))
    terms = [*made.get("terms", []), *(t for stage in made.get("stages", []) for one in stage.updates for t in one.terms)]
    remedies = {term.remedy for term in terms if term.remedy}
    assert f"It is what {named} of {name} name{'' if ' and ' in named else 's'}" in remedies
    outputs = [term for term in terms if not term.remedy]
    assert all(":" not in str(term.student) for term in outputs)
