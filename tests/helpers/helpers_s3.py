"""A real S3 HTTP server on loopback (moto's), and a proxy in front of it that misbehaves."""

from __future__ import annotations

import contextlib
import http.client
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from v2a_core.storage.config import StorageSettings

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
EXPIRED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>ExpiredToken</Code>'
    b"<Message>The provided token has expired.</Message></Error>"
)
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)


@dataclass
class Faults:
    """What goes wrong, as shares of requests; some methods of some paths are denied, a session token has expired."""

    slow_down: float = 0.0
    cut: float = 0.0
    delay_s: float = 0.0
    denied: tuple[tuple[str, str], ...] = ()  # (method, part of the path)
    expired: str | None = None
    silent: bool = False  # connections are accepted, nothing is answered
    crawl: str = "none"  # GET of paths with this part: a byte a second


FAULTS = Faults(slow_down=0.10, cut=0.02, delay_s=0.05)  # the catalog of a bad day


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on to a server, or fails them; counts what it did and keeps the headers it saw."""

    daemon_threads = True

    def __init__(self, target: str, faults: Faults, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.faults, self.random, self.did = faults, random.Random(seed), Counter[str]()
        self.asked = Counter[tuple[str, str]]()  # (method, path)
        self.lock, self.closing = threading.Lock(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news here."""

    def chance(self, share: float) -> bool:
        with self.lock:
            return self.random.random() < share


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def _serve(self) -> None:
        server, faults = self.server, self.server.faults
        length = int(self.headers.get("Content-Length") or 0)
        if self.command == "PUT" and length > 1000 and server.chance(faults.cut):
            server.did["cut upload"] += 1
            self.rfile.read(length // 2)
            self.close_connection = True
            return None
        body = self.rfile.read(length)
        time.sleep(faults.delay_s)
        if faults.silent:
            server.closing.wait()
            return None
        server.did["requests"] += 1
        server.asked[self.command, urlsplit(self.path).path] += 1
        if any(self.command == method and part in self.path for method, part in faults.denied):
            server.did["denied"] += 1
            return self._answer(403, {}, DENIED)
        if faults.expired and self.headers.get("X-Amz-Security-Token") == faults.expired:
            server.did["expired"] += 1
            return self._answer(400, {}, EXPIRED)
        if server.chance(faults.slow_down):
            server.did["slow_down"] += 1
            return self._answer(503, {}, SLOW_DOWN)
        connection = http.client.HTTPConnection(server.target, timeout=60)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            headers, data = dict(answer.getheaders()), answer.read()
        if self.command == "GET" and faults.crawl in self.path and len(data) > 1000:
            server.did["crawled"] += 1
            return self._crawl(headers, data)
        if self.command == "GET" and len(data) > 1000 and server.chance(faults.cut):
            server.did["cut"] += 1
            return self._answer(answer.status, headers, data, cut=True)
        return self._answer(answer.status, headers, data)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve

    def _answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        # Of a HEAD the length is that of the object.
        length = next((value for name, value in headers.items() if name.lower() == "content-length"), len(data))
        self.send_header("Content-Length", str(length if self.command == "HEAD" else len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.wfile.flush()
        if cut:
            self.close_connection = True

    def _crawl(self, headers: dict[str, str], data: bytes) -> None:
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Range", headers["Content-Range"])
        self.end_headers()
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.closing.wait(1):
                return

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def serve_s3() -> Iterator[str]:
    """moto's server; yields its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


_APART = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address=sys.argv[1], port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def serve_s3_apart(address: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[str]:
    """Another server with buckets of its own: those of one process share theirs.

    Args:
        address: That it listens on.
        inside: What its command begins with, if it is to run on a machine of its own.
    """
    process = subprocess.Popen(
        [*inside, sys.executable, "-c", _APART, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        yield f"http://{address}:{int(process.stdout.readline())}"
        process.stdin.close()


@contextlib.contextmanager
def misbehaving(target: str, faults: Faults, seed: int = 0) -> Iterator[FaultProxy]:
    """A fault proxy before a server."""
    proxy = FaultProxy(target, faults, seed)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        proxy.shutdown()
        proxy.server_close()


def client(endpoint: str) -> object:
    """boto3, for what the program under test must not do itself."""
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def upload(endpoint: str, bucket: str, folder: Path) -> None:
    """A new bucket with the files of a folder."""
    s3 = client(endpoint)
    s3.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), bucket, path.relative_to(folder).as_posix())


def download(endpoint: str, bucket: str, prefix: str, folder: Path) -> Path:
    """What lies below a prefix, in a folder."""
    s3 = client(endpoint)
    for key in keys(s3, bucket, prefix):
        target = folder / key.removeprefix(prefix).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(target))
    return folder


def keys(s3: object, bucket: str, prefix: str) -> list[str]:
    """Names below a prefix, by a client."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", ())]


def reached(endpoint: str, **more: object) -> StorageSettings:
    """Settings for a server on loopback."""
    return StorageSettings(endpoint=endpoint, region="us-east-1", **more)
