"""A source is one file: a recipe can name it once the file is given as a plugin."""

from __future__ import annotations

import pytest
import torch

from limbeck import models
from limbeck.core.actors import trained
from limbeck.core.source import BatchPosition, named_sources, registry
from limbeck.core.terms import Term
from limbeck.data import load_items
from limbeck.engine import Optimizer, Run, Stage, Update, epochs
from limbeck.objectives import HardTargets
from limbeck.recipe import load_plugin, read_yaml
from tests.docs.pages import DOCS, blocks
from tests.engine.training_runs import quiet

GUIDE = (DOCS / "guide" / "new-source.md").read_text(encoding="utf-8")
(FILE,) = blocks(GUIDE, "python", ".part")
(RECIPE,) = blocks(GUIDE, "yaml")


class Reader:
    def items(self, data):
        return load_items(data["path"], split=data["split"]).select(torch.arange(320))

    def tokenize(self, texts):
        raise AssertionError("there are no texts")


@pytest.fixture(autouse=True)
def plugin(tmp_path, monkeypatch):
    """The file, loaded; afterwards the registries are as they were."""
    for each in (registry, models.registry):
        monkeypatch.setattr(each, "_parts", dict(each._parts))
        monkeypatch.setattr(each, "_citations", dict(each._citations))
    (tmp_path / "hard_first.py").write_text(FILE, encoding="utf-8")
    load_plugin(tmp_path / "hard_first.py")


def test_the_source_of_the_guide_draws_hard_items_more_often():
    (source,) = named_sources(read_yaml(RECIPE)["sources"]).values()
    assert source.has_epochs
    source.load(Reader())
    torch.manual_seed(0)
    student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    stage = Stage([Update([Term(HardTargets())])], epochs(4), Optimizer("sgd", lr=0.5))
    Run({"student": trained(student)}, [stage], source=source, settings=quiet()).fit()
    seen = source.loss != 1
    assert 100 < int(seen.sum()) <= 320
    drawn = torch.zeros(320)
    for step in range(200):
        drawn[source.batch(BatchPosition(step)).index] += 1
    easy, hard = source.loss < source.loss.median(), source.loss > source.loss.median()
    assert drawn[hard].mean() > 1.5 * drawn[easy].mean()
    again = source.fresh()
    assert (again.loss == 1).all()
    again.load_state_dict(source.state_dict())
    assert torch.equal(again.batch(BatchPosition(3)).index, source.batch(BatchPosition(3)).index)
