"""What a client keeps of its model in files, where its state in Flower ends with the server's run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from limbeck.utils.atomic_files import write_atomic

KEPT = 2  # rounds: a server that is killed after a round asks for it again, and the client goes back to the one before


@dataclass(frozen=True)
class KeptModels:
    """The models of a client after its last rounds of a training.

    Attributes:
        folder: the client's own; it is made when a model is kept.
    """

    folder: Path

    def load(self, token: str, asked: int) -> dict[str, Tensor] | None:
        """The weights after the last round before this one; None: there was none.

        Args:
            token: of the training, as the server sends it.
        """
        earlier = {number: path for number, path in self._rounds(token).items() if number < asked}
        return load_file(earlier[max(earlier)]) if earlier else None

    def keep(self, token: str, number: int, state: dict[str, Tensor]) -> None:
        """Writes the weights after a round, and removes those of all but the last rounds up to it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / f"{_name(token)}-{number}.safetensors", save(state))
        rounds = self._rounds(token)
        for other in rounds.keys() - set(sorted(each for each in rounds if each <= number)[-KEPT:]):
            rounds[other].unlink()

    def _rounds(self, token: str) -> dict[int, Path]:
        name = _name(token)
        return {int(path.stem.rpartition("-")[2]): path for path in self.folder.glob(f"{name}-*.safetensors")}


def _name(token: str) -> str:
    """A file name; the token comes from the server, and must not name a path."""
    return hashlib.blake2b(token.encode(), digest_size=8).hexdigest()
