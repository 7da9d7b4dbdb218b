"""Federated methods by hand: what the server's models learn from, who is changed, and who is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.data import Items
from limbeck.engine import Optimizer, Settings
from limbeck.methods import federated
from limbeck.methods.federated import DSFL, FedAvg, FedDF, FedMD, FedProx, distil_clients, distil_consensus
from tests.methods.two_samples import TASK, X, assert_equal, kl, net, of_linear

QUIET = Settings(progress=False, device="cpu", trackers=())
PUBLIC = Items.from_tensors(X)


def one_step(**options) -> FedDF:
    return FedDF(steps=1, batch_size=2, lr=0.1, patience=None, **options)


def test_the_averaged_model_learns_from_the_mean_logits_of_all_clients():
    clients, student = {"3": net(1), "8": net(2)}, net(0)
    stage = one_step(temperature=2.0).server_stage(TASK, "clients.*", "groups.*")
    assert [term.temperature for update in stage.updates for term in update.terms] == [None]
    before = [parameter.detach().clone() for parameter in student.parameters()]
    target = ((clients["3"](X) + clients["8"](X)) / 2 / 2).softmax(-1).detach()
    kl(target, student(X), 2.0).mean().backward()
    expected = of_linear(2 / 2 * ((student(X) / 2).softmax(-1) - target).detach() * 2 / 2)
    assert_equal([p.grad for p in student.parameters()], expected)
    signs = [p.grad.sign() for p in student.parameters()]
    student.zero_grad()
    distil_clients(one_step(temperature=2.0), clients, {"student": student}, PUBLIC, task=TASK, seed=0, settings=QUIET)
    moved = [after.detach() - old for after, old in zip(student.parameters(), before, strict=True)]
    for step, sign in zip(moved, signs, strict=True):  # Adam's first step is lr times the sign of the gradient
        torch.testing.assert_close(step, -0.1 * sign, rtol=1e-3, atol=1e-4)


def test_clients_stay_as_they_are_and_all_groups_learn_from_all_of_them():
    clients, groups = {"1": net(1), "2": net(2)}, {"a": net(3), "b": nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))}
    frozen = [p.clone() for model in clients.values() for p in model.parameters()]
    before = {name: [p.detach().clone() for p in model.parameters()] for name, model in groups.items()}
    distil_clients(one_step(), clients, groups, PUBLIC, task=TASK, seed=0, settings=QUIET)
    assert_equal([p for model in clients.values() for p in model.parameters()], frozen)
    for name, model in groups.items():
        assert any(not torch.equal(p, old) for p, old in zip(model.parameters(), before[name], strict=True))


def test_fedavg_trains_nothing_on_the_server():
    student = net(0)
    before = [p.clone() for p in student.parameters()]
    distil_clients(FedAvg(), {"1": net(1)}, {"student": student}, PUBLIC, task=TASK, seed=0, settings=QUIET)
    assert_equal(list(student.parameters()), before)
    assert FedAvg().server_stage(TASK, "clients.*", "groups.*") is None


def test_the_server_keeps_the_state_that_is_best_on_its_validation_data():
    target = nn.Linear(2, 3)
    with torch.no_grad():
        target.weight.zero_()
        target.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # says class 1, and the validation labels are 0
    student = net(0)
    with torch.no_grad():
        student.weight.zero_()
        student.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    held = Items.from_tensors(X, torch.zeros(2, dtype=torch.int64), classes=3)
    method = FedDF(steps=40, batch_size=2, lr=0.5, validate_every=1, patience=3)
    distil_clients(method, {"1": target}, {"student": student}, PUBLIC, task=TASK, seed=0, settings=QUIET, validation=held)
    assert (student(X).argmax(-1) == 0).all()


def test_the_consensus_of_fedmd_is_the_mean_and_that_of_ds_fl_is_sharpened():
    logits = [torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])]
    assert FedMD().consensus(logits).tolist() == [[1.0, 0.5, 0.0]]
    mean = (logits[0].softmax(-1) + logits[1].softmax(-1)) / 2
    torch.testing.assert_close(DSFL(temperature=0.1).consensus(logits), mean / 0.1)
    sharp = DSFL(temperature=0.1).consensus(logits).softmax(-1)
    assert sharp.max() > mean.max() + 0.2


def test_without_data_a_student_learns_what_its_clients_know_from_made_inputs():
    clients, groups = {"1": net(1), "2": net(2)}, {"a": net(3), "b": nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))}
    frozen = [p.clone() for model in clients.values() for p in model.parameters()]
    wanted = (clients["1"](X) + clients["2"](X)) / 2
    before = {name: float((model(X) - wanted).abs().mean()) for name, model in groups.items()}
    without = federated.WithoutData({"dfad": {"width": 4, "latent": 4, "low": -2.0, "high": 2.0}}, [2], 3)
    makers: dict = {}
    method = FedDF(steps=300, batch_size=16, lr=0.05)
    federated.distil_without_data(method, without, clients, groups, makers, task=TASK, seed=0, settings=QUIET)
    assert_equal([p for model in clients.values() for p in model.parameters()], frozen)
    for name, model in groups.items():
        assert float((model(X) - wanted).abs().mean()) < before[name] / 3
    assert set(makers) == {"a", "b"}


def test_the_steps_of_a_round_are_those_of_the_student_however_often_it_learns_from_an_input():
    without = federated.WithoutData({"dfad": {"repeat": 4}}, [2], 3)
    stage, actors = without.decide(FedDF(steps=10, batch_size=7), TASK)
    assert (stage.length.count, stage.updates[-1].repeat, list(actors)) == (3, 4, ["generator"])
    assert stage.updates[-1].source.batch_size == 7
    made, _ = federated.WithoutData({"deep_inversion": {"classes": 2, "batch_size": 5}}, [2], 3).decide(FedDF(steps=10), TASK)
    assert (made.length.count, made.updates[-1].source.batch_size) == (10, 5)


def test_made_rows_of_a_table_have_the_bounds_of_standardised_columns():
    def bounds(shape, **arguments):
        _, actors = federated.WithoutData({"dfad": {"width": 4, "latent": 2, **arguments}}, shape, 3).decide(FedDF(), TASK)
        maker = actors["generator"]()
        for parameter in maker.parameters():
            torch.nn.init.normal_(parameter, std=50.0)  # so that the outputs reach their bounds
        made = maker(torch.randn(64, 2))
        return round(float(made.min()), 2), round(float(made.max()), 2)

    assert bounds([5]) == (-2.0, 2.0)
    assert bounds([5], low=-1.0, high=3.0) == (-1.0, 3.0)
    assert bounds([1, 8, 8]) == (0.0, 1.0)


def test_what_reads_layers_of_one_teacher_is_refused_for_an_ensemble_with_the_remedy():
    def images(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.LazyLinear(3))

    clients = {name: images(seed) for name, seed in (("1", 1), ("2", 2))}
    student = images(3)
    for model in (*clients.values(), student):
        model(torch.zeros(1, 1, 8, 8))
    for given, said in (
        ({"belief_matching": {"width": 4}}, r"the teacher is 2 models, .*belief_matching: attention: 0 leaves this term out"),
        ({"dafl": {"width": 4}}, r"unknown tap 'linear'.* dafl: activation: 0 leaves this term out"),
    ):
        without = federated.WithoutData(given, [1, 8, 8], 3)
        with pytest.raises(ValueError, match=said):
            federated.distil_without_data(
                FedDF(steps=1, batch_size=4), without, clients, {"a": student}, {}, task=TASK, seed=0, settings=QUIET
            )


@pytest.mark.parametrize("method", [FedMD(steps=30, batch_size=2, lr=0.3), DSFL(steps=30, batch_size=2, lr=0.3)])
def test_a_model_learns_the_consensus_item_by_item(method):
    student, wanted = net(0), torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    distil_consensus(method, student, PUBLIC, wanted, task=TASK, seed=0, settings=QUIET)
    assert student(X).argmax(-1).tolist() == [0, 2]
    distil_consensus(method, student, PUBLIC, wanted.flip(0), task=TASK, seed=0, settings=QUIET)
    assert student(X).argmax(-1).tolist() == [2, 0]


def test_fedprox_pulls_weights_back_to_those_it_began_with():
    optimizer = FedProx(mu=0.5).local_optimizer(Optimizer("sgd", lr=0.1))
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    built = optimizer.build([weight])
    with torch.no_grad():
        weight.add_(torch.tensor([1.0, 0.0]))  # the training has moved it
    weight.grad = torch.zeros(2)
    optimizer.set_rate(built, 0.0)
    built.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([2.0 - 0.1 * 0.5 * 1.0, -2.0]))


def test_without_a_distance_fedprox_is_its_optimizer():
    weights = []
    for optimizer in (Optimizer("adamw", lr=0.1), FedProx(mu=0.0).local_optimizer(Optimizer("adamw", lr=0.1))):
        weight = nn.Parameter(torch.ones(3))
        built = optimizer.build([weight])
        for _ in range(3):
            weight.grad = weight.detach() * 2
            built.step()
        weights.append(weight.detach())
    assert torch.equal(*weights)


def test_arguments_are_checked():
    assert federated.method("fedavg") == FedAvg()
    assert federated.method({"feddf": {"steps": 7}}) == FedDF(steps=7)
    with pytest.raises(ValueError, match=r"nearest: feddf"):
        federated.method("feddff")
    with pytest.raises(ValueError, match=r"feddf: temperature is 0; expected a number above 0"):
        FedDF(temperature=0)
    with pytest.raises(ValueError, match=r"FedMD: items is -1"):
        FedMD(items=-1)
    with pytest.raises(ValueError, match=r"fedprox: mu is -1"):
        FedProx(mu=-1)
    with pytest.raises(ValueError, match=r"unknown optimizer 'proximal_rprop'"):
        FedProx().local_optimizer(Optimizer("rprop"))
    with pytest.raises(NotImplementedError, match=r"FedAvg exchanges weights"):
        FedAvg().consensus([])
