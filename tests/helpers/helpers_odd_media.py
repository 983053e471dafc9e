"""Media as nobody makes them on purpose, and as somebody does; each maker writes one file."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from helpers_media import render, tone
from PIL import Image, PngImagePlugin

Maker = Callable[[Path], object]


def whole(suffix: str, folder: Path) -> bytes:
    """A good video of two seconds with sound, in a container."""
    return render(folder / f"whole{suffix}", sound=tone(2.0)).read_bytes()


def cut(suffix: str, eighths: int) -> Maker:
    def make(path: Path) -> None:
        content = whole(suffix, path.parent.parent)
        path.write_bytes(content[: len(content) * eighths // 8])

    return make


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(len(path.name)).bytes(20_000))


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        for start in range(0, 48_000, 1024):
            frame = av.AudioFrame.from_ndarray(tone(1.0)[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frames(path: Path, codec: str, pix_fmt: str, size: tuple[int, int], count: int = 10, fps: object = 10) -> None:
    """Noise without sound, in any codec and pixel format."""
    width, height = size
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for index in range(count):
            pixels = np.full((height, width, 3), random.integers(255, size=3), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def of(codec: str, pix_fmt: str, size: tuple[int, int], count: int = 10, fps: object = 10) -> Maker:
    return lambda path: frames(path, codec, pix_fmt, size, count, fps)


def interlaced(path: Path) -> None:
    options = {"flags": "+ildct+ilme", "top": "1"}
    render(path, codec="mpeg2video", options=options, size=(320, 240), pts=range(30))


def huge_declared(path: Path) -> None:
    """An MP4 whose sample entry and track header declare 65,535 x 65,535 pixels."""
    content = bytearray(render(path, sound=tone(2.0)).read_bytes())
    entry = content.index(b"avc1", content.index(b"stsd")) + 4 + 24
    content[entry : entry + 4] = struct.pack(">HH", 65_535, 65_535)
    header = content.index(b"tkhd") + 4 + 76
    content[header : header + 8] = struct.pack(">HHHH", 65_535, 0, 65_535, 0)
    path.write_bytes(content)


def bad_sound(value: float) -> Maker:
    """Float samples that are no numbers, or larger than any sound."""

    def make(path: Path) -> None:
        sound = tone(2.0)
        sound[::7] = value
        render(path, sound=sound, audio_codec="pcm_f32le")

    return make


def sound_of(rate: int, channels: int, seconds: float) -> Maker:
    return lambda path: render(
        path, sound=np.tile(tone(seconds, rate=rate), (channels, 1)), sound_rate=rate, audio_codec="pcm_s16le"
    )


def with_attachment(path: Path) -> None:
    """A Matroska file with a whole MP4 attached, and a subtitle-like data stream."""
    inner = whole(".mp4", path.parent.parent)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("inner.mp4", "video/mp4", inner)
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * index, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def two_videos(path: Path) -> None:
    """Two video streams, the first of one frame."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for stream, count in zip(streams, (1, 50), strict=True):
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def appended(path: Path) -> None:
    """A picture with a whole video behind it."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue() + whole(".mp4", path.parent.parent))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(path: Path) -> None:
    """50,000 x 50,000 pixels that are all there, in 7 MB unpacked many times over."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 50_000 // 8)  # one bit a pixel
    data = packer.compress(row * 5000) + packer.flush()
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    )


def thread(path: Path) -> None:
    """One pixel wide, 60,000 high: resized by its shorter side it would be gigabytes."""
    Image.new("RGB", (1, 60_000)).save(path)


def text_bomb(path: Path) -> None:
    """A compressed text chunk of 200 MB in a small picture."""
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "x" * 1000, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "PNG", pnginfo=info)
    content = buffer.getvalue()
    bomb = png_chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(200 * 2**20), 9))
    path.write_bytes(content[:33] + bomb + content[33:])


def declared(header: Callable[[bytearray], None], kind: str) -> Maker:
    """A small picture whose header declares a huge one."""

    def make(path: Path) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), (1, 2, 3)).save(buffer, kind)
        content = bytearray(buffer.getvalue())
        header(content)
        path.write_bytes(content)

    return make


def jpeg_size(content: bytearray) -> None:
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", 65_500, 65_500)


def bmp_size(content: bytearray) -> None:
    content[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)


def gif_size(content: bytearray) -> None:
    content[6:10] = struct.pack("<HH", 65_535, 65_535)


def picture(mode: str, kind: str, **how: object) -> Maker:
    def make(path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 4), np.uint8)
        image = Image.fromarray(pixels, "RGBA")
        image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert("RGB").convert(mode)
        image.save(path, kind, **how)

    return make


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30), (9, 9, 200)).save(path, exif=exif)


def many_pictures(kind: str, count: int, **how: object) -> Maker:
    def make(path: Path) -> None:
        images = [Image.new("RGB", (32, 24), (index % 255, 40, 90)) for index in range(count)]
        images[0].save(path, kind, save_all=True, append_images=images[1:], **how)

    return make


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.mp4", whole(".mp4", path.parent.parent))


def text(content: str) -> Maker:
    return lambda path: path.write_text(content)
