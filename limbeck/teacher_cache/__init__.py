"""Teacher outputs on disk: computed once, verified, and read by every student afterwards.

    query = TeacherQuery(actor, source, taps=["logits"], views=[])      # the teacher, its inputs, what a run needs of it
    config = CacheConfig(path="cache")
    codecs = choose_codecs(query, config)
    fill_cache(query, Path("cache"), codecs, progress)                 # ahead of training; or as training goes on
    with open_cache(query, config, Path("cache"), codecs) as teacher:   # a `CachedTeacher`
        ...

A cache is a folder with one store for each tap. A store can be used alone:

    identity = {"teacher": weights_hash, "views": views_hash}
    with StoreBuilder(folder, keys, 8, {"logits": Dense("fp16")}, identity, rows_per_shard=65_536) as builder:
        for shard in builder.pending():                                 # each is one view of many samples
            for part in shard.keys.split(256):
                builder.write(shard, {"logits": teacher(images_of(part, shard.view))})

    store = Store.open(folder, expect=identity)
    store.read(keys, views).signals["logits"]                           # one row for each sample, each in its own view

The files of a store:

    manifest.json                             identity, codecs, views, and the checksum of every file, its own included
    README.md                                 describes this layout
    segments/SSS/keys.safetensors             sorted sample keys (content hashes) of the samples that were added together
    segments/SSS/VVVV-BBBBB.safetensors       view V of block B of these samples, in key order; tensors are named `TAP//NAME`
    journal/RRRR-NNNNNN.safetensors           rows in the order they arrived, while a run fills the store

Rows carry no key: the row of a sample is its position among the sorted keys, so that a lookup is one binary search. A shard
never changes once written; a store grows by shards (more views) and by segments (more samples). Each file is read once and
compared with its checksum before its first row is used, then memory-mapped.
"""

from limbeck.teacher_cache.cache_config import CacheConfig
from limbeck.teacher_cache.cache_layout import cache_folder, check_cache_folder, find_stores, tap_folder
from limbeck.teacher_cache.cached_teacher import CachedTeacher
from limbeck.teacher_cache.codec_choice import choose_codecs
from limbeck.teacher_cache.codecs import Codec, Dense, RaggedTopK, ScaledInt8, Tokens, TokenSignals, TopKCodec, token_hashes
from limbeck.teacher_cache.errors import CorruptFileError, DiskFullError, IdentityError, SignalError, StoreError
from limbeck.teacher_cache.fill import fill_cache
from limbeck.teacher_cache.open_cache import open_cache
from limbeck.teacher_cache.store.builder import StoreBuilder
from limbeck.teacher_cache.store.incremental import IncrementalStore
from limbeck.teacher_cache.store.maintenance import StoreInfo, check_store, prune_store, store_info
from limbeck.teacher_cache.store.manifest import Identity, read_manifest
from limbeck.teacher_cache.store.reader import LookupResult
from limbeck.teacher_cache.store.store import Store
from limbeck.teacher_cache.teacher_query import TeacherQuery

__all__ = [
    "CacheConfig",
    "CachedTeacher",
    "Codec",
    "CorruptFileError",
    "Dense",
    "DiskFullError",
    "Identity",
    "IdentityError",
    "IncrementalStore",
    "LookupResult",
    "RaggedTopK",
    "ScaledInt8",
    "SignalError",
    "Store",
    "StoreBuilder",
    "StoreError",
    "StoreInfo",
    "TeacherQuery",
    "TokenSignals",
    "Tokens",
    "TopKCodec",
    "cache_folder",
    "check_cache_folder",
    "check_store",
    "choose_codecs",
    "fill_cache",
    "find_stores",
    "open_cache",
    "prune_store",
    "read_manifest",
    "store_info",
    "tap_folder",
    "token_hashes",
]
