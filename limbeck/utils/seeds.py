"""One seed from several numbers and names."""

from __future__ import annotations

import hashlib


def mix_seeds(*parts: int | str) -> int:
    """Returns one 63-bit seed that depends on each of the parts and on their order."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
