"""Train a small Transformer with all its parts, whole or in shards: run by one process, and by two with torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from limbeck.core.actors import average, frozen, snapshot, trained
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items, tokenize
from limbeck.engine import Freeze, Optimizer, Run, Settings, Snapshot, Stage, Update, Validation, steps
from limbeck.engine.checkpoint import Checkpoints
from limbeck.objectives import HardTargets, Hint, SoftTargets
from limbeck.tasks import Classification, Task
from limbeck.utils import distributed
from limbeck.utils.distributed import is_sharded
from tests.data.tiny_tokenizers import of_words

STEPS = 6


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.encoder(x).transpose(1, 2)).transpose(1, 2)


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Linear(3, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


def data() -> Items:
    generator = torch.Generator().manual_seed(0)
    return Items.from_tensors(torch.randn(96, 5, 3, generator=generator), torch.arange(96) % 4)


def loss_of(model: nn.Module) -> dict[str, float]:
    items = data()
    inputs = items.fetch(torch.arange(len(items)))
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(inputs), items.target)
    return {"loss": float(loss)}


def make_run(folder: Path, *, shard: bool) -> tuple[Run, dict[str, nn.Module]]:
    models = {"student": Transformer(8, 2, seed=distributed.rank() + 1), "teacher": Transformer(12, 3, seed=9)}
    actors = {
        "student": trained(models["student"]),
        "teacher": frozen(models["teacher"]),
        "average": average("student", 0.5),
        "before": snapshot("student"),
    }
    terms = [
        Term(HardTargets()),
        Term(SoftTargets()),
        Term(Hint(), student="layers.1.encoder.linear1", teacher="layers.2"),  # inside of a unit that is gathered
        Term(SoftTargets(), teacher="before", name="past", weight=0.1),
    ]
    optimizer = Optimizer("adamw", lr=0.01, options={"eps": 1e-3})
    stages = [
        Stage([Update(terms[:3])], steps(STEPS // 2), optimizer, on_exit=[Snapshot("before")]),
        Stage([Update(terms)], steps(STEPS), optimizer, on_enter=[Freeze("student", ("embed",))]),
    ]
    settings = Settings(
        progress=False,
        device="cpu",
        trackers=(),
        shard=shard,
        gradient_checkpointing=shard,  # which changes no weight either
        accumulate=2,
        clip=0.5,
        log_every=1,
        checkpoint_every=2,
    )
    validation = Validation(loss_of, actor="average", metric="loss", higher_is_better=False, every=2)
    source = Dataset(data(), batch_size=32)
    return Run(actors, stages, source=source, settings=settings, validation=validation, folder=folder), models


def train(folder: Path, *, shard: bool) -> None:
    """Trains in two goes: the second is resumed from a checkpoint within the second stage."""
    first, _ = make_run(folder, shard=shard)
    first.advance(STEPS // 2 + 2)
    for actor in first.actors.values():
        assert all(is_sharded(parameter) is shard for parameter in actor.model.parameters())
    run, models = make_run(folder, shard=shard)
    distributed.barrier()  # the first process has written
    run.fit(resume=True)
    if distributed.rank() == 0:
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        (folder / "values.json").write_text(json.dumps([line["values"] for line in log if "values" in line]))
        saved = Checkpoints(folder / "checkpoints").newest()
        assert saved is not None
        save_file({name: tensor.clone() for name, tensor in saved["actors"]["student"].items()}, folder / "saved.safetensors")
    last = {name: tensor.clone() for name, tensor in models["student"].state_dict().items()}
    save_file(last, folder / f"last-{distributed.rank()}.safetensors")
    best = run.load_best()
    assert all(type(actor.model) is Transformer for actor in run.actors.values())
    save_file(best.state_dict(), folder / f"best-{distributed.rank()}.safetensors")


class Ragged(Task):
    """Outputs are as wide as the longest text of a batch."""

    name, metrics = "ragged", ("accuracy",)
    hard_terms = soft_terms = check_outputs = compute_metrics = to_predictions = None

    def concatenate(self, outputs: list[Tensor]) -> Tensor:
        widest = max(one.shape[1] for one in outputs)
        return torch.cat([nn.functional.pad(one, (0, widest - one.shape[1])) for one in outputs])


class Echo(nn.Module):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Tensor) -> Tensor:
        return input_ids * attention_mask


def check_shared_work(folder: Path) -> None:
    """Work that processes share out gives each what one process alone computes."""
    rank = distributed.rank()
    parts = distributed.all_gather_tensors(torch.full((rank + 2, 3 - rank), float(rank)))
    assert [tuple(part.shape) for part in parts] == [(2, 3), (3, 2)][: len(parts)]
    assert all(bool((part == number).all()) for number, part in enumerate(parts))
    with distributed.first_rank_first():
        seen = (folder / "index").exists()
        (folder / "index").write_text("by the first")
    assert seen is (rank > 0)
    items = tokenize(Items.from_tensors(["the fox " * (number % 5 + 1) for number in range(23)]), of_words(["the", "fox"]))
    alone, shared = (Ragged().outputs(Echo(), items, batch_size=4, among_processes=given) for given in (False, True))
    assert torch.equal(alone, shared)
    images = data()
    model = nn.Sequential(nn.Flatten(), nn.Linear(15, 4, bias=False))
    nn.init.constant_(model[1].weight, 0.5)
    alone, shared = (Classification().outputs(model, images, batch_size=10, among_processes=given) for given in (False, True))
    torch.testing.assert_close(alone, shared)


def main(folder: Path) -> None:
    distributed.initialize()
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    check_shared_work(folder)
    train(folder, shard=distributed.world_size() > 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    distributed.exit_process(0)
