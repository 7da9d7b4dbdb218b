"""Latent vectors as parameters: a generator with such a table is called with row numbers in place of noise."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.models.base import require_positive


class LatentTable(nn.Module):
    """Row numbers [B] → latent vectors [B, length], z ~ N(0, 1) at first; without rows, noise [B, length] as it is."""

    def __init__(self, rows: int | None, length: int) -> None:
        super().__init__()
        require_positive(latent=length, **({} if rows is None else {"rows": rows}))
        self.length = length
        self.table = None if rows is None else nn.Embedding(rows, length)

    def forward(self, given: Tensor) -> Tensor:
        if self.table is None:
            if not given.is_floating_point() or given.shape[1:] != (self.length,):
                raise ValueError(
                    f"the generator reads noise [batch, {self.length}], got {given.dtype} of shape {list(given.shape)}; give "
                    f"the source noise: {self.length}, or the generator a table of latents, rows: …"
                )
            return given
        if given.is_floating_point() or given.ndim != 1:
            raise ValueError(
                f"the generator reads row numbers [batch], got {given.dtype} of shape {list(given.shape)}; give the source "
                f"that reads it rows: {self.table.num_embeddings} in place of noise"
            )
        latents: Tensor = self.table(given)
        return latents
