"""A small vision transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.models.base import Normalize, Statistics, register_builder, require_positive


@register_builder(
    "vit_tiny",
    cite="""
        @inproceedings{dosovitskiy2021image,
            title = {An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale},
            author = {Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and Weissenborn, Dirk and Zhai, Xiaohua and
                Unterthiner, Thomas and Dehghani, Mostafa and Minderer, Matthias and Heigold, Georg and Gelly, Sylvain and
                Uszkoreit, Jakob and Houlsby, Neil},
            booktitle = {International Conference on Learning Representations},
            year = {2021},
            eprint = {2010.11929},
            archiveprefix = {arXiv},
        }
    """,
)
def vit_tiny(
    size: int = 32,
    patch: int = 4,
    dim: int = 192,
    depth: int = 6,
    heads: int = 3,
    classes: int = 10,
    channels: int = 3,
    dropout: float = 0.0,
    mean: Statistics = None,
    std: Statistics = None,
    distilled: bool = False,
) -> VisionTransformer:
    """A pre-norm transformer over patches, [B, channels, size, size] in [0, 1] → logits [B, classes].

    With size 224, patch 16, depth 12 and 1000 classes it is DeiT-Tiny, 5,717,416 parameters, with the same state keys.

    Args:
        size, patch: side of the image and of a patch in pixels; (size/patch)² tokens and a class token.
        dim, depth, heads: width of a token, number of blocks, attention heads of dim/heads each.
        dropout: rate after attention and in the feed-forward layers.
        mean, std: normalisation, see `Normalize`.
        distilled: add DeiT's distillation token with its own head, `head_dist`; the logits are then the mean of both heads.
            `student:head` and `student:head_dist` are the logits of each.

    Raises:
        ValueError: sizes that do not divide; in `forward`, images of another size, since position embeddings are learned.

    Source: Dosovitskiy et al. 2021 (arXiv:2010.11929); sizes of Touvron et al. 2021 (arXiv:2012.12877).
    """
    require_positive(size=size, patch=patch, dim=dim, depth=depth, heads=heads, classes=classes, channels=channels)
    if size % patch or dim % heads:
        raise ValueError(f"patch must divide size and heads must divide dim, got {patch}, {size} and {heads}, {dim}")
    return VisionTransformer(size, patch, dim, depth, heads, classes, channels, dropout, mean, std, distilled)


class VisionTransformer(nn.Module):
    """See `vit_tiny`. Taps: `blocks.0`, … (tokens [B, T, dim], the class token first), `norm`, `head`; with a distillation
    token, which comes second, `head_dist` too."""

    def __init__(
        self,
        size: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        classes: int,
        channels: int,
        dropout: float,
        mean: Statistics,
        std: Statistics,
        distilled: bool = False,
    ) -> None:
        super().__init__()
        self.size = size
        self.normalize = Normalize(channels, mean, std)
        self.patch_embed = PatchEmbedding(channels, dim, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, dim)) if distilled else None
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1 + distilled, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        self.head_dist = nn.Linear(dim, classes) if distilled else None
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if self.dist_token is not None:
            nn.init.trunc_normal_(self.dist_token, std=0.02)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != (self.size, self.size):
            raise ValueError(f"expected images of {self.size}×{self.size} pixels, got {list(images.shape)}")
        patches = self.patch_embed(self.normalize(images))
        own = [token.expand(patches.shape[0], -1, -1) for token in (self.cls_token, self.dist_token) if token is not None]
        tokens = self.norm(self.blocks(torch.cat((*own, patches), dim=1) + self.pos_embed))
        logits: Tensor = self.head(tokens[:, 0])
        return logits if self.head_dist is None else (logits + self.head_dist(tokens[:, 1])) / 2


class PatchEmbedding(nn.Module):
    """One linear map per patch: [B, C, H, W] → [B, H·W/patch², dim]."""

    def __init__(self, channels: int, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.proj(x)
        return maps.flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Pre-norm attention and feed-forward with residual connections: [B, T, dim] → the same."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim, 4 * dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = x + self.attn(self.norm1(x))
        out: Tensor = attended + self.mlp(self.norm2(attended))
        return out


class Attention(nn.Module):
    """Multi-head self-attention over all tokens: [B, T, dim] → the same."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, T, dim/heads]
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, tokens, dim)
        out: Tensor = self.drop(self.proj(mixed))
        return out


class FeedForward(nn.Module):
    """Two linear layers with GELU, applied per token: [B, T, dim] → the same."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))
        return out


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
