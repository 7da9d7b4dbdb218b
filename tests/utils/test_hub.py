"""Whether the hub can be reached is asked once, for a short time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from limbeck.utils import hub


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    hub.is_reachable.cache_clear()
    yield
    hub.is_reachable.cache_clear()


def test_a_server_that_listens_is_reachable_and_one_that_does_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert hub.is_reachable(f"http://127.0.0.1:{port}")
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
        assert hub.is_reachable("https://nowhere.invalid")  # the proxy is asked
    monkeypatch.delenv("https_proxy")
    assert not hub.is_reachable(f"http://127.0.0.1:{port}/")
    assert not hub.is_reachable("https://nowhere.invalid/")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def silent(*given: Any) -> None:
        asked.append(given)
        time.sleep(1)
        raise OSError("silent")

    monkeypatch.setattr(hub, "TIMEOUT", 0.1)
    monkeypatch.setattr(socket, "create_connection", silent)
    began = time.perf_counter()
    assert not hub.is_reachable("https://silent.invalid")
    assert not hub.is_reachable("https://silent.invalid")
    assert time.perf_counter() - began < 0.9
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
    constants = pytest.importorskip("huggingface_hub").constants
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
