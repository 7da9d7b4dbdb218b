"""Loads models of transformers, timm and torchvision; each library is imported on first use.

Image models take images in [0, 1] and normalise them. The normalisation is a forward pre-hook, so that class, `state_dict` and
the paths of taps are those of the library. The recorded spec builds a model again without downloading weights.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from limbeck.models.base import IMAGENET_MEAN, IMAGENET_STD, Normalize, Statistics, record_spec, registry
from limbeck.models.pretrained_folders import is_adapter, load_adapter, refuse_pickles
from limbeck.models.size_limit import build_within_limits
from limbeck.utils.foreign_errors import library_errors
from limbeck.utils.hub import from_hub, is_reachable
from limbeck.utils.log_silencing import suppress_logs, suppress_transformers_logs
from limbeck.utils.memory import OutOfMemoryError
from limbeck.utils.optional_packages import MissingPackageError
from limbeck.utils.registry import nearest_names

PIP_NAMES = {"sentence_transformers": "sentence-transformers"}  # packages whose name differs from their module
EAGER_IMPORTS = {"transformers": "transformers.modeling_utils"}  # lazy imports of a package that print warnings
NOT_LOGITS = ("googlenet", "inception_v3")  # return auxiliary outputs, and transform their inputs depending on the weights


@registry.register(
    "transformers",
    cite=r"""
        @inproceedings{wolf2020transformers,
            title = {Transformers: State-of-the-Art Natural Language Processing},
            author = {Wolf, Thomas and Debut, Lysandre and Sanh, Victor and Chaumond, Julien and Delangue, Clement and Moi,
                Anthony and Cistac, Pierric and Rault, Tim and Louf, R{\'e}mi and Funtowicz, Morgan and Davison, Joe and
                Shleifer, Sam and von Platen, Patrick and Ma, Clara and Jernite, Yacine and Plu, Julien and Xu, Canwen and
                Le Scao, Teven and Gugger, Sylvain and Drame, Mariama and Lhoest, Quentin and Rush, Alexander M.},
            booktitle = {Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing: System
                Demonstrations},
            year = {2020},
        }
    """,
)
def transformers_model(
    name_or_path: str | None = None,
    task: str = "AutoModelForSequenceClassification",
    *,
    pretrained: bool = True,
    local_files_only: bool = False,
    revision: str | None = None,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    """Loads a model of Hugging Face Transformers from the hub, a folder or a configuration; it returns a `ModelOutput`.

    Args:
        name_or_path: name on the hub, or a local folder; the folder of an adapter is merged into its base (needs peft).
        task: the auto class, such as "AutoModelForCausalLM".
        pretrained: load weights (safetensors only); otherwise initialise randomly from the configuration.
        local_files_only: do not access the hub.
        revision: branch, tag or commit on the hub.
        config: the whole configuration instead of a name, with its "model_type".
        options: further configuration, such as `num_labels=3` or `num_hidden_layers=2`.

    Raises:
        MissingPackageError: transformers is not installed.
        FileNotFoundError: nothing of this name here or on the hub, or the hub cannot be reached.
        ValueError: `trust_remote_code`, an unknown task, neither or both of name and config, a configuration that Transformers
            does not take.
    """
    if options.pop("trust_remote_code", False):
        raise ValueError("trust_remote_code stays off: it runs code that comes with the weights")
    if (name_or_path is None) == (config is None):
        raise ValueError("give either name_or_path or config")
    transformers = import_package("transformers")
    if not task.startswith("AutoModel") or not hasattr(transformers, task):
        known = [name for name in dir(transformers) if name.startswith("AutoModel")]
        raise ValueError(f"task must be an auto class, got {task!r}; nearest: {', '.join(nearest_names(task, known))}")
    auto = getattr(transformers, task)
    model: nn.Module
    if config is not None:
        model = _from_config(transformers, auto, config, options)
    else:
        arguments = {"local_files_only": local_files_only, "revision": revision, **options}
        name = str(name_or_path)
        with library_errors(f"{name}: Transformers cannot load it as {task}"), from_hub("model", name):
            if pretrained:
                load = functools.partial(_load_weights, transformers, auto, arguments, options)
                model = load_adapter(name, load) if is_adapter(name) else load(name)
            else:
                model = auto.from_config(transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, **arguments))
    record_spec(model, "transformers", {"task": task, "config": model.config.to_dict()})  # type: ignore[union-attr, operator]
    return model


def _from_config(transformers: ModuleType, auto: Any, config: dict[str, Any], options: dict[str, Any]) -> nn.Module:
    """Builds a model from a whole configuration, whose values no type hint describes."""
    if "model_type" not in config:
        raise ValueError('config: it has no "model_type", such as bert')
    kind, known = config["model_type"], list(transformers.CONFIG_MAPPING)
    if kind not in known:
        raise ValueError(f"config: unknown model_type {kind!r}; nearest: {', '.join(nearest_names(str(kind), known))}")
    settings = {key: value for key, value in config.items() if key not in ("model_type", "auto_map")} | options
    with library_errors(f"config: Transformers cannot build this {kind} as {auto.__name__}"):
        whole = transformers.AutoConfig.for_model(kind, **settings)
        try:
            model: nn.Module = build_within_limits(lambda: auto.from_config(whole))
        except OutOfMemoryError as error:
            raise OutOfMemoryError(f"config: {error}") from error
    return model


def _load_weights(
    transformers: ModuleType, auto: Any, arguments: dict[str, Any], options: dict[str, Any], name: str
) -> nn.Module:
    """Loads a model with its weights, and warns of those that the checkpoint lacks."""
    refuse_pickles(name)
    with suppress_transformers_logs(transformers):
        model, info = _load_pretrained(
            lambda: auto.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **arguments
            ),
            name,
            options,
        )
    _warn_missing_weights(name, sorted([*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]))
    loaded: nn.Module = model
    return loaded


def _load_pretrained(load: Callable[[], tuple[Any, Any]], name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Explains the error for weights of other shapes, nearly always the head, which Transformers only logs."""
    try:
        return load()
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        requested = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "its configuration"
        raise ValueError(
            f"{name}: its weights have other shapes than {requested} needs (num_labels defaults to the number of classes of "
            "the data); give the values that the model was trained with, or ignore_mismatched_sizes: true to initialise a new "
            "head of this size"
        ) from error


def _warn_missing_weights(name: str, missing: list[str]) -> None:
    """Warns of weights that the checkpoint lacks, which are initialised randomly."""
    if missing:
        shown = ", ".join(missing[:3]) + (f", … {len(missing)} in all" if len(missing) > 3 else "")
        warnings.warn(f"{name} has no weights for {shown}: these are initialised randomly and need training", stacklevel=3)


@registry.register(
    "timm",
    cite="""
        @misc{wightman2019pytorch,
            title = {{PyTorch} Image Models},
            author = {Wightman, Ross},
            year = {2019},
            howpublished = {https://github.com/huggingface/pytorch-image-models},
        }
    """,
)
def timm_model(
    model: str,
    pretrained: bool = False,
    classes: int | None = None,
    channels: int = 3,
    mean: Statistics = None,
    std: Statistics = None,
    **options: Any,
) -> nn.Module:
    """Loads a model of timm, images [B, channels, H, W] in [0, 1] → logits [B, classes].

    Args:
        model: name, as in `timm.list_models()`.
        pretrained: load the published weights.
        classes: size of the head; None: that of the model.
        mean, std: default: those of the training of the model.
        options: further arguments of `timm.create_model`.

    Raises:
        MissingPackageError: timm is not installed.
        ValueError: an unknown name (with the nearest ones), or `checkpoint_path` (use `load_weights`).
    """
    if "checkpoint_path" in options:
        raise ValueError("checkpoint_path may read a pickle; build the model, then load_weights(model, path)")
    timm = import_package("timm")
    if "/" not in model and not timm.is_model(model):
        known = timm.list_models()
        raise ValueError(f"timm has no model {model!r}; nearest: {', '.join(nearest_names(model.split('.')[0], known))}")
    if classes is not None:
        options["num_classes"] = classes
    with library_errors(f"timm cannot build {model}"), from_hub("model", model) if pretrained else nullcontext():
        network: nn.Module = timm.create_model(model, pretrained=pretrained, in_chans=channels, **options)
    trained_with: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    if channels == 3:
        mean = trained_with.get("mean", IMAGENET_MEAN) if mean is None else mean
        std = trained_with.get("std", IMAGENET_STD) if std is None else std
    _normalise_inside(network, channels, mean, std)
    kept = {key: value for key, value in options.items() if key != "num_classes"}
    made = {"pretrained": False, "classes": getattr(network, "num_classes", classes), "channels": channels}
    record_spec(network, "timm", {"model": model, **made, "mean": mean, "std": std, **kept})
    return network


@registry.register(
    "torchvision",
    cite="""
        @misc{torchvision2016,
            title = {{TorchVision}: {PyTorch}'s Computer Vision library},
            author = {{TorchVision maintainers and contributors}},
            year = {2016},
            howpublished = {https://github.com/pytorch/vision},
        }
    """,
)
def torchvision_model(
    model: str,
    weights: str | None = None,
    classes: int | None = None,
    mean: Statistics = None,
    std: Statistics = None,
    **options: Any,
) -> nn.Module:
    """Loads a classification model of torchvision, images [B, 3, H, W] in [0, 1] → logits [B, classes].

    Args:
        model: name, as in `torchvision.models.list_models()`.
        weights: name of published weights, such as "DEFAULT" or "IMAGENET1K_V1".
        classes: size of the head, None for 1000; with `weights`, a head of another size is initialised randomly.
        mean, std: default: those of the weights, or ImageNet's.
        options: further arguments of the model's builder.

    Raises:
        MissingPackageError: torchvision is not installed.
        ValueError: an unknown model (with the nearest ones) or unknown weights.
    """
    models: ModuleType = import_package("torchvision").models
    known = [name for name in models.list_models(module=models) if name not in NOT_LOGITS]
    if model not in known:
        raise ValueError(f"torchvision has no classifier {model!r}; nearest: {', '.join(nearest_names(model, known))}")
    published = None
    if weights is not None:
        kinds = list(models.get_model_weights(model).__members__)
        if weights not in kinds:
            raise ValueError(f"{model} has no weights {weights!r}; there are {', '.join(kinds)}")
        published = models.get_model_weights(model)[weights]
    with library_errors(f"torchvision cannot build {model}"):
        network = _torchvision(models, model, published, classes, options)
    trained_with = published.transforms() if published else None
    mean = getattr(trained_with, "mean", IMAGENET_MEAN) if mean is None else mean
    std = getattr(trained_with, "std", IMAGENET_STD) if std is None else std
    _normalise_inside(network, 3, mean, std)
    made = {"model": model, "weights": None, "classes": classes, "mean": mean, "std": std}
    record_spec(network, "torchvision", made | options)
    return network


def _torchvision(
    models: ModuleType,
    name: str,
    published: Any,
    classes: int | None,
    options: dict[str, Any],
) -> nn.Module:
    """Builds the published model, or one with another head and all other weights of it."""
    head = {} if classes is None else {"num_classes": classes}
    if published is not None and not _is_downloaded(published.url) and not is_reachable(published.url):
        raise FileNotFoundError(f"no weights of {name}: {published.url} cannot be reached from here; leave `weights` out")
    with _weights_only():
        pretrained: nn.Module | None = models.get_model(name, weights=published, **options) if published else None
    if pretrained is not None and classes in (None, len(published.meta["categories"])):
        return pretrained
    model: nn.Module = models.get_model(name, weights=None, **head, **options)
    if pretrained is not None:
        own, given = model.state_dict(), pretrained.state_dict()
        fitting = {key: value for key, value in given.items() if value.shape == own[key].shape}  # all but the head
        model.load_state_dict(fitting, strict=False)
    return model


def _is_downloaded(url: str) -> bool:
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name).is_file()


@contextmanager
def _weights_only() -> Iterator[None]:
    """Makes torch.hub read tensors only; by default it lets `torch.load` read any pickle."""
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    previous = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        os.environ.pop(variable) if previous is None else os.environ.update({variable: previous})


def _normalise_inside(model: nn.Module, channels: int, mean: Statistics, std: Statistics) -> None:
    model.add_module("normalize", Normalize(channels, mean, std))
    model.register_forward_pre_hook(_normalise)


def _normalise(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    normalised: Tensor = model.get_submodule("normalize")(inputs[0])
    return normalised, *inputs[1:]


def import_package(package: str) -> ModuleType:
    """Imports an optional package, or raises `MissingPackageError` with the command that installs it."""
    try:
        with suppress_logs():
            module = importlib.import_module(package)
            importlib.import_module(EAGER_IMPORTS.get(package, package))
        return module
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(f"{package} is not installed: pip install {PIP_NAMES.get(package, package)}") from error
