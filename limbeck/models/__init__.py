"""Compact students, and loaders for models of other libraries.

    from limbeck import models

    student = models.get("resnet_cifar", depth=8)
    models.save_model(student, None, "student")
    student = models.load_model("student")

Image models take [B, C, H, W] in [0, 1], normalise their inputs and return logits [B, classes].
"""

from limbeck.models.architectures.dcgan import dcgan
from limbeck.models.architectures.flat_cnn import flat_cnn
from limbeck.models.architectures.mlp import mlp
from limbeck.models.architectures.mobile_resnet import mobile_resnet
from limbeck.models.architectures.mobilenet_v2 import mobilenet_v2
from limbeck.models.architectures.mobilenet_v3 import mobilenet_v3
from limbeck.models.architectures.pixels import pixels
from limbeck.models.architectures.plain_cnn import plain_cnn
from limbeck.models.architectures.resnet_cifar import resnet_cifar
from limbeck.models.architectures.tiny_cnn import tiny_cnn
from limbeck.models.architectures.vector_generator import vector_generator
from limbeck.models.architectures.vit_tiny import vit_tiny
from limbeck.models.base import Normalize, count_parameters, get, names, registry, require_known, spec_of
from limbeck.models.branches import with_branches
from limbeck.models.embedding_inputs import EmbeddingInputs
from limbeck.models.exits import with_exits
from limbeck.models.loaders import timm_model, torchvision_model, transformers_model
from limbeck.models.references import early_exit_of, ensemble_of, exit_of, variant_of
from limbeck.models.saving import load_model, save_model
from limbeck.models.weights import load_weights, save_weights
from limbeck.utils.optional_packages import MissingPackageError

__all__ = [
    "EmbeddingInputs",
    "MissingPackageError",
    "Normalize",
    "count_parameters",
    "dcgan",
    "early_exit_of",
    "ensemble_of",
    "exit_of",
    "flat_cnn",
    "get",
    "load_model",
    "load_weights",
    "mlp",
    "mobile_resnet",
    "mobilenet_v2",
    "mobilenet_v3",
    "names",
    "pixels",
    "plain_cnn",
    "registry",
    "require_known",
    "resnet_cifar",
    "save_model",
    "save_weights",
    "spec_of",
    "timm_model",
    "tiny_cnn",
    "torchvision_model",
    "transformers_model",
    "variant_of",
    "vector_generator",
    "vit_tiny",
    "with_branches",
    "with_exits",
]
