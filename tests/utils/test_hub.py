"""Whether the hub can be reached is asked once, for a short time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from limbeck.utils import hub


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    hub.is_reachable.cache_clear()
    yield
    hub.is_reachable.cache_clear()


@contextmanager
def answering(status: str | None) -> Iterator[int]:
    """The port of a server that gives every request one answer; none with None."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                link, _ = server.accept()
                held.append(link)
                if status is not None:
                    link.settimeout(1)
                    with suppress(OSError):
                        link.recv(4096)
                        link.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                        link.close()

    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
    for link in held:
        link.close()


def test_a_server_that_listens_is_reachable_and_one_that_does_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering("404 Not Found") as port:
        assert hub.is_reachable(f"http://127.0.0.1:{port}")
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert hub.is_reachable("http://nowhere.invalid")  # the proxy is asked
    monkeypatch.delenv("http_proxy")
    assert not hub.is_reachable(f"http://127.0.0.1:{port}/")
    assert not hub.is_reachable("https://nowhere.invalid/")


@pytest.mark.parametrize("answer", [None, "502 Bad Gateway", "SSH-2.0"])
def test_a_proxy_that_leads_nowhere_is_given_up_and_named(answer: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "ANSWER", 0.2)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(answer) as port:
        monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{port}")
        began = time.perf_counter()
        said = rf"through the proxy http://127\.0\.0\.1:{port}\. Give the path"
        with pytest.raises(hub.NotFoundError, match=said) as found, hub.from_hub("model", "someone/something"):
            raise OSError("gone" if constants.HF_HUB_OFFLINE else "the library would wait")
    assert time.perf_counter() - began < 10  # without an end otherwise
    assert "HF_HUB_OFFLINE=1" in str(found.value)
    assert "secret" not in str(found.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def silent(*given: Any) -> None:
        asked.append(given)
        time.sleep(6)
        raise OSError("silent")

    monkeypatch.setattr(hub, "TIMEOUT", 0.1)
    monkeypatch.setattr(socket, "create_connection", silent)
    began = time.perf_counter()
    assert not hub.is_reachable("https://silent.invalid")
    assert not hub.is_reachable("https://silent.invalid")
    assert time.perf_counter() - began < 5
    assert len(asked) == 1


def test_the_address_may_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub.hub_address() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert hub.hub_address() == "https://mirror.example"


@pytest.mark.parametrize("name", ["bert", "google/bert_uncased-L.2"])
def test_names_of_the_hub(name: str) -> None:
    assert hub.may_be_on_hub(name)


@pytest.mark.parametrize("name", ["", ".", "..", "/a", "a/", "a/b/c", "./a", "-a", "a\x00", "x" * 97, "a\\b"])
def test_no_names_of_the_hub(name: str) -> None:
    assert not hub.may_be_on_hub(name)


def test_the_libraries_are_offline_only_within_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for reachable in (True, False):
        monkeypatch.setattr(hub, "is_reachable", lambda address, answer=reachable: answer)
        said = "the Hugging Face hub says: gone" if reachable else "cannot be reached"
        with pytest.raises(hub.NotFoundError, match=said), hub.from_hub("model", "someone/something"):
            raise OSError("gone")
        with hub.from_hub("model", "someone/something"):
            assert constants.HF_HUB_OFFLINE is not reachable
        assert constants.HF_HUB_OFFLINE is False


def test_a_full_disk_is_not_taken_for_a_missing_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_reachable", lambda address: True)
    with pytest.raises(OSError, match="No space"), hub.from_hub("model", "someone/something"):
        raise OSError(28, "No space left on device")
