"""Seven paradigms, each a few lines of parts and no line of engine. They assert what the engine guarantees to all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.core.actors import frozen, trained
from limbeck.core.source import BatchPosition
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.data.sources import Generated, OwnSamples
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, epochs, steps
from limbeck.objectives import HardTargets, Hint, LogitMSE, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state

QUIET = Settings(progress=False, device="cpu")
SGD = Optimizer("sgd", lr=0.05)


def run(actors, stages, **options) -> Run:
    return Run(actors, stages, settings=QUIET, **options).fit()


class Counting(nn.Module):
    """A model that counts how often it runs, with and without gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.with_gradient, self.without = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.with_gradient += 1
        else:
            self.without += 1
        return self.model(x)


def test_adversarial_generator_with_a_frozen_teacher() -> None:
    t, s, g = Counting(net(16)), Counting(net(8)), Counting(net(12, features=5, classes=6))
    noise = Generated("generator", batch_size=32, noise=5)
    adversary = Update([Term(LogitMSE(), student="student", teacher="teacher", weight=-1)], trains="generator", source=noise)
    imitation = Update([Term(SoftTargets(temperature=1))], trains="student", source=noise, repeat=10)
    teacher, student, generator = state(t), state(s), state(g)
    run(
        {"teacher": frozen(t), "student": trained(s), "generator": trained(g)},
        [Stage([adversary], steps(1), SGD), Stage([adversary, imitation], steps(3), SGD)],
    )
    assert same(teacher, t)
    assert not same(student, s)
    assert not same(generator, g)
    # Three bound steps are tried dry; then 4 generator steps through all, 30 student steps on inputs made once a round.
    assert (g.with_gradient, s.with_gradient, t.with_gradient) == (4, 4 + 30, 4)
    assert t.without == 3 + 30
    assert g.without == 3


def test_the_generator_learns_through_the_teacher_and_nothing_else_moves() -> None:
    t, s, g = net(16), net(8), net(12, features=5, classes=6)
    noise = Generated("generator", batch_size=32, noise=5)
    before = state(t), state(s)
    term = Term(LogitMSE(), student="student", teacher="teacher", weight=-1)
    one = Run(
        {"teacher": frozen(t), "student": trained(s), "generator": trained(g)},
        [Stage([Update([term], trains="generator", source=noise)], steps(1), Optimizer("sgd", lr=1.0))],
        settings=QUIET,
    )
    weights = [p.detach().clone() for p in g.parameters()]
    z = noise.batch(BatchPosition(0)).inputs["default"]
    x = g.train()(z)
    loss = -((s.eval()(x) - t.eval()(x)) ** 2).mean()
    expected = torch.autograd.grad(loss, list(g.parameters()))
    one.fit()
    for now, then, gradient in zip(g.parameters(), weights, expected, strict=True):
        torch.testing.assert_close(now, then - gradient)
    assert same(before[0], t)
    assert same(before[1], s)


def test_hinton(blobs: Blobs) -> None:
    t, s = net(16), net(8)
    teacher, student = state(t), state(s)
    hinton = [Term(HardTargets(), weight=0.1), Term(SoftTargets(temperature=4), weight=0.9)]
    run({"teacher": frozen(t), "student": trained(s)}, [Stage([Update(hinton)], epochs(1), SGD)], source=blobs)
    assert same(teacher, t)
    assert not same(student, s)
    assert all(p.grad is None for p in t.parameters())


def test_two_peers_in_turn(blobs: Blobs) -> None:
    a, b = net(8), net(8, seed=1)
    before = state(a), state(b)
    mutual = [
        Update([Term(HardTargets(), student=x), Term(SoftTargets(temperature=1), student=x, teacher=y)], trains=x)
        for x, y in (("a", "b"), ("b", "a"))
    ]
    run({"a": trained(a), "b": trained(b)}, [Stage(mutual, epochs(1), SGD)], source=blobs)
    assert not same(before[0], a)
    assert not same(before[1], b)


def test_many_peers_cost_one_forward_each(blobs: Blobs) -> None:
    peers = {f"peers.{k}": Counting(net(8, seed=k)) for k in range(4)}
    terms = [Term(HardTargets(), student="peers.*"), Term(SoftTargets(temperature=1), student="peers.*", teacher="peers.*")]
    actors = {name: trained(peer) for name, peer in peers.items()}
    run(actors, [Stage([Update(terms, trains=tuple(peers))], steps(5), SGD)], source=blobs)
    assert [peer.with_gradient for peer in peers.values()] == [5] * 4


def test_exits_of_one_network(blobs: Blobs) -> None:
    class Exits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
            self.exit, self.head = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            early = torch.relu(self.first(x))
            self.exit(early)
            return self.head(torch.relu(self.second(early)))

    model = Counting(Exits())
    byot = [
        Term(HardTargets(), student="net"),
        Term(HardTargets(), student="net:model.exit", weight=0.7),
        Term(SoftTargets(temperature=3), student="net:model.exit", teacher="net", weight=0.3),
        Term(Hint(), student="net:model.first", teacher="net:model.second", weight=0.03),
    ]
    run({"net": trained(model)}, [Stage([Update(byot, trains="net")], steps(6), SGD)], source=blobs)
    assert model.with_gradient == 6


def test_a_weight_shared_supernet_whose_largest_variant_teaches(blobs: Blobs) -> None:
    class Slim(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(6, 16), nn.Linear(16, 4)
            self.widths: list[int] = []

        def forward(self, x: Tensor, width: int = 16) -> Tensor:
            self.widths.append(width)
            hidden = torch.relu(nn.functional.linear(x, self.body.weight[:width], self.body.bias[:width]))
            return nn.functional.linear(hidden, self.head.weight[:, :width], self.head.bias)

    variants = {
        "max": lambda m, x, _: m(x, 16),
        "min": lambda m, x, _: m(x, 4),
        "random": lambda m, x, g: m(x, int(torch.randint(5, 16, (), generator=g))),
    }
    model = Slim()
    sandwich = [Term(HardTargets(), student="net@max")]
    sandwich += [Term(SoftTargets(temperature=1), student=f"net@{name}", teacher="net@max") for name in ("min", "random")]
    run({"net": trained(model, variants=variants)}, [Stage([Update(sandwich, trains="net")], steps(8), SGD)], source=blobs)
    trained_widths = model.widths[-24:]
    assert trained_widths.count(16) == 8
    assert trained_widths.count(4) == 8
    assert len(set(trained_widths)) > 4


def test_a_language_model_on_its_own_samples() -> None:
    class Tiny(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed, self.rnn, self.head = (
                nn.Embedding(12, width),
                nn.GRU(width, width, batch_first=True),
                nn.Linear(width, 12),
            )

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.rnn(self.embed(tokens))[0])

    torch.manual_seed(0)
    t, s = Tiny(16), Tiny(8)
    teacher, student = state(t), state(s)
    own = OwnSamples("student", torch.randint(12, (40, 3)), batch_size=8, new_tokens=5)
    term = Term(SoftTargets(temperature=1))
    one = run({"teacher": frozen(t), "student": trained(s)}, [Stage([Update([term], source=own)], epochs(2), SGD)])
    assert same(teacher, t)
    assert not same(student, s)
    batch = own.batch(BatchPosition(0))
    assert batch.mask is not None
    assert batch.mask.sum(1).tolist() == [5.0] * 8  # five sampled tokens each; prompt and padding count for nothing
    assert one.updates[0].criterion.per_token == [True]


def test_a_server_that_distils_its_clients() -> None:
    clients = {f"clients.{k}": net(8, seed=k) for k in range(3)}
    server = net(12)
    before = {name: state(client) for name, client in clients.items()}
    actors = {name: frozen(client) for name, client in clients.items()} | {"server": trained(server)}
    feddf = Update([Term(SoftTargets(temperature=1), student="server", teacher=Ensemble("clients.*"))], trains="server")
    start = state(server)
    run(actors, [Stage([feddf], epochs(1), Optimizer("adam", lr=1e-3))], source=Blobs(labelled=False))
    assert all(same(before[name], client) for name, client in clients.items())
    assert not same(start, server)
