"""Quantization-aware distillation: trains the student from its teacher under fake quantization.

    hardened = quantization_aware(student, teacher, train, epochs=2)
    formats.get("executorch").write(hardened, path, images, precision="int8", calibration=[images])

The result has the class of the student with other weights, so that every format exports it, and it is saved and loaded like
any student. Training rounds the weights exactly as `limbeck.export.quantization.pt2e.quantize_graph` does; each format
calibrates the ranges of activations again.

BatchNorm keeps its evaluation statistics and is folded into the convolution before it, so that training rounds the same
weights as the file. Quantization-aware training usually ends with frozen BatchNorm; a short stage at a small learning rate can
start with it. This also avoids the switch of torchao between the modes of a traced BatchNorm, which loses its epsilon and
momentum.

Source: Jacob et al. 2018 (arXiv:1712.05877) for training under fake quantization, Hinton et al. 2015 (arXiv:1503.02531) for the
loss; both together: Mishra & Marr 2018 (arXiv:1711.05852).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from limbeck.core.actors import frozen, trained
from limbeck.core.schedules import Cosine, Warmup
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, Pipeline
from limbeck.engine import Length, Optimizer, Run, Settings, Stage, Update
from limbeck.export.base import first_two, frozen_copy
from limbeck.export.executorch.format import ExecuTorch
from limbeck.export.executorch.xnnpack_lowering import capture_graph, lower_for_xnnpack
from limbeck.export.quantization.pt2e import quantizer
from limbeck.export.trace import single_output
from limbeck.methods import hinton
from limbeck.utils.log_silencing import suppress_logs

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
OBSERVED_SHARE = 2 / 3  # share of the stage in which the ranges of activations are updated


def quantization_aware(
    student: nn.Module,
    teacher: nn.Module,
    train: Items,
    *,
    epochs: float = 1.0,
    lr: float = 1e-3,
    temperature: float = 4.0,
    alpha: float = 0.9,
    batch_size: int = 128,
    views: Sequence[str | Mapping[str, Any]] = (),
    seed: int = 0,
    teacher_options: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    log: str | Path | None = None,
    resume: bool = False,
) -> nn.Module:
    """Trains a copy of `student` under fake quantization on labels and teacher logits (Hinton's method), in an engine run.

    Args:
        student: a trained model; not changed.
        teacher: in float32; not changed.
        train: training items; those without a label use the teacher only.
        epochs: length of the stage, in passes over `train`. The ranges of activations are fixed in its last third.
        lr: peak learning rate of AdamW, with warm-up over 5 % of the stage and cosine decay to zero.
        temperature, alpha: of Hinton's method.
        batch_size, views: as in the training of the student.
        teacher_options: options of the teacher's `Actor`.
        settings: precision, checkpoints, logs; the student always computes in float32.
        folder: of checkpoints, with a subfolder per length, learning rate and seed; None: no checkpoints.
        log: path of the log; None: in the folder.
        resume: continue from the newest checkpoint of the folder.

    Returns:
        A model of the student's class, on the CPU, in evaluation mode. Each BatchNorm after a convolution only adds a bias.

    Raises:
        ExportError: the student cannot be exported.
        MissingPackageError: executorch or torchao is missing.
    """
    ExecuTorch().require_packages(writing=True)
    source = Dataset(train, batch_size=batch_size, views={"default": Pipeline.from_spec(list(views))})
    trained_copy = _trainable_copy(student)
    stage = _stage(epochs, lr, temperature, alpha)
    fake_quantized = _fake_quantized(trained_copy, stage, source, seed)
    fixed_teacher = frozen(frozen_copy(teacher), **(teacher_options or {}))
    run = Run(
        {"student": trained(fake_quantized, precision=torch.float32), "teacher": fixed_teacher},
        [stage],
        source=source,
        seed=seed,
        settings=replace(settings or Settings(), compile=False, labels={"seed": seed, "arm": "int8"}),
        folder=None if folder is None else Path(folder) / f"epochs-{epochs:g}-lr-{lr:g}-seed-{seed}",
        log=log,
    )
    run.fit(resume=resume)
    fake_quantized.cpu().release()
    return trained_copy.eval()


def _stage(epochs: float, lr: float, temperature: float, alpha: float) -> Stage:
    optimizer = Optimizer("adamw", lr=lr, schedule=Warmup(0.05, then=Cosine()), options={"weight_decay": 0.0})
    return Stage([Update(hinton(temperature, alpha))], Length(epochs, "epochs"), optimizer, name="quantization-aware")


def _fake_quantized(model: nn.Module, stage: Stage, source: Dataset, seed: int) -> FakeQuantized:
    """Returns the model with fake quantization, its ranges initialised by the first batch."""
    first = source.batch(BatchPosition(0, seed)).inputs["default"]
    observed = int(OBSERVED_SHARE * stage.length.in_steps(source))
    return FakeQuantized(single_output(model, first_two(first)), first, observed_batches=observed)


def _trainable_copy(student: nn.Module) -> nn.Module:
    """Returns a copy to export in which the parameters that the student trains require gradients."""
    copied = frozen_copy(student)
    for ours, theirs in zip(copied.parameters(), student.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return copied


class FakeQuantized(nn.Module):
    """The graph of a model with fake quantization, which trains the weights of the model.

    Args:
        model: in evaluation mode, one tensor in, one out.
        example: a batch that initialises the ranges of activations.
        observed_batches: number of training batches that update the ranges. The count is part of the state, like the ranges.
    """

    seen: Tensor

    def __init__(self, model: nn.Module, example: Tensor, observed_batches: int) -> None:
        from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
        from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

        super().__init__()
        self.observed_batches = observed_batches
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self._model = (model,)  # in a tuple, so that its parameters are not registered here
        folded = capture_graph(model, example[:2], any_batch=True)
        fold_batchnorm(folded)
        self._folded = {name: value.clone() for name, value in folded.state_dict().items()}
        graph = capture_graph(lower_for_xnnpack(folded), example[:2], any_batch=True)
        with suppress_logs():
            self.graph = prepare_qat_pt2e(graph, quantizer(qat=True))
        fakes = [each for each in self.graph.modules() if isinstance(each, FakeQuantizeBase)]
        self._activations = [each for each in fakes if not each.is_per_channel]
        with torch.no_grad():
            self.train()(example)

    def forward(self, inputs: Tensor) -> Tensor:
        observing = self.training and int(self.seen) <= self.observed_batches
        for each in self._activations:
            each.enable_observer(observing)
        if self.training:
            self.seen += 1
        logits: Tensor = self.graph(inputs)
        return logits

    def train(self, mode: bool = True) -> FakeQuantized:
        """Sets the flag only: the graph computes the same in both modes, and torchao forbids to call its `train`."""
        for each in self.modules():
            each.training = mode
        return self

    def release(self) -> None:
        """Copies the trained weights to the model."""
        (model,) = self._model
        state = self._folded | self.graph.state_dict()
        model.load_state_dict({name: state.get(name, value) for name, value in model.state_dict().items()})


@torch.no_grad()
def fold_batchnorm(graph: GraphModule) -> None:
    """Folds each BatchNorm after a convolution into its weight and bias, in place. In a model with these weights the BatchNorm
    only adds this bias."""
    read = [node.args[1] for node in graph.graph.nodes if node.target in CONVOLUTIONS]
    targets = [node.target for node in read]
    for norm in list(graph.graph.nodes):
        if norm.target is not aten.batch_norm.default:
            continue
        convolution, *statistics = norm.args[:5]
        if not _can_fold(convolution, statistics) or targets.count(convolution.args[1].target) != 1:
            continue
        _fold(graph, convolution, statistics, eps=norm.args[7])
        convolution.args = (*convolution.args[:2], statistics[1], *convolution.args[3:])
        norm.replace_all_uses_with(convolution)
        graph.graph.erase_node(norm)
    graph.recompile()


def _can_fold(convolution: Node, statistics: Sequence[Any]) -> bool:
    """Whether a BatchNorm has all parameters and is the only user of a convolution."""
    if convolution.target not in CONVOLUTIONS or len(convolution.users) != 1:
        return False
    bias = convolution.args[2] if len(convolution.args) > 2 else None
    read = (convolution.args[1], *statistics, *([bias] if bias is not None else []))
    return all(isinstance(each, Node) and each.op == "get_attr" for each in read)


def _fold(graph: GraphModule, convolution: Node, statistics: Sequence[Node], eps: float) -> None:
    weight, *biases = (_tensor(graph, node) for node in convolution.args[1:3] if node is not None)
    scale, shift, mean, variance = (_tensor(graph, node) for node in statistics)
    factor = scale / torch.sqrt(variance + eps)
    weight.mul_(factor.reshape(-1, *[1] * (weight.dim() - 1)))
    for bias in biases:
        mean.sub_(bias)
        bias.zero_()
    shift.sub_(mean * factor)
    mean.zero_()
    variance.fill_(1)
    scale.fill_((1 + eps) ** 0.5)


def _tensor(graph: GraphModule, node: Any) -> Tensor:
    path, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(graph.get_submodule(path), name)
    return tensor.data
