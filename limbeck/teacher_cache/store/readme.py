"""`README.md` of a store: describes its layout, so that it can be read with safetensors and a JSON parser alone.

The text is part of the on-disk format: the manifest holds its checksum, and the same store must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.teacher_cache.codecs.base import Codec

NAME = "README.md"

LAYOUT = """\
# A store of teacher signals

What a teacher model said about each sample, for students that are distilled from it later. It was written by Limbeck and needs
nothing of it: every file is safetensors or JSON.

| file | holds |
|---|---|
| `manifest.json` | what made the store (`identity`), how each tap is kept (`taps`), views per sample, and all checksums |
| `segments/SSS/keys.safetensors` | `keys`: int64, sorted: the content hashes of the samples that came in together |
| `segments/SSS/VVVV-BBBBB.safetensors` | the signals of view V for rows B · rows_per_shard and on; row i is the i-th key |

To find a sample: search its key in `keys`; its row r lies in block r // rows_per_shard, at place r % rows_per_shard.
`sha256` in a file's metadata (and in the manifest) is the SHA-256 of that file with these 64 digits replaced by zeros;
`checksum` in `manifest.json` likewise.

Tensors are named `TAP//NAME`. A list has `NAME/offsets`: entries of row i are those from offsets[i] up to offsets[i + 1].

| codec | tensors |
|---|---|
| `dense` | `values` [rows, …] |
| `int8` | `values` int8 [rows, …], `scale` float32; a number is values · scale |
| `top_k` | `entries` uint8 [rows, bytes]: k integers of w bits, lowest bits first; `tail` [rows]: the mass of all others |
| `ragged_top_k` | the same with a list of bytes per row; k = 8 · bytes // w |
| `tokens` | `hash` of the token ids; the list `tokens`, with the tensors of the inner codec per token |

An integer of `top_k` is the class index in its low b bits (the fewest that hold the class count) and the probability's code
above: 8 bits for `steps` (p = e^(−code/16), 255 is zero), 16 for `fp16` (ln p as a half), 32 for `fp32` (p as a float). `tail`
is one such code. Divide steps and halves by their total, tail included. In NumPy:

    bits = numpy.unpackbits(entries, axis=1, bitorder="little")[:, : k * w].reshape(-1, k, w)
    integers = bits @ (1 << numpy.arange(w))

## This store

"""


def text(codecs: Mapping[str, Codec]) -> str:
    """Returns the page of a store with these codecs."""
    return LAYOUT + "".join(f"- `{tap}`: `{codec}`\n" for tap, codec in sorted(codecs.items()))
