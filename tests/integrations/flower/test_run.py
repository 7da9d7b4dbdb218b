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
from limbeck.recipe.federation import FederatedItems
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
    assert "The control is FedAvg" in page
    assert "log.jsonl is missing" not in page


def test_the_command_line_runs_resumes_and_refuses(limbeck, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "few.yaml"
    file.write_text(yaml.safe_dump(content({"feddf": {"steps": 5}}, rounds=1)))
    code, out, _ = limbeck("federate", file, "--out", tmp_path / "run", "--simulate", 3, "--json")
    assert code == 0
    assert json.loads(out)["federation"]["clients"] == 3
    missed = ["--set", "targets={metric: 2}", "--set", "federated.rounds=1", "--set", "control=false"]
    code, out, _ = limbeck("federate", file, "--out", tmp_path / "missed", "--simulate", 3, *missed)
    assert code == 3
    assert "target metric: missed, goal 2, value 0." in out  # what the exit code says
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
        ({"source": {"gaussian": {"shape": [64]}}}, "public: and source: are given together; give one of them"),
        ({"data_free": "dfad"}, "public: and data_free: are given together"),
        (
            {"method": "feddf", "public": None, "data_free": "hinton"},
            "data_free: 'hinton' is no method without data; choose .* dfad",
        ),
        ({"method": "feddf", "public": None, "data_free": {"dfad": {"widht": 3}}}, "dfad has no 'widht'; nearest: width"),
        ({"method": "feddf", "public": None, "data_free": {"dfad": {"width": "wide"}}}, "width='wide': expected int"),
        ({"method": "fedavg", "public": None, "data_free": "dfad"}, "data_free: fedavg distils nothing on the server"),
        ({"method": "fedmd", "public": None, "data_free": "dfad"}, "fedmd exchanges logits on data that all"),
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
        ({"least_replies": 9}, "least_replies: 9, and 4 of 4 clients are asked in a round, so that no round would change"),
        ({"least_replies": 2, "fraction": 0.25}, "least_replies: 2, and 1 of 4 clients are asked"),
        ({"_data": {**content()["data"], "labels": 50}}, "data.labels: 50 has no effect: clients learn from all their labels"),
        ({"_training": {"epochs": 1, "ema": 0.9}}, "training.ema: 0.9 has no effect"),
        ({"_training": {"epochs": 1, "patience": 3}}, r"training.patience: 3 has no effect: .*\{feddf: \{patience: 5\}\}"),
        ({"_training": {"epochs": 1, "trackers": ["wandb"]}}, r"training.trackers: \['wandb'\] has no effect"),
    ],
)
def test_a_recipe_is_refused_before_anything_is_loaded(change: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Federation.from_dict(content(change.pop("method", "fedavg"), **change), files=False)


def test_a_seed_whose_data_cannot_be_split_says_so_before_any_other_is_trained(tmp_path: Path) -> None:
    wanted = recipe(_seeds=[0, 1])

    def items(seed: int) -> FederatedItems:
        if seed == 1:
            raise ValueError("partition: dirichlet left a client fewer than 10 items")
        return wanted.simulated(seed)

    with pytest.raises(ValueError, match="left a client fewer"):
        run_federation(wanted, tmp_path / "run", items=items, grid=lambda *_: pytest.fail("a seed is trained"))
    assert not (tmp_path / "run").exists()


def test_a_federation_without_public_data_is_carried_out(tmp_path: Path) -> None:
    made = {"public": None, "data_free": {"dfad": {"width": 4, "latent": 8}}}
    verdict = run_federation(recipe({"feddf": {"steps": 5}}, **made), tmp_path / "run")
    assert verdict.federation is not None
    assert [each.used for each in verdict.federation.rounds] == [4] * 4


def test_a_model_of_vectors_reads_images_flattened_without_being_told_their_size(tmp_path: Path) -> None:
    made = recipe(_student={"model": "mlp", "args": {"hidden": [8]}}, rounds=1, _control=False)
    verdict = run_federation(made, tmp_path / "run")
    assert load_model(tmp_path / "run" / "student").layers[0][0].in_features == 64
    assert verdict.sentence().startswith("reached accuracy")
    assert "distil" not in verdict.sentence()  # FedAvg distils nothing
    page = (tmp_path / "run" / "report.html").read_text()
    assert "1 round of 4 clients" in page
    assert "student steps" not in page
    assert "processed by the teacher" not in page


def test_a_method_that_only_averages_is_named_where_distillation_would_be(tmp_path: Path) -> None:
    verdict = run_federation(recipe({"fedprox": {"mu": 1.0}}, rounds=1, public=None), tmp_path / "run")
    assert "fedprox" in verdict.sentence()
    assert "distil" not in verdict.sentence()
    assert Verdict.load(tmp_path / "run").sentence() == verdict.sentence()


def test_a_federation_that_has_learned_nothing_is_no_result(tmp_path: Path) -> None:
    made = recipe(rounds=1, _training={**content()["training"], "optimizer": {"name": "sgd", "lr": 1e30, "schedule": 1.0}})
    with pytest.raises(ValueError, match=r"no round of 1 had 1 usable replies.* node 1: .*start over with --force"):
        run_federation(made, tmp_path / "run")
    assert not (tmp_path / "run" / "verdict.json").exists()


def test_what_has_no_effect_may_be_switched_off() -> None:
    assert recipe(_training={"epochs": 1, "trackers": [], "ema": None}).training.trackers == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"message_limit": 1000}, r"federated.message_limit is 1,000 bytes, and the weights of student take \d,\d+"),
        ({"method": "ds_fl", "message_limit": 1000}, r"and the logits of \d+ public items take [\d,]+, so that every message"),
        (
            {"method": "feddf", "public": None, "source": {"gaussian": {"shape": [9]}}},
            r"federated.source: gaussian makes inputs of shape \[9\], which the model of student cannot read",
        ),
        (
            {"method": "feddf", "public": None, "data_free": {"dfq": {"width": 4}}},
            "federated.data_free: .*BatchNorm.* dfq: statistics: 0 leaves this term out",
        ),
        (
            {"method": "feddf", "public": None, "data_free": {"dfad": {"shape": [9]}}},
            "federated.data_free: .*9",
        ),
        (
            {"partition": {"by_column": {"name": "hospital"}}},
            "federated.partition: data.train is 'digits', which has no columns",
        ),
        ({"clients": 999}, "federated.partition: 432 items for 999 clients, each of which needs 1; expected 999 items or more"),
        ({"classes": 7}, "federated.classes: 7, and the data has 10; give the number of all clients"),
    ],
)
def test_what_no_round_could_use_is_refused_before_the_first(tmp_path: Path, change: dict, said: str) -> None:
    wanted = recipe(change.pop("method", "fedavg"), **change)
    with pytest.raises(ValueError, match=said):
        run_federation(wanted, tmp_path / "run", grid=lambda *_: pytest.fail("a round is carried out"))
    assert not (tmp_path / "run").exists()


def test_commands_of_a_finished_run_read_a_federation(limbeck, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    code, text, error = limbeck("evaluate", finished, "--data", "digits", "--split", "test", "--json")
    assert code == 0, error
    verdict, told = Verdict.load(finished), json.loads(text)
    assert told["results"]["wide"]["accuracy"] == pytest.approx(verdict.results["wide"].distilled.metric, abs=0.2)
    assert limbeck("profile", finished)[0] == 0
    code, text, error = limbeck("export", finished, "--format", "onnx")
    assert code == 0, error
    assert sorted(path.name for path in (finished / "exports").glob("*.onnx")) == ["small-fp32.onnx", "wide-fp32.onnx"]
    assert Verdict.load(finished).federation == verdict.federation


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
