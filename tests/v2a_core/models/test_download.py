"""Weights from a web server: lines that break, files that were replaced, machines without a network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers_models import miniature
from helpers_web import LoopbackServer, QuietHandler, running

from v2a_core.models import ModelError, digests, load_bundle
from v2a_core.models.sources import Finder
from workflows.cli.main import main

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(LoopbackServer):
    """Serves one file in ranges.

    Attributes:
        content: The file.
        cuts: After how many bytes of an answer the line is cut, one a request; then no more.
        ranges: Whether it knows ranges.
        asked: Method and range of each request.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.content, self.cuts, self.ranges = CONTENT, list[int](), True
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"{super().url}/record/1/files/clap.ckpt?download=1"


class _Handler(QuietHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.command, wanted))
        if "gone" in self.path:
            self.send_error(404)
            return
        etag = f'"{hashlib.sha256(server.content).hexdigest()[:8]}"'
        first = 0
        if wanted and server.ranges and self.headers.get("If-Range", etag) == etag:
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
        body, size = server.content[first:], len(server.content)
        if first >= size:
            self.send_response(416)
            body = b""
        else:
            self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", etag)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.server.asked.append((self.command, None))
        self.send_error(500)


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("V2A_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("v2a_core.models.download._LONGEST_WAIT_S", 0.0)
    return tmp_path / "cache"


def test_a_file_is_fetched_once_and_then_needs_no_server(cache: Path) -> None:
    with running(Server()) as server:
        path = Finder("audio").find(server.url)
        url, asked = server.url, list(server.asked)
    assert (path.name, path.read_bytes()) == ("clap.ckpt", CONTENT)
    assert asked == [("GET", None)]
    assert path.is_relative_to(cache)
    # Nobody is there any more: neither a GET nor a HEAD can be asked; another part finds the same file.
    assert Finder("generator").find(url) == path


def test_a_line_that_is_cut_is_gone_on_with(server: Server) -> None:
    server.cuts = [100_000, 300_000]
    assert Finder("audio", checksums={"clap.ckpt": SHA256}).find(server.url).read_bytes() == CONTENT
    assert server.asked == [("GET", None), ("GET", "bytes=100000-"), ("GET", "bytes=400000-")]


def test_what_has_arrived_is_kept_for_the_next_process(server: Server, cache: Path) -> None:
    server.cuts = [500_000] + [0] * 8
    with pytest.raises(ModelError, match=r"could not fetch http://.*clap\.ckpt.* for audio"):
        Finder("audio").find(server.url)
    assert not list((cache / "models").glob("web-*"))
    server.asked.clear()
    server.cuts = []
    assert Finder("audio").find(server.url).read_bytes() == CONTENT
    assert server.asked == [("GET", "bytes=500000-")]


def test_a_file_that_was_replaced_meanwhile_is_fetched_from_its_beginning(server: Server) -> None:
    server.cuts = [500_000] + [0] * 8
    with pytest.raises(ModelError):
        Finder("audio").find(server.url)
    server.cuts, server.content = [], CONTENT[::-1]
    assert Finder("audio").find(server.url).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_gives_all_of_it_again(server: Server) -> None:
    server.cuts, server.ranges = [200_000], False
    assert Finder("audio").find(server.url).read_bytes() == CONTENT


@pytest.mark.parametrize("expected", ["0" * 64, "md5:" + "0" * 32])
def test_another_file_than_was_asked_for_is_refused_and_not_kept(server: Server, cache: Path, expected: str) -> None:
    with pytest.raises(ModelError, match=r"gave another file than was asked for: its digest is .*, the bundle says"):
        Finder("audio", checksums={"clap.ckpt": expected}).find(server.url)
    assert not [path for path in (cache / "models").rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    md5 = "md5:" + hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert Finder("audio", checksums={"clap.ckpt": md5}).find(server.url).read_bytes() == CONTENT


def test_what_changes_in_the_cache_after_first_contact_is_refused(server: Server) -> None:
    path = Finder("audio").find(server.url)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError, match=r"damaged or was changed since it came from http://.*Delete .* and fetch"):
        Finder("audio").find(server.url)


def test_a_file_that_is_not_there_is_told_at_once(server: Server) -> None:
    with pytest.raises(ModelError, match=r"could not fetch .*the server answers 404"):
        Finder("audio").find(server.url.replace("clap", "gone"))
    assert server.asked == [("GET", None)]


def test_of_the_processes_of_a_machine_one_fetches_and_the_others_wait(server: Server) -> None:
    code = f"from v2a_core.models.sources import Finder; print(Finder('audio').find({server.url!r}))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate(timeout=120)[0] for process in processes}
    assert len(found) == 1
    assert found.pop().strip().endswith("clap.ckpt")
    assert server.asked == [("GET", None)]


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub_snapshot(hub: Path) -> Path:
    """A generator as the hub's own cache keeps it: snapshots of links into a folder of contents."""
    repo = hub / "models--somebody--audioldm"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "blobs").mkdir()
    for name, path in miniature().generator.found.files.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (repo / "blobs" / digest).write_bytes(path.read_bytes())
        link = repo / "snapshots" / COMMIT / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(repo / "blobs" / digest)
    return repo / "snapshots" / COMMIT


def test_a_snapshot_is_known_by_what_is_loaded_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = hub_snapshot(tmp_path / "hub")
    shipped = Path(load_bundle("miniature").resolve().vision.path.parents[1])
    values = {
        "name": "mine",
        "vision": {"model": "ViT-miniature", "weights": str(shipped / "vision")},
        "audio": {"weights": str(shipped / "audio")},
        "generator": {"weights": "somebody/audioldm", "revision": COMMIT},
    }
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(values))
    bundle = load_bundle(str(tmp_path / "bundle.yaml"))
    before = bundle.resolve().fingerprints()
    assert before["generator"] == miniature().fingerprints()["generator"]
    # Another program has fetched more of the same repository.
    for name in ("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors", "README.txt"):
        (snapshot / name).write_bytes(b"something else")
    assert bundle.resolve().fingerprints() == before


def test_the_lock_of_a_fetched_bundle_tells_what_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    assert main(["models", "fetch", "miniature", "--output", str(folder)]) == 0
    sha256 = digests.sha256(load_bundle("miniature").resolve().vision.path)
    locked = json.loads((folder / "lock.json").read_text())
    assert locked["files"]["vision/open_clip_model.safetensors"]["sha256"] == sha256
    capsys.readouterr()
    assert main(["models", "show", str(folder), "--resolve"]) == 0
    assert json.loads(capsys.readouterr().out)["lock"] == {"file": str(folder / "lock.json"), "differences": []}
    # By its name it is compared with what the cache remembers.
    assert main(["models", "show", "miniature", "--resolve"]) == 0
    assert "locks/miniature.json" in json.loads(capsys.readouterr().out)["lock"]["file"]
    (folder / "checksums.json").unlink()
    with (folder / "vision" / "open_clip_config.json").open("a") as file:
        file.write(" ")
    assert main(["models", "show", str(folder), "--resolve"]) == 1
    assert "not as it was fetched: vision/open_clip_config.json has changed" in capsys.readouterr().err


def test_weights_of_ones_own_are_not_held_to_the_digests_of_the_published_ones() -> None:
    own = load_bundle("paper", ["vision.weights=/data/own.safetensors"]).settings
    assert (own.vision.revision, own.checksums) == ("", {})
    checkpoint = load_bundle("paper", ["generator.checkpoint=/data/a.ckpt", "generator.weights=ema"]).settings.generator
    assert (checkpoint.checkpoint, checkpoint.weights) == ("/data/a.ckpt", "ema")
    published = load_bundle("paper", ["generator.weights=/data/audioldm"]).settings
    assert len(published.vision.revision) == 40
    assert list(published.checksums) == ["vision/open_clip_model.safetensors"]
