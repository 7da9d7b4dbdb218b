"""`Pipeline`: keyed augmentation of images by transforms in order.

The same item, seed and view number give the same tensor bit for bit, in every batch, worker and process. Outputs are images in
[0, 1]; models normalise their inputs themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from limbeck.core.batch import Target, select_rows
from limbeck.core.labels import single_target
from limbeck.data.image.affine import Affine, Size
from limbeck.data.image.mixup import mix_targets
from limbeck.data.image.spatial import has_spatial_parts, move_target
from limbeck.data.image.storage import OriginalImages
from limbeck.data.image.transform import MixTransform, PartnerPool, Transform, to_float, transforms
from limbeck.data.keyed_random import KeyedGenerator, ViewNumber


class Pipeline:
    """Transforms in order. An empty pipeline only converts uint8 to floats in [0, 1].

    Each transform draws from its own stream, named by the view, by the transform and by how often that transform came before,
    so adding a transform does not change what the others draw.
    """

    def __init__(self, transforms: Sequence[Transform | MixTransform] = ()) -> None:
        self.transforms = tuple(transforms)
        seen: Counter[str] = Counter()
        self._streams: list[str] = []
        for transform in self.transforms:
            self._streams.append(f"{transform.name}#{seen[transform.name]}")
            seen[transform.name] += 1

    @classmethod
    def from_spec(cls, spec: Sequence[str | Mapping[str, Any]]) -> Pipeline:
        """A pipeline from names or one-key mappings: `["horizontal_flip", {"random_crop": {"padding": 4}}]`."""
        return cls([_build(entry) for entry in spec])

    @property
    def mixes(self) -> bool:
        """Whether a transform mixes items, and so their targets."""
        return any(isinstance(transform, MixTransform) for transform in self.transforms)

    def reads_originals(self, target: Target | None) -> bool:
        """Whether the view crops images before they are resized. With a target that has boxes, points or masks none does: these
        are in pixels of the resized image."""
        if isinstance(target, Mapping) and has_spatial_parts(target):
            return False
        return bool(self.transforms) and isinstance(self.transforms[0], Transform) and self.transforms[0].reads_originals

    @property
    def modality(self) -> str:
        """The kind of inputs that it changes; without transforms images, which it converts to floats.

        Raises:
            ValueError: transforms of different modalities.
        """
        found = {transform.modality: transform.name for transform in self.transforms}
        if len(found) > 1:
            listed = ", ".join(f"{name} changes {modality}" for modality, name in found.items())
            raise ValueError(f"views: one list of transforms changes one kind of inputs; {listed}")
        return next(iter(found), "image")

    def __len__(self) -> int:
        return len(self.transforms)

    def __call__(
        self,
        images: Tensor | OriginalImages,
        keys: Tensor,
        *,
        seed: int = 0,
        view: ViewNumber = 0,
        stream: str = "default",
        target: Target | None = None,
        pool: PartnerPool | None = None,
        floats: bool = True,
    ) -> tuple[Tensor, Target | None]:
        """Compute one view of each image.

        Args:
            images: `[B, C, H, W]`, uint8 or float in [0, 1]; or images that are not resized yet, if `reads_originals`.
            keys: int64 `[B]`.
            view: number of the view: one for all items, or int64 `[B]`.
            stream: name of the view.
            target: class indices `[B]` or class probabilities `[B, C]`; or a mapping, which cannot be mixed, and whose boxes,
                points and masks move with the pixels (`limbeck.data.image.spatial`).
            pool: the data set that partners for mixing are drawn from.
            floats: whether images that are still bytes at the end become floats.

        Returns:
            The images, float in [0, 1] or uint8, and their targets: class probabilities once a transform has mixed items.
        """
        if isinstance(target, Mapping) and has_spatial_parts(target) and isinstance(images, Tensor):
            for affine in self._affines((images.shape[2], images.shape[3]), keys, seed, view, stream):
                target = move_target(target, affine)  # one by one: what a crop cuts off does not come back
        start = 0
        if isinstance(images, OriginalImages):
            first, start = self.transforms[0], 1
            assert isinstance(first, Transform)
            images = first.crop_originals(images, self._generator(0, keys, seed, view, stream))
        for position, transform in enumerate(self.transforms[start:], start):
            generator = self._generator(position, keys, seed, view, stream)
            if isinstance(transform, Transform):
                images = transform(images, generator)
                continue
            rows, pool = _draw_partners(transform, generator, pool, target)
            # the partner goes through the same transforms, under its own key
            before = Pipeline(self.transforms[:position])
            partners, partner_target = before(
                pool.originals(rows) if before.reads_originals(pool.target) else pool.fetch(rows),
                pool.keys[rows],
                seed=seed,
                view=view,
                stream=stream,
                target=select_rows(pool.target, rows),
                pool=pool,
            )
            images, share = transform(images, partners, generator)
            if target is not None and partner_target is not None:
                ours, theirs = (single_target(one, transform.name) for one in (target, partner_target))
                target = mix_targets(ours, theirs, share, _classes(transform, pool))
        return (to_float(images) if floats else images).contiguous(), target

    def affine(self, size: Size, keys: Tensor, *, seed: int = 0, view: ViewNumber = 0, stream: str = "default") -> Affine:
        """Where the view moves the pixels of images of this size: a pure function of the same arguments as the view itself.

        Raises:
            ValueError: a transform mixes images, or does not say where pixels move.
        """
        moved = Affine.identity(len(keys), size)
        for affine in self._affines(size, keys, seed, view, stream):
            moved = moved.then(affine)
        return moved

    def _affines(self, size: Size, keys: Tensor, seed: int, view: ViewNumber, stream: str) -> Iterator[Affine]:
        """Where each transform moves the pixels."""
        for position, transform in enumerate(self.transforms):
            if not isinstance(transform, Transform):
                raise ValueError(f"{transform.name} mixes images, and boxes, points or masks of two images cannot be mixed")
            affine = transform.affine(size, self._generator(position, keys, seed, view, stream))
            size = affine.after
            yield affine

    def _generator(self, position: int, keys: Tensor, seed: int, view: ViewNumber, stream: str) -> KeyedGenerator:
        """The random numbers of one transform."""
        return KeyedGenerator(seed, keys, view, f"{stream}/{self._streams[position]}")


def _draw_partners(
    transform: MixTransform, generator: KeyedGenerator, pool: PartnerPool | None, target: Target | None
) -> tuple[Tensor, PartnerPool]:
    if pool is None:
        raise ValueError(f"{generator.stream}: mixing draws partners from the data set; give it as pool=items")
    partner = KeyedGenerator(generator.seed, generator.keys, generator.view, f"{generator.stream}/partner")
    return transform.draw(partner, pool, target), pool


def _classes(transform: MixTransform, pool: PartnerPool) -> int:
    if pool.classes is None:
        raise ValueError(f"{transform.name} mixes class labels, but the number of classes is unknown; set `classes`")
    return pool.classes


def _build(entry: str | Mapping[str, Any]) -> Any:
    if isinstance(entry, str):
        return transforms.get(entry)
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ValueError(
            f"transform {entry!r}: expected a name or a mapping of one name to its options, as in {{cutout: {{size: 8}}}}"
        )
    ((name, options),) = entry.items()
    if not isinstance(options, Mapping | None):
        raise ValueError(f"transform {name!r}: expected a mapping of options, found {options!r}")
    return transforms.get(name, **(options or {}))
