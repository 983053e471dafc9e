"""A file is known by its first bytes, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_media import render

from v2a_core.media import confine, magic


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "container"),
    [
        ("a.mp4", "libx264", "yuv420p", "mov"),
        ("a.mov", "libx264", "yuv420p", "mov"),
        ("a.mkv", "libx264", "yuv420p", "matroska"),
        ("a.webm", "libvpx-vp9", "yuv420p", "matroska"),
        ("a.avi", "mpeg4", "yuv420p", "avi"),
        ("a.ts", "libx264", "yuv420p", "mpegts"),
        ("a.mpg", "mpeg2video", "yuv420p", "mpeg"),
        ("a.gif", "gif", "rgb8", "gif"),
    ],
)
def test_each_container_is_known(tmp_path: Path, name: str, codec: str, pix_fmt: str, container: str) -> None:
    path = render(tmp_path / name, codec=codec, pix_fmt=pix_fmt, options={}, pts=range(5))
    assert magic.container_of(path) == container
    other = path.rename(tmp_path / "other.name")
    assert magic.container_of(other) == container


def test_a_transport_stream_may_be_cut_in_a_packet(tmp_path: Path) -> None:
    path = render(tmp_path / "a.ts", pts=range(5))
    path.write_bytes(path.read_bytes()[100:])
    assert magic.container_of(path) == "mpegts"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"G",
        b"#EXTM3U\n#EXT-X-VERSION:3\n",
        b"ffconcat version 1.0\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
        b"<?xml version='1.0'?><MPD>",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"\x89PNG\r\n\x1a\n",
        b"export const x: number = 1;\n" * 200,
    ],
)
def test_everything_else_is_none(head: bytes) -> None:
    assert magic.recognise(head) is None


def test_a_box_of_text_is_nothing_for_a_decoder_that_guesses(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"<MPDfree" + b" " * 100)
    assert magic.recognise(magic.read_head(path)) == "mov"
    assert not magic.is_unmistakable(path)
    assert magic.is_unmistakable(render(tmp_path / "b.mp4", pts=range(2)))
    assert magic.is_unmistakable(render(tmp_path / "b.mkv", pts=range(2)))


def test_a_kernel_without_landlock_confines_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "_landlock_version", lambda: -1)
    assert not confine.confine_thread([tmp_path])
    assert list(tmp_path.iterdir()) == []
