"""A proxy before an S3 server that fails some keys, each in a way of its own, as long as it is told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import helpers_s3
from helpers_s3 import FaultProxy, Faults

PAGE = b"<html><body><h1>Portal</h1>Please log in.</body></html>"
INTERNAL = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We are sorry.</Message></Error>"


class KeyProxy(FaultProxy):
    """`failing` maps a part of a path to (method, fault); it can be changed while jobs run."""

    def __init__(self, target: str) -> None:
        super().__init__(target, Faults())
        self.RequestHandlerClass = _Handler
        self.failing: dict[str, tuple[str, str]] = {}

    def fault_of(self, method: str, path: str) -> str | None:
        for part, (wanted, fault) in self.failing.items():
            if part in path and method == wanted:
                return fault
        return None


class _Handler(helpers_s3._Handler):
    def _serve(self) -> None:
        server = self.server
        assert isinstance(server, KeyProxy)
        fault = server.fault_of(self.command, self.path)
        if fault is None:
            return super()._serve()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.did[fault] += 1
        return getattr(self, f"_{fault}")()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve

    def _denied(self) -> None:
        self._answer(403, {}, helpers_s3.DENIED)

    def _expired(self) -> None:
        self._answer(400, {}, helpers_s3.EXPIRED)

    def _internal(self) -> None:
        self._answer(500, {}, INTERNAL)

    def _slow_down(self) -> None:
        self._answer(503, {}, helpers_s3.SLOW_DOWN)

    def _page(self) -> None:
        self._answer(200, {"Content-Type": "text/html"}, PAGE)

    def _gone(self) -> None:
        self._answer(404, {}, b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>")

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def _cut_body(self) -> None:
        self.send_response(206)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(bytes(1000))
        self.close_connection = True

    def _too_short(self) -> None:
        self._answer(206, {}, bytes(100))

    def _too_long(self) -> None:
        self._answer(206, {}, bytes(3_000_000))

    def _no_http(self) -> None:
        self.wfile.write(b"\x00\xff" * 500 + b"\r\n\r\n")
        self.close_connection = True

    def _stalled(self) -> None:
        self.send_response(206)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(bytes(100))
        self.wfile.flush()
        time.sleep(6)
        self.close_connection = True

    def _redirected(self) -> None:
        self._answer(301, {"Location": "http://127.0.0.1:9/elsewhere"}, b"")


@contextlib.contextmanager
def failing_keys(target: str) -> Iterator[KeyProxy]:
    """Such a proxy, serving."""
    proxy = KeyProxy(target)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        proxy.shutdown()
        proxy.server_close()
