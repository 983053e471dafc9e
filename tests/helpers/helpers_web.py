"""Web servers on loopback; the one here misbehaves: silent, a byte a second, pages instead of files."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

CONTENT = bytes(range(256)) * 100


class QuietHandler(BaseHTTPRequestHandler):
    """Answers, and says nothing on the terminal."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


class LoopbackServer(ThreadingHTTPServer):
    """A server at a free port, for a `with` block of `running`."""

    daemon_threads = True

    def __init__(self, handler: type[QuietHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or whose line was cut, is no news here."""


ServerT = TypeVar("ServerT", bound=LoopbackServer)


@contextlib.contextmanager
def running(server: ServerT) -> Iterator[ServerT]:
    """The server, for a block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


class WebServer(LoopbackServer):
    """Serves `CONTENT` at every path; the first part of the path says what goes wrong.

    `/good`, `/noranges`, `/nohead` (403 to HEAD), `/nosize`, `/silent`, `/slow` (a byte a second), `/html`, or a status
    such as `/403` or `/503`.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.asked = Counter[str]()


class _Handler(QuietHandler):
    server: WebServer

    def _serve(self) -> None:
        fault = self.path.split("/")[1]
        self.server.asked[f"{self.command} {fault}"] += 1
        if fault == "silent":
            self.server.closing.wait()
        elif fault == "html":
            self._answer(200, b"<html>Please log in</html>", "text/html; charset=utf-8")
        elif fault.isdigit() or (fault == "nohead" and self.command == "HEAD"):
            self._answer(int(fault) if fault.isdigit() else 403, b"no", "text/plain")
        elif fault == "nosize":
            self.close_connection = True
            self.send_response(200)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(CONTENT)
        else:
            self._file(fault)

    do_GET = do_HEAD = _serve

    def _file(self, fault: str) -> None:
        wanted = self.headers.get("Range")
        if wanted and fault != "noranges":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            self._answer(206, CONTENT[int(first) : int(last) + 1], "video/mp4")
        else:
            self._answer(200, CONTENT, "video/mp4")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not self.path.startswith("/slow"):
            self.wfile.write(body)
            return
        for byte in body:
            self.wfile.write(bytes([byte]))
            if self.server.closing.wait(1):
                return


def serve() -> contextlib.AbstractContextManager[WebServer]:
    """The server that misbehaves, for a block."""
    return running(WebServer())
