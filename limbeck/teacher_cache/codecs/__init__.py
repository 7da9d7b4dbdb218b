"""Codecs: how the signals of one tap become rows of bytes and come back."""

from limbeck.teacher_cache.codecs.base import Codec, codec_from, registry
from limbeck.teacher_cache.codecs.dense import Dense
from limbeck.teacher_cache.codecs.int8 import ScaledInt8
from limbeck.teacher_cache.codecs.tokens import Tokens, TokenSignals, token_hashes
from limbeck.teacher_cache.codecs.top_k import RaggedTopK, TopKCodec, top_k_codec

__all__ = [
    "Codec",
    "Dense",
    "RaggedTopK",
    "ScaledInt8",
    "TokenSignals",
    "Tokens",
    "TopKCodec",
    "codec_from",
    "registry",
    "token_hashes",
    "top_k_codec",
]
