"""Chromium without a window, driven by its DevTools protocol over a pair of pipes: nothing but the browser is needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)


class Browser:
    """One page at a time: `open` it, `ask` it for values, look at it with `picture`."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self.profile = tempfile.mkdtemp(prefix="limbeck-browser-")
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def wire() -> None:  # the browser listens at 3 and answers at 4
            reader, writer = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(reader, 3)
            os.dup2(writer, 4)

        command = [CHROMIUM, *QUIET, f"--user-data-dir={self.profile}"]
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdout=null, stderr=null, close_fds=False, preexec_fn=wire)
        for end in (theirs_in, theirs_out):
            os.close(end)
        self.reader, self.writer = os.fdopen(ours_in, "rb", buffering=0), os.fdopen(ours_out, "wb", buffering=0)
        self.count, self.rest, self.events, self.session = 0, b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.count += 1
        number = self.count
        message = {"id": number, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        self.writer.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            piece = self.reader.read(1 << 16)
            assert piece, "the browser is gone"
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path, *, width: int = 1400, height: int = 900, dark: bool = False, media: str = "") -> None:
        """Show a page, and wait until it is drawn; what it complains about is in `complaints` from then on."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=scheme)
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    @property
    def complaints(self) -> list[str]:
        """Whatever the console was told, refused loads and broken policies among it."""
        told = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Network.loadingFailed")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in told]

    @property
    def requests(self) -> list[str]:
        sent = [
            event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"
        ]
        return [address for address in sent if not address.startswith("data:")]

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, file: Path, *, whole: bool = True) -> Path:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))
        return file

    def pdf(self, file: Path) -> Path:
        printed = self.call(
            "Page.printToPDF", printBackground=False, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69
        )
        file.write_bytes(base64.b64decode(printed["data"]))
        return file

    def close(self) -> None:
        self.call("Browser.close")
        self.process.wait(timeout=20)
        for end in (self.reader, self.writer):
            end.close()
        shutil.rmtree(self.profile, ignore_errors=True)
