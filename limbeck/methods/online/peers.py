"""The references of peers, each in the view that it sees."""

from __future__ import annotations

from collections.abc import Mapping

PEERS = "peers.*"


def seen_by(peers: str, views: Mapping[str, str] | None, method: str) -> list[str]:
    """The references of the peers: the pattern, or each peer in a view of its own.

    Raises:
        ValueError: views of a single peer.
    """
    if views is None:
        return [peers]
    if len(views) < 2:
        raise ValueError(f"{method}: views names {', '.join(views) or 'no peer'}; give at least two peers their views")
    return [f"{name}#{view}" for name, view in views.items()]
