"""What the terms learn themselves, beside a Trainer's own checkpoint."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from limbeck.core.criterion import Criterion

FILE = "criterion.safetensors"


def save_learned(criterion: Criterion, checkpoint: str) -> None:
    """Write adapters and whatever else the terms remember; no file where there is nothing."""
    state = criterion.state_dict()
    if state:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, Path(checkpoint) / FILE)


def load_learned(criterion: Criterion, checkpoint: str) -> None:
    """Read what `save_learned` wrote.

    Raises:
        ValueError: other terms wrote it.
    """
    file, state = Path(checkpoint) / FILE, criterion.state_dict()
    saved = load_file(file) if file.exists() else {}
    if {name: tensor.shape for name, tensor in saved.items()} != {name: tensor.shape for name, tensor in state.items()}:
        raise ValueError(
            f"resume_from_checkpoint={checkpoint}: it was written with other terms, which learned {len(saved)} tensors, those "
            f"of now {len(state)}; resume with the terms of then, or begin anew from its student"
        )
    criterion.load_state_dict(saved)
