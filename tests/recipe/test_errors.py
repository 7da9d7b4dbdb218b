"""Every mistake is named with its field, its value and what was expected."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from pydantic import ValidationError

from limbeck.recipe import ExportSpec, RecipeError
from limbeck.recipe.errors import user_message
from tests import tiny


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.epochs=abc", "training.epochs: .*valid number.*'abc'"),
        ("trainig.epochs=3", "trainig: there is no such field; nearest: training"),
        ("training.epohcs=3", "training.epohcs: there is no such field; nearest: epochs"),
        ("data.train.pth=x", "data.train.pth: there is no such field; nearest: path"),
        ("data.size=8", "data.size: there is no such field here; it is data.train.size, data.test.size"),
        ("lr=1", "lr: there is no such field here; it is training.optimizer.lr"),
        ("teacher.cache=auto", "teacher.cache: there is no such field here; it is cache: of the recipe"),
        ("data.train.labels=5", "data.train.labels: there is no such field here; it is data.labels"),
        ("training.epochs=5", "training: epochs is 5 and steps is 12; give one of the two"),
        ("training.optimizer.name=adamv", "training.optimizer: unknown optimizer 'adamv'; nearest: adam"),
        ("training.optimizer.lrr=3", "training.optimizer: optimizer 'adamw'.*'lrr'"),
        ("training.epochs=.inf", "training.epochs is inf: a finite number is needed"),
        ("terms.1.soft_targets.temperature=.nan", "terms.1.*temperature is nan: a finite number is needed"),
        ("training.threads=100000", "training.threads: .*less than or equal to 1024.*100000"),
        ("training.steps=99999999999999999999", "training.steps: "),
        ("training.batch_size=1e30", "training.batch_size: "),
        ("seeds=[99999999999999999999]", "seeds.0: "),
        ("name=..", "name: .*'..'"),
        ("evaluate={'..': student}", "evaluate: '..' names a folder"),
        ("evaluate={/tmp/x: student}", "evaluate: '/tmp/x' names a folder"),
        ("training.optimizer.lr=-1", "training.optimizer.lr: .*greater than 0.*-1"),
        ("training.optimizer.schedule=cosin", "training.optimizer: unknown schedule 'cosin'; nearest: cosine"),
        ("training.optimizer.schedule={warmup: 3}", "training.optimizer: "),
        ("training.views=[random_corp]", "training.views: unknown transform 'random_corp'; nearest: random_crop"),
        ("training.views=[{random_crop: {paddin: 3}}]", "training.views: transform 'random_crop'.*'paddin'"),
        ("training.precision=int8", "training.precision: .*'float32', 'bfloat16' or 'float16'.*'int8'"),
        ("terms.0={soft_target: {}}", "terms.0: unknown objective 'soft_target'; nearest: soft_targets"),
        ("terms.1.soft_targets.temprature=3", "terms.1: objective 'soft_targets'.*'temprature'"),
        ("terms.1.soft_targets.weight={linea: {}}", "terms.1: unknown schedule 'linea'; nearest: linear"),
        ("terms.1.soft_targets.item_weight=foo", "terms.1: unknown weigher 'foo'; nearest: "),
        ("terms.0.hint={}", "terms.0: expected a name, or one name with its arguments"),
        ("terms=3", "terms: .*valid list.*got 3"),
        ("stages=[{terms: [soft_targets], steps: 3}]", "recipe: give terms:, stages: or method:, one of the three"),
        ("teacher.model=tinycnn", "teacher.model: unknown model 'tinycnn'; nearest: tiny_cnn"),
        ("teacher.training=null", "teacher: a teacher needs weights: .* or training:"),
        ("student=tiny_cnn", "student: .*'tiny_cnn'"),
        ("data.validation=1.5", "data.validation: .*less than 1.*1.5"),
        ("data.validation={pth: x}", "data.validation.pth: there is no such field"),
        ("data.test.on_error=ignore", "data.test.on_error: .*'raise' or 'skip'.*'ignore'"),
        ("data.train=/nowhere/x.parquet", "data.train: there is no folder /nowhere"),
        ("data.train=${LIMBECK_NO_SUCH}/x", "data.train: .*environment variable LIMBECK_NO_SUCH, which is not set"),
        ("seeds=[]", "seeds: "),
        ("seeds=[1,1]", "seeds .* hold one twice"),
        ("targets={gian: 3}", "unknown target 'gian'; nearest: gain"),
        ("name=a/b", "name: .*'a/b'"),
    ],
)
def test_a_wrong_value_is_named_with_its_field(change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tiny.recipe(change)


def test_options_that_are_fields_have_the_errors_of_fields() -> None:
    with pytest.raises(ValidationError) as caught:
        ExportSpec.model_validate({"formats": ["onnxx"], "calibration_items": 0, "presisions": []})
    said = user_message(caught.value).splitlines()
    assert any("onnxx" in line for line in said)
    assert any(line.startswith("calibration_items: ") and "(got 0)" in line for line in said)
    assert any(line.startswith("presisions: there is no such field; nearest: precisions") for line in said)
    assert "pydantic" not in "".join(said)
    assert user_message(ValueError("plain")) == "plain"


def test_of_many_errors_the_first_are_shown() -> None:
    with pytest.raises(RecipeError, match=r"x19: there is no such field(?s:.*)… and 3,980 more$") as caught:
        tiny.recipe(*(f"x{number}=1" for number in range(4_000)))
    assert len(str(caught.value)) < 3_000


def test_errors_of_the_system_are_a_path_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(OSError, match="Errno") as found:
            path.read_bytes()
        return user_message(found.value)

    assert said(tmp_path / "x") == f"{tmp_path / 'x'}: no such file or directory"
    assert said(tmp_path) == f"{tmp_path}: is a directory"
    assert (
        said(tmp_path / ("x" * 300))
        == f"{'x' * 80}…: this name of a file has 300 characters, more than the system allows (255)"
    )
    assert "make room" in user_message(OSError(errno.ENOSPC, "No space left on device", "/data/x")).lower()
    assert user_message(OSError(errno.ENOSPC, "No space left on device", "/data/x")).startswith("/data/x: the disk is full")
    assert "no UTF-8" in user_message(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
