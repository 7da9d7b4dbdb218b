"""A recipe of a federation in a folder: verdict, report, command line, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("flwr")

from limbeck.evaluation import Verdict
from limbeck.integrations.flower.run import run_federation
from limbeck.models import load_model
from limbeck.recipe import Federation, Recipe, RecipeError
from tests.cli.conftest import limbeck  # noqa: F401
from tests.integrations.flower.federations import MODEL, content, recipe

GROUPS = {"small": MODEL, "wide": {"model": "mlp", "args": {"inputs": 64, "hidden": [32]}}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("federation") / "run"
    run_federation(recipe({"feddf": {"steps": 10}}, _groups=GROUPS, _seeds=[0, 1]), folder)
    return folder


def test_a_verdict_has_each_group_beside_fedavg_and_all_rounds(finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert list(verdict.results) == ["small", "wide"]
    assert all(result.control is not None and result.gain is not None for result in verdict.results.values())
    assert verdict.federation is not None
    assert [(each.arm, each.seed, each.number) for each in verdict.federation.rounds] == [
        (arm, seed, number) for arm in ("student", "control") for seed in (0, 1) for number in (1, 2)
    ]
    assert (verdict.federation.clients, verdict.federation.exchanges) == (4, "weights")
    assert verdict.federation.public_items * 64 == verdict.federation.public_bytes  # bytes of grey pixels
    counted = sum(each.bytes_up + each.bytes_down for each in verdict.federation.rounds[:2])
    assert verdict.federation.total_bytes("student", 0) == counted > 0
    assert load_model(finished / "student")(load_inputs()).shape == (3, 10)


def load_inputs():
    import torch

    return torch.zeros(3, 1, 8, 8)


def test_the_report_draws_rounds_and_bytes(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    for text in (
        "Accuracy over rounds: small",
        "Accuracy over megabytes: wide",
        "4 clients exchange weights",
        "from the clients",
    ):
        assert text in page
    assert "@inproceedings{lin2020ensemble" in page


def test_the_command_line_runs_resumes_and_refuses(limbeck, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "few.yaml"
    file.write_text(yaml.safe_dump(content({"feddf": {"steps": 5}}, rounds=1)))
    code, out, _ = limbeck("federate", file, "--out", tmp_path / "run", "--simulate", 3, "--json")
    assert code == 0
    assert json.loads(out)["federation"]["clients"] == 3
    code, _, error = limbeck("federate", file, "--out", tmp_path / "run")
    assert code == 2
    assert "holds a run already" in error
    code, _, error = limbeck("federate", "run", file, "--out", tmp_path / "run", "--simulate", 3, "--resume")
    assert code == 0, error
    code, _, error = limbeck("distill", file)
    assert code == 2
    assert "carry it out with: limbeck federate RECIPE" in error
    assert limbeck("report", tmp_path / "run")[0] == 0
    assert "few" in limbeck("runs", tmp_path)[1] or "run" in limbeck("runs", tmp_path)[1]
    assert "lin2020ensemble" in limbeck("cite", tmp_path / "run")[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "feddff"}, "nearest: feddf"),
        ({"method": {"feddf": {"stepz": 3}}}, "stepz"),
        ({"public": None, "method": "feddf"}, "feddf needs inputs without labels"),
        (
            {"public": None, "method": "fedmd", "source": {"gaussian": {"shape": [64]}}},
            "fedmd exchanges logits on data that all",
        ),
        ({"public": 1.5}, "public: 1.5 is no share"),
        ({"source": {"gaussian": {"shape": [64]}}}, "public: and source: are both given"),
        ({"partition": {"dirichlet": {"alpha": -1}}}, "alpha is -1; expected a number above 0"),
        ({"clients": 1}, "clients"),
        ({"fraction": 0}, "fraction"),
        (
            {"privacy": {"clipping_norm": 1, "sensitivity": 1, "epsilon": 1, "delta": 1e-5}, "method": "ds_fl"},
            "sends no weights",
        ),
        ({"_groups": {str(number): MODEL for number in range(9)}}, "9 architectures for 4 clients"),
        ({"_groups": GROUPS, "_student": MODEL}, "give student: .* or groups:"),
        ({"_teacher": {"model": "mlp", "weights": "x.safetensors"}}, "the clients' models are the teachers of a federation"),
        (
            {"method": "fedprox", "_training": {"optimizer": {"name": "rmsprop", "lr": 0.1}}},
            "unknown optimizer 'proximal_rmsprop'",
        ),
        ({"_targets": {"wide.gain": 1.0}}, "wide"),
    ],
)
def test_a_recipe_is_refused_before_anything_is_loaded(change: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Federation.from_dict(content(change.pop("method", "fedavg"), **change), files=False)


def test_shares_of_data_that_a_server_does_not_have_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"data.validation: a share of the training data, which is with the clients"):
        recipe().server_items()
    with pytest.raises(RecipeError, match=r"federated.public: a share"):
        recipe(_data={"train": {"path": "digits"}, "test": {"path": "digits"}}).client_items(Path("digits"))


def test_fingerprints_differ_where_server_and_clients_must_agree() -> None:
    same = recipe(_seeds=[4], _name="other", _targets={"metric": 0.5})
    assert same.fingerprint() == recipe().fingerprint()
    for other in (recipe(rounds=3), recipe("fedprox"), recipe(_training={"epochs": 2})):
        assert other.fingerprint() != recipe().fingerprint()


def test_a_federation_is_no_recipe_of_a_distillation() -> None:
    with pytest.raises(RecipeError, match=r"it has clients; carry it out with: limbeck federate RECIPE"):
        Recipe.from_dict(content())
