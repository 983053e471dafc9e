"""`v2a embed` on a catalog where each bad thing costs itself alone: poison, bombs, playlists, cut shards."""

from __future__ import annotations

import functools
import gzip
import io
import socket
import struct
import tarfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import helpers_catalog
import pyarrow.parquet as pq
import pytest
import ray

from v2a_core.catalog import CatalogSettings, list_sources
from v2a_core.config import load
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.types import MediaSpec
from v2a_core.outputs.ledger import Ledger, part_files
from v2a_core.stages.decode import DecodeSettings
from v2a_core.storage import StorageAccess
from workflows.cluster_runtime.pools import Worker
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.streaming.blocks import Blocks
from workflows.streaming.chain import DecodeStage
from workflows.streaming.plan import dataset, plan

POISON = {
    "abort": {"DecoderCrashed"},
    "hang-in-native-code": {"TimeLimit"},
    "allocate": {"MemoryLimit"},
    "leak": {"MemoryLimit", "TimeLimit"},  # a busy machine leaks slowly: whichever limit comes first
}
SETTINGS = [
    "segments.length_s=1.0", "frames.frames_per_second=2.0", "output.interval_s=0", "limits.max_reject_share=1.0",
    "decoder.attempts=1", "decoder.time_limit_s=12", "decoder.memory_limit_mb=512", "decoder.confine=false",
]  # fmt: skip


@pytest.fixture
def callers() -> Iterator[tuple[int, list[object]]]:
    """The port of a server on loopback, and who called."""
    seen: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    seen.append(server.accept()[1])
                except OSError:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def huge_picture(path: Path) -> None:
    """60,000 x 60,000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def bomb(path: Path) -> None:
    """Half a gigabyte of zeros behind one good member."""
    video = helpers_catalog.video(path.parent.parent / "loose" / "bomb.mp4", 1.0)
    with gzip.open(path, "wb", compresslevel=1) as file, tarfile.open(fileobj=file, mode="w|") as archive:
        archive.add(video, "good.mp4")
        info = tarfile.TarInfo("zeros.mp4")
        info.size = 2**29
        archive.addfile(info, _Zeros())  # type: ignore[arg-type]


class _Zeros(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def cut_shard(path: Path) -> None:
    """Two members and the head of a third."""
    plain = path.with_suffix(".plain")
    videos = [helpers_catalog.video(path.parent.parent / "loose" / f"{i}.mp4", 1.0, hue=60 * i) for i in range(3)]
    helpers_catalog.shard(plain, {f"key{index}": video for index, video in enumerate(videos)})
    content = plain.read_bytes()
    plain.unlink()
    path.write_bytes(gzip.compress(content[: content.index(b"key2.mp4") + 600]))


def rows_by_name(output: Path) -> dict[str, dict]:
    read = [row for part in part_files(f"{output}/rows") for row in pq.read_table(part).to_pylist()]
    assert len({row["segment_id"] for row in read}) == len(read)
    return {row["source_name"]: row for row in read}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow  # the guard has quick tests of its own
def test_whatever_is_in_the_catalog_the_job_completes(
    ray_session: None, tmp_path: Path, callers: tuple[int, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "DecodeSettings", functools.partial(DecodeSettings, decoder="planted_decoders:by_name"))
    catalog = tmp_path / "catalog"
    names = [f"good{index}" for index in range(4)]
    for index, name in enumerate([*names, *POISON]):
        helpers_catalog.video(catalog / f"{name}.mp4", 1.0, hue=30 * index)
    port, calls = callers
    (catalog / "secret.ts").write_bytes(b"not for anybody")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:{port}/x.ts\n#EXT-X-ENDLIST\n"
    (catalog / "playlist.ts").write_text(playlist)
    (catalog / "concat.mkv").write_text("ffconcat version 1.0\nfile 'good0.mp4'\n")
    huge_picture(catalog / "huge.png")
    bomb(catalog / "bomb.tar.gz")
    cut_shard(catalog / "cut.tar.gz")
    output = tmp_path / "output"
    summary = embed.run(
        [str(catalog)], str(output), load(EmbedJob, job="embed", overrides=SETTINGS), models="miniature"
    )
    rows = rows_by_name(output)
    good = {f"{name}.mp4" for name in names} | {"bomb/good.mp4", "cut/key0.mp4", "cut/key1.mp4"}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == good
    assert rows["cut/key1.mp4"]["label"] == "none"
    reasons = {name: row["reject_type"] for name, row in rows.items() if row["status"] == "rejected"}
    for fault, limits in POISON.items():
        assert reasons[f"{fault}.mp4"] in limits
    assert reasons["huge.png"] == "TooLarge"
    assert {"playlist.ts", "concat.mkv", "secret.ts"} <= reasons.keys()
    assert (reasons["bomb"], reasons["cut"]) == ("DecompressionBomb", "Truncated")
    assert summary["counts"]["sources"] == len(rows)
    assert calls == []
    for fault in POISON:
        assert not is_alive(int((catalog / f"{fault}.pid").read_text()))


def test_decode_workers_never_import_torch(ray_session: None, tmp_path: Path) -> None:
    helpers_catalog.video(tmp_path / "catalog" / "a.mp4", 1.0)
    settings = DecodeSettings(SegmentSettings(), FrameSettings(), GuardSettings(), MediaSpec(), want_audio=True)
    sources = list_sources([str(tmp_path / "catalog")], CatalogSettings()).sources
    planned = plan(sources, sources.ids(settings.segments, settings.frames), Ledger())
    worker = Worker(threads=1, access=StorageAccess())
    (block,) = ray.get(dataset(planned, Blocks(4)).to_arrow_refs())

    @ray.remote(runtime_env={"env_vars": {"V2A_TEST": "a worker that has run nothing else"}})
    def decode() -> tuple[int, list[str]]:
        import sys

        worker.set_up()
        decoded = sum(table.num_rows for table in DecodeStage(settings)(block))
        heavy = ("torch", "open_clip", "laion_clap", "transformers", "diffusers", "torchvision")
        return decoded, [name for name in heavy if name in sys.modules]

    assert ray.get(decode.remote()) == (1, [])
