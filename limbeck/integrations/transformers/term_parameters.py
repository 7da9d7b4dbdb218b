"""The parameters of the terms (adapters): in the Trainer's optimizer and in its checkpoints."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from limbeck.core.criterion import Criterion

FILE = "criterion.safetensors"


def add_to_optimizer(
    optimizer: torch.optim.Optimizer, criterion: Criterion, decayed: Collection[str], weight_decay: float
) -> None:
    """Add the criterion's parameters to an optimizer, unless it has them already.

    Args:
        optimizer: the optimizer.
        criterion: the terms.
        decayed: names of the parameters with weight decay.
        weight_decay: their weight decay.
    """
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for decay in (True, False):
        named = criterion.named_parameters()
        group = [p for name, p in named if id(p) not in known and (name in decayed) is decay]
        if group:
            optimizer.add_param_group({"params": group, "weight_decay": weight_decay if decay else 0.0})


def save_criterion(criterion: Criterion, checkpoint: str) -> None:
    """Write the state of the terms into a checkpoint; no file if they have none."""
    state = criterion.state_dict()
    if state:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, Path(checkpoint) / FILE)


def load_criterion(criterion: Criterion, checkpoint: str) -> None:
    """Load the state that `save_criterion` wrote.

    Raises:
        ValueError: it was written with other terms.
    """
    file, state = Path(checkpoint) / FILE, criterion.state_dict()
    saved = load_file(file) if file.exists() else {}
    if {name: tensor.shape for name, tensor in saved.items()} != {name: tensor.shape for name, tensor in state.items()}:
        raise ValueError(
            f"resume_from_checkpoint={checkpoint}: it was written with other terms, which have {len(saved)} tensors, where the "
            f"terms of this run have {len(state)}; resume with the same terms, or start a new training from its student"
        )
    criterion.load_state_dict(saved)
