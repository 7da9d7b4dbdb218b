"""Teacher signals kept on disk: written once, verified, and read by every student after.

    from limbeck.store import Builder, Dense, Store

    identity = {"teacher": weights_hash, "views": views_hash}
    with Builder(folder, keys, 8, {"logits": Dense("fp16")}, identity, rows_per_shard=65_536) as builder:
        for task in builder.missing():                        # shards not yet there; each is one view of many samples
            for part in task.keys.split(256):
                builder.write(task, {"logits": answer(part, task.view)})

    store = Store.open(folder, expect=identity)
    store.read(keys, views).signals["logits"]                 # one row per sample, each in its own view

A store is a folder:

    manifest.json                             identity, codecs, views, and the checksum of every file, its own included
    README.md                                 this layout, for whoever finds the folder
    segments/SSS/keys.safetensors             sorted sample keys (content hashes) of the samples that came in together
    segments/SSS/VVVV-BBBBB.safetensors       view V of block B of these samples, in key order; tensors are named `TAP//NAME`
    journal/RRRR-NNNNNN.safetensors           rows in the order they came, while a run writes as it goes

Rows carry no key: a sample's row is its place among the sorted keys, so that a look-up is one binary search. A shard never
changes once written; a store grows by shards (more views) and by segments (more samples). Each file is read once and compared
with its checksum before its first row is used, then mapped.
"""

from limbeck.teacher_cache.builder import Builder
from limbeck.teacher_cache.codecs import Codec, Dense, ScaledInt8, codec_from, codecs
from limbeck.teacher_cache.errors import DamagedError, DiskFullError, IdentityError, SignalError, StoreError
from limbeck.teacher_cache.journal import Journal
from limbeck.teacher_cache.maintenance import Info, check, info, prune
from limbeck.teacher_cache.manifest import Identity, Manifest, read_manifest
from limbeck.teacher_cache.reader import Reader, Reading
from limbeck.teacher_cache.sequences import Tokens, TokenSignals, token_hashes
from limbeck.teacher_cache.store import Store
from limbeck.teacher_cache.store_writer import Draft, Task, rows_by_size
from limbeck.teacher_cache.top_k import RaggedTopK, TopKCodec

__all__ = [
    "Builder",
    "Codec",
    "DamagedError",
    "Dense",
    "DiskFullError",
    "Draft",
    "Identity",
    "IdentityError",
    "Info",
    "Journal",
    "Manifest",
    "RaggedTopK",
    "Reader",
    "Reading",
    "ScaledInt8",
    "SignalError",
    "Store",
    "StoreError",
    "Task",
    "TokenSignals",
    "Tokens",
    "TopKCodec",
    "check",
    "codec_from",
    "codecs",
    "info",
    "prune",
    "read_manifest",
    "rows_by_size",
    "token_hashes",
]
