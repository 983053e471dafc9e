"""Tar shards as they are found: compressed ones read as a stream, damaged and hostile ones within limits."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers_media import make_tar

from v2a_core.catalog import (
    CatalogListing,
    CatalogSettings,
    ShardReader,
    list_sources,
    shard_stream,
)

VIDEO = b"video bytes " * 50


def listing(*inputs: object, **settings: int) -> CatalogListing:
    return list_sources([str(given) for given in inputs], CatalogSettings(**settings))


def compressed(folder: Path, members: list[tuple[str, bytes]], suffix: str) -> Path:
    plain = make_tar(folder / "plain", members).read_bytes()
    path = folder / f"s.tar.{suffix}"
    path.write_bytes(gzip.compress(plain) if suffix == "gz" else pa.compress(plain, "zstd", asbytes=True))
    return path


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_shard_is_read_once_for_all_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    members = [(f"{index}.mp4", VIDEO + bytes([index])) for index in range(20)]
    sources = listing(compressed(tmp_path, members, suffix)).sources
    opened = []
    real = shard_stream.open_shard
    monkeypatch.setattr(shard_stream, "open_shard", lambda uri: opened.append(uri) or real(uri))
    with ShardReader() as shards:
        for index, source in enumerate(sources):
            if index % 3 != 1:  # some are done already
                with source.fetch(shards) as path:
                    assert path.read_bytes() == VIDEO + bytes([index])
        assert len(opened) == 1
        with sources[4].fetch(shards) as path:  # backwards: from the start again
            assert path.read_bytes()[-1] == 4
    assert len(opened) == 2


@pytest.mark.parametrize("suffix", ["tar", "gz", "zst"])
def test_keys_need_not_be_contiguous(tmp_path: Path, suffix: str) -> None:
    members = [(f"{index}.mp4", VIDEO) for index in range(4)]
    notes = [(f"{index}.json", json.dumps({"label": f"sound {index}"}).encode()) for index in reversed(range(4))]
    path = make_tar(tmp_path / "s.tar", [*members, *notes])
    path = path if suffix == "tar" else compressed(tmp_path, [*members, *notes], suffix)
    assert [source.label for source in listing(path).sources] == [f"sound {index}" for index in range(4)]


@pytest.mark.slow
def test_a_shard_larger_than_memory(tmp_path: Path) -> None:
    """In a process that may not allocate a third of it."""
    generator = np.random.default_rng(0)
    members = [(f"{index}.mp4", generator.bytes(8 * 2**20)) for index in range(20)]
    path = compressed(tmp_path, members, "zst")
    code = f"""
import resource
from v2a_core.catalog import CatalogSettings, ShardReader, list_sources
import pyarrow, hashlib
held = int(open("/proc/self/statm").read().split()[5]) * 4096  # data, in pages
resource.setrlimit(resource.RLIMIT_DATA, (held + 60 * 2**20, resource.RLIM_INFINITY))
sources = list_sources([{str(path)!r}], CatalogSettings()).sources
with ShardReader() as shards:
    for source in sources:
        with source.fetch(shards) as local:
            print(local.stat().st_size)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True, timeout=120
    ).stdout
    assert output.split() == [str(8 * 2**20)] * 20


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("where", ["header", "end marker"])
def test_a_broken_header_or_a_missing_end_is_noticed_in_a_compressed_shard(
    tmp_path: Path, suffix: str, where: str
) -> None:
    plain = make_tar(tmp_path / "plain", [("0.mp4", VIDEO), ("1.mp4", VIDEO)])
    with tarfile.open(plain) as archive:
        start = list(archive)[1].offset
    content = bytearray(plain.read_bytes())
    if where == "header":
        content[start + 150] ^= 0xFF
    else:
        del content[start:]
    path = tmp_path / f"s.tar.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == "gz" else pa.compress(bytes(content), "zstd", asbytes=True))
    found = listing(path)
    assert [source.name for source in found.sources] == ["s/0.mp4"]
    assert [error.error_type for _, error in found.rejects] == ["BadHeader" if where == "header" else "Truncated"]


class _Zeros(io.RawIOBase):
    """So many zeros, from nothing."""

    def __init__(self, count: int) -> None:
        self.left = count

    def read(self, size: int = -1) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


@pytest.mark.timeout(60)
def test_a_bomb_ends_as_a_reject_within_limits(tmp_path: Path) -> None:
    """Half a gigabyte in half a megabyte, declared as one video of a size that is allowed."""
    path = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("bomb.mp4")
    info.size = 2**29
    with gzip.open(path, "wb", compresslevel=1) as file, tarfile.open(fileobj=file, mode="w|") as archive:
        small = tarfile.TarInfo("0.mp4")
        small.size = len(VIDEO)
        archive.addfile(small, io.BytesIO(VIDEO))
        archive.addfile(info, _Zeros(info.size))  # type: ignore[arg-type]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = listing(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB
    assert [source.name for source in found.sources] == ["bomb/0.mp4"]
    assert [error.error_type for _, error in found.rejects] == ["DecompressionBomb"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_of_gigabytes_is_not_read(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("name")
    info.type, info.size = kind, 3 * 2**30
    (tmp_path / "s.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
    ((_, error),) = listing(tmp_path / "s.tar").rejects
    assert error.error_type == "BadHeader"
    assert "3,221,225,472" in str(error)


def test_a_negative_size_does_not_run_in_circles(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("0.mp4").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"  # base 256: -512
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    (tmp_path / "s.tar").write_bytes(bytes(header) + bytes(10_240))
    ((_, error),) = listing(tmp_path / "s.tar").rejects
    assert error.error_type == "BadHeader"


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_cut_compressed_shard_gives_its_good_members_and_one_reject(tmp_path: Path, suffix: str) -> None:
    generator = np.random.default_rng(0)
    path = compressed(tmp_path, [(f"{index}.mp4", generator.bytes(60_000)) for index in range(10)], suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = listing(path)
    assert 2 <= len(found.sources) <= 5
    assert len(found.rejects) == 1
    with ShardReader() as shards:
        for source in found.sources:
            with source.fetch(shards) as local:
                assert local.stat().st_size == 60_000


def test_long_and_null_names_become_short_ones(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a\0b.mp4", "x" * 4096 + ".mp4", "/".join(["deep"] * 900) + ".mp4"):
            info = tarfile.TarInfo("placeholder.mp4")
            info.pax_headers = {"path": name}
            info.size = len(VIDEO)
            archive.addfile(info, io.BytesIO(VIDEO))
    found = listing(path)
    assert len(found.sources) == 3
    for source in found.sources:
        assert "\0" not in source.name
        assert all(len(part) <= 150 for part in source.name.split("/"))
        with source.fetch() as local:
            assert local.read_bytes() == VIDEO


def test_a_label_of_a_megabyte_is_no_label(tmp_path: Path) -> None:
    members = [("0.mp4", VIDEO), ("0.txt", b"x" * 900_000), ("1.mp4", VIDEO), ("1.txt", b"rain")]
    found = listing(make_tar(tmp_path / "s.tar", members))
    assert [source.caption for source in found.sources] == [None, "rain"]
    assert found.skipped_reasons == {"unreadable metadata in a shard": 1}
