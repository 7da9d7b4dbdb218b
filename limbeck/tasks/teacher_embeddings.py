"""The teacher's embeddings of the items that a model is evaluated on, as the teacher reads them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from limbeck.data import Items


class TeacherEmbeddings:
    """Computes the embeddings of a teacher once for the same items.

    A model may read another field of an item, or tokens of its own, so items are found by what it reads.

    Attributes:
        teacher: None if it is not available.
    """

    def __init__(self) -> None:
        self.teacher: nn.Module | None = None
        self._read: dict[str, Items] = {}
        self._embeddings: dict[str, Tensor] = {}

    def use(self, teacher: nn.Module | None) -> None:
        """Sets the teacher, which may have been trained since; what was computed is dropped."""
        self.teacher, self._embeddings = teacher, {}

    def add(self, items: Items) -> None:
        """Notes items with the inputs of all models, of which others will be given as one model reads them."""
        if self.teacher is None:
            return
        read = items.for_actor("teacher")
        for name in items.storage.input_names:
            self._read[items.for_actor(name).fingerprint()] = read
        self._read[items.fingerprint()] = read

    def items(self, items: Items) -> Items:
        """The same items as the teacher reads them."""
        return self._read.get(items.fingerprint(), items)

    def once(self, items: Items, compute: Callable[[Items], Tensor]) -> Tensor:
        """What `compute` returns of items as the teacher reads them; it is called once for the same items."""
        name = items.fingerprint()
        if name not in self._embeddings:
            self._embeddings[name] = compute(items)
        return self._embeddings[name]
