"""The abstract base of codecs, and checks that they share.

Encoding runs on the device of the signal, decoding on the device of the table; neither loops over items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs.row_table import RowTable
from limbeck.teacher_cache.errors import SignalError, StoreError
from limbeck.utils.registry import Registry

registry = Registry("codec")


class Codec(ABC):
    """Encodes the signals of a batch as a `RowTable` with one row for each item, and decodes it."""

    name: ClassVar[str]

    @abstractmethod
    def encode(self, signal: AnySignal) -> RowTable:
        """Returns one row for each item.

        Raises:
            SignalError: an item cannot be stored (NaN, infinity, out of range); the error holds its row in the batch.
            ValueError: the signal has another kind or shape than this codec takes.
        """

    @abstractmethod
    def decode(self, table: RowTable) -> AnySignal:
        """Returns the signals of these rows, on the device of the table."""

    @property
    @abstractmethod
    def tensors(self) -> frozenset[str]:
        """The names of the tensors of a table of this codec."""

    def spec(self) -> dict[str, Any]:
        """Returns name and settings as plain values; `codec_from` rebuilds the codec from them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"codec": self.name, **{key: v.spec() if isinstance(v, Codec) else v for key, v in values.items()}}


def codec_from(spec: Mapping[str, Any]) -> Codec:
    """Builds the codec that `spec` describes.

    Raises:
        ValueError: an unknown name or setting.
    """
    settings = {key: codec_from(value) if isinstance(value, Mapping) else value for key, value in spec.items()}
    codec = registry.get(str(settings.pop("codec", "nothing")), **settings)
    if not isinstance(codec, Codec):
        raise StoreError(f"codec {spec.get('codec')!r} is not a limbeck.teacher_cache.Codec")
    return codec


def require_dense(signal: AnySignal, codec: str) -> Tensor:
    """Returns the signal, detached, if it is a finite floating-point tensor.

    Raises:
        SignalError: NaN or infinity.
        StoreError: anything else than a floating-point tensor with a batch axis.
    """
    if not isinstance(signal, Tensor) or not signal.is_floating_point() or signal.ndim < 1:
        kind = f"{signal.dtype} {list(signal.shape)}" if isinstance(signal, Tensor) else type(signal).__name__
        raise StoreError(
            f"codec {codec}: expected a floating-point tensor [B, …], found {kind}; choose another codec for this tap"
        )
    refuse_rows(~signal.isfinite(), "NaN or infinity")
    return signal.detach()


def refuse_rows(bad: Tensor, what: str) -> None:
    """Raises a `SignalError` for the first item with a bad entry; `bad` is bool [B, …]."""
    if bool(bad.any()):
        raise SignalError(int(bad.flatten(1).any(1).nonzero()[0]) if bad.ndim > 1 else int(bad.nonzero()[0]), what)


def require_choice(field: str, value: object, choices: Mapping[str, Any]) -> None:
    """Raises a `ValueError` if `value` is none of `choices`."""
    if value not in choices:
        raise ValueError(f"{field}: expected {', '.join(choices)}, found {value!r}")
