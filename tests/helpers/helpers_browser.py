"""A real headless Chromium, driven through its DevTools protocol over a pipe: no driver, no package beside it.

with Browser() as browser, browser.page(url) as page:
    page.click("#begin")
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)")

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
_KEYS = {
    "Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "), "Escape": ("Escape", 27, ""),
    "ArrowRight": ("ArrowRight", 39, ""), "ArrowDown": ("ArrowDown", 40, ""), "ArrowLeft": ("ArrowLeft", 37, ""),
}  # fmt: skip


class Browser:
    """The process. Pages of different contexts have nothing in common: each is a person of its own."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        ends = [high for pair in (os.pipe(), os.pipe()) for high in map(_high, pair)]
        commands, self._write, self._read, answers = ends
        script = f'exec "$@" 3<&{commands} 4>&{answers}'
        command = ["bash", "-c", script, "-", CHROMIUM, *_FLAGS, f"--user-data-dir={self._folder.name}/profile"]
        self._process = subprocess.Popen(
            command, pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self.send("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        self._folder.cleanup()

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """A command and its answer."""
        number = next(self._numbers)
        waiting = self._waiting[number] = queue.SimpleQueue()
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = waiting.get(timeout=60)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def context(self) -> str:
        """A person: storage of one context is not that of another."""
        return self.send("Target.createBrowserContext")["browserContextId"]

    @contextlib.contextmanager
    def page(
        self,
        url: str,
        *,
        context: str | None = None,
        width: int = 1280,
        height: int = 900,
        mobile: bool = False,
        dark: bool = False,
        downloads: Path | None = None,
    ) -> Iterator[Page]:
        """An open page of some size."""
        context = context or self.context()
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            page.send(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        page.send("Emulation.setDeviceMetricsOverride", **metrics)
        if mobile:
            page.send("Emulation.setTouchEmulationEnabled", enabled=True)
        scheme = "dark" if dark else "light"
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        if downloads is not None:
            place = {"behavior": "allow", "downloadPath": str(downloads), "browserContextId": context}
            self.send("Browser.setDownloadBehavior", **place)
        page.goto(url)
        yield page
        self.send("Target.closeTarget", targetId=target)

    def _listen(self) -> None:
        with os.fdopen(self._read, "rb") as pipe:
            rest = b""
            while part := pipe.read1(2**16):
                *messages, rest = (rest + part).split(b"\0")
                for text in messages:
                    message = json.loads(text)
                    if "id" in message:
                        self._waiting.pop(message["id"]).put(message)
                    else:
                        self.events.append(message)


class Page:
    """What a person does in a page, and what happened there."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command for this page."""
        return self._browser.send(method, self._session, **parameters)

    def goto(self, url: str) -> None:
        """Open an address, and wait until it is loaded."""
        self._load(lambda: self.send("Page.navigate", url=url))

    def reload(self) -> None:
        """Load the same page again."""
        self._load(lambda: self.send("Page.reload"))

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=False
        )
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < end, f"not true within {seconds} s: {expression}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """A click with the mouse into the middle of an element, which has to be what lies there."""
        place = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect(); "
            "const x = b.x + b.width / 2, y = b.y + b.height / 2, on = document.elementFromPoint(x, y); "
            "return {x, y, hit: on === e || e.contains(on) || on.contains(e)}; })()"
        )
        assert place["hit"], f"something covers {selector}"
        for kind in ("mousePressed", "mouseReleased"):
            button = {"button": "left", "clickCount": 1}
            self.send("Input.dispatchMouseEvent", type=kind, x=place["x"], y=place["y"], **button)

    def press(self, key: str) -> None:
        """A key of the keyboard."""
        code, number, text = _KEYS[key]
        about = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.send("Input.insertText", text=text)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """What is seen, or the whole page."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def names(self) -> list[tuple[str, str]]:
        """Roles and names of everything that a screen reader tells."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        told = [node for node in nodes if not node.get("ignored")]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in told if "role" in node]

    def trouble(self) -> list[str]:
        """What went wrong in the page: exceptions, and everything that its policy forbade."""
        found = []
        for event in self._events():
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Addresses of all that the page loaded."""
        sent = (event for event in self._events() if event["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def _events(self) -> list[dict[str, Any]]:
        return [event for event in [*self._browser.events] if event.get("sessionId") == self._session]

    def _load(self, begin: Any) -> None:
        before = self._loaded()
        begin()
        end = time.monotonic() + 30
        while self._loaded() == before:
            assert time.monotonic() < end, "the page does not load"
            time.sleep(0.02)

    def _loaded(self) -> int:
        return sum(event["method"] == "Page.loadEventFired" for event in self._events())


def _high(descriptor: int) -> int:
    """The same end of a pipe under a number that no shell uses."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return high
