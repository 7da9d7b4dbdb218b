"""Access to the Hugging Face hub: asked once whether it can be reached, instead of the retries of its libraries."""

from __future__ import annotations

import functools
import http.client
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from limbeck.utils.disk_full import is_disk_full
from limbeck.utils.foreign_errors import summary
from limbeck.utils.registry import nearest_names

TIMEOUT = 1.5  # seconds for a connection
ANSWER = 8.0  # seconds for an answer: a proxy may take connections and lead nowhere
HUB = "https://huggingface.co"
LONGEST_NAME = 96  # characters of a name on the hub
PORTS = {"http": 80, "https": 443}
NO_GATEWAY = (502, 503, 504)  # what a proxy answers that does not reach the server


class NotFoundError(FileNotFoundError, ValueError):
    """There is nothing of this name, here or on the hub; the message has the nearest names here."""


def hub_address() -> str:
    """Returns the address of the hub, which `HF_ENDPOINT` may change."""
    return os.environ.get("HF_ENDPOINT") or HUB


@functools.cache
def is_reachable(address: str) -> bool:
    """Whether a server, or the proxy that leads to it, takes a connection within `TIMEOUT`, and then answers within `ANSWER`.

    Asked once in a process.
    """
    url = urlsplit(_proxy_of(address) or address)

    def connect() -> None:
        where = (url.hostname or "", url.port or PORTS.get(url.scheme, 443))
        socket.create_connection(where, TIMEOUT).close()

    return _succeeds(connect, TIMEOUT) and (url.scheme not in PORTS or _succeeds(lambda: _ask(address), ANSWER))


def _succeeds(act: Callable[[], object], timeout: float) -> bool:
    """Whether an action ends in time and without an error of the network."""
    done: list[bool] = []

    def run() -> None:
        try:
            act()
            done.append(True)
        except (OSError, ValueError, http.client.HTTPException):  # refused, or no such name or port, or no HTTP
            return

    asking = threading.Thread(target=run, daemon=True)  # a look-up of a name has no timeout
    asking.start()
    asking.join(timeout)
    return bool(done)


def _ask(address: str) -> None:
    """Asks for the head of an address, through the proxy if there is one.

    Raises:
        OSError: no answer, or one of the proxy that it cannot get there.
    """
    try:
        opener = urllib.request.build_opener()  # the one of urlopen keeps the proxies of its first call
        opener.open(urllib.request.Request(address, method="HEAD"), timeout=ANSWER).close()
    except urllib.error.HTTPError as error:
        if error.code in NO_GATEWAY:
            raise
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLError):  # it answers; whether to trust it, the hub's library decides
            raise


def _proxy_of(address: str) -> str | None:
    url, proxies = urlsplit(address), urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _unreachable(address: str) -> str:
    proxy = _proxy_of(address)
    if proxy is None:
        return f"{address} cannot be reached from here"
    url = urlsplit(proxy)  # may hold a password
    return (
        f"{address} cannot be reached through the proxy {url.scheme}://{url.hostname}:{url.port or PORTS.get(url.scheme, 443)}"
    )


def is_local(name: str) -> bool:
    """Whether a name is that of a file or folder here."""
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):  # too long for a path, or with a zero byte
        return False


def may_be_on_hub(name: str) -> bool:
    """Whether the hub allows a name: `name` or `owner/name`."""
    parts = name.split("/")
    plain = all(part and set(part) - set(".-_") and part[0] not in "-." and part.isprintable() for part in parts)
    return len(parts) <= 2 and plain and len(name) <= LONGEST_NAME and "\\" not in name


@contextmanager
def from_hub(what: str, name: str) -> Iterator[None]:
    """Loads something by its name within the block, from a folder here or from the hub.

    If the hub cannot be reached, its libraries use what they have downloaded before, and do not wait for it.

    Args:
        what: "model", "tokenizer" or "data set", for messages.

    Raises:
        NotFoundError: nothing of this name, here or on the hub; the message has the nearest names here.
    """
    if is_local(name):
        if Path(name).is_file() and Path(name).suffix != ".json":  # Transformers would read it as a configuration
            raise NotFoundError(f"no {what} at {name}: it is a file; give the folder that holds configuration and weights")
        yield
        return
    if not may_be_on_hub(name):
        raise NotFoundError(f"no {what} {_shown(name)}: {describe_nearest(name)}; it is no name on the Hugging Face hub")
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE or not is_reachable(hub_address())
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, offline
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise
        reason = "HF_HUB_OFFLINE is set" if before else _unreachable(hub_address())
        hub = (
            f"it was not downloaded before, and {reason}. Give the path of a {what} here, or run this once with a connection"
            f"{'' if before else '; HF_HUB_OFFLINE=1 does not ask at all'}"
            if offline
            else f"the Hugging Face hub says: {summary(error)}"
        )
        raise NotFoundError(f"no {what} {_shown(name)}: {describe_nearest(name)}; {hub}") from error
    finally:
        constants.HF_HUB_OFFLINE = before


def describe_nearest(name: str) -> str:
    """Returns that there is nothing of this name here, with the nearest names."""
    folder, child = Path(name.replace("\x00", "")).parent, Path(name).name
    while not is_local(str(folder)) and folder != folder.parent:
        child, folder = folder.name, folder.parent
    try:
        offer = ", ".join(nearest_names(child[:LONGEST_NAME], sorted(os.listdir(folder))))
    except OSError:  # it must not be read
        offer = ""
    return f"there is nothing of this name in {folder.resolve()}" + (f" (nearest: {offer})" if offer else "")


def _shown(name: str) -> str:
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…")
