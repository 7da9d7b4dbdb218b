"""Images: loading and decoding, and transforms whose random numbers are keyed by item and view."""

from limbeck.data.image.colour import ColorJitter
from limbeck.data.image.geometry import Cutout, HorizontalFlip, RandomCrop, RandomErasing, RandomResizedCrop
from limbeck.data.image.load import load_images
from limbeck.data.image.mixup import CutMix, Mixup
from limbeck.data.image.pipeline import Pipeline
from limbeck.data.image.same_class import SameClass
from limbeck.data.image.transform import MixTransform, Transform, to_float, transforms

__all__ = [
    "ColorJitter",
    "CutMix",
    "Cutout",
    "HorizontalFlip",
    "MixTransform",
    "Mixup",
    "Pipeline",
    "RandomCrop",
    "RandomErasing",
    "RandomResizedCrop",
    "SameClass",
    "Transform",
    "load_images",
    "to_float",
    "transforms",
]
