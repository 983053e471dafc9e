"""Small media files for tests, rendered with PyAV, with the oddities that files in the wild have."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import av
import numpy as np
from PIL import Image

RATE = 48_000
P, ResultT = ParamSpec("P"), TypeVar("ResultT")


def picture(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A flat frame whose brightness is its index: 4 steps a frame, so that lossy codecs keep frames apart."""
    return np.full((height, width, 3), (8 + 4 * index) % 240, np.uint8)


def index_of(frame: np.ndarray) -> int:
    """The inverse of `picture` for indices below 58."""
    return round((float(frame.mean()) - 8) / 4)


def moving(count: int) -> list[np.ndarray]:
    """A texture that moves 4 pixels a frame: a wrong or repeated frame is far from the right one."""
    noise = np.random.default_rng(0).integers(0, 255, (45, 300, 3), np.uint8)
    texture = np.asarray(Image.fromarray(noise).resize((4 * count + 160, 90), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(texture[:, 4 * index : 4 * index + 160]) for index in range(count)]


def tone(seconds: float, hz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def in_its_own_thread(make: Callable[P, ResultT]) -> Callable[P, ResultT]:
    """For what encodes: SVT-AV1 makes a real-time thread of the one that starts it, where it may.

    All that such a thread starts is real-time, too: other tests, and the jobs beside them, would wait for it.
    """

    @functools.wraps(make)
    def made(*arguments: P.args, **options: P.kwargs) -> ResultT:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(make, *arguments, **options).result()

    return made


@in_its_own_thread
def render(
    path: Path,
    *,
    pts: Sequence[int] = tuple(range(50)),
    fps: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    size: tuple[int, int] = (64, 48),
    pictures: Sequence[np.ndarray] | None = None,
    rotation: int = 0,
    offset_s: float = 0.0,
    sound: np.ndarray | None = None,
    sound_at_s: float = 0.0,
    sound_rate: int = RATE,
    audio_codec: str = "aac",
    tags: dict[str, str] | None = None,
) -> Path:
    """Encode a video with chosen timestamps; frame k shows `picture(k)` unless `pictures` are given.

    Args:
        pts: Time of each frame, in units of 1/fps.
        sound: Float32 (T,) or (channels, T).
    """
    width, height = size
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        video = container.add_stream(codec, rate=fps)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.options = options if options is not None else ({"crf": "4"} if "264" in codec else {})
        video.codec_context.time_base = Fraction(1, fps)
        if rotation:
            video.set_display_rotation(rotation)
        audio = None
        if sound is not None:
            sound = np.atleast_2d(sound)
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
            audio = container.add_stream(audio_codec, rate=sound_rate, layout=layout)
        packets = []
        for index, stamp in enumerate(pts):
            pixels = pictures[index] if pictures is not None else picture(index, width, height)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamp + round(offset_s * fps), Fraction(1, fps)
            packets += video.encode(frame)
        packets += video.encode(None)
        if audio is not None and sound is not None:
            packets += _encode_sound(audio, sound, sound_rate, offset_s + sound_at_s)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def _encode_sound(stream: av.AudioStream, sound: np.ndarray, rate: int, at_s: float) -> list[av.Packet]:
    kind = stream.format.name
    packets = []
    for start in range(0, sound.shape[1], 1024):
        chunk = np.ascontiguousarray(sound[:, start : start + 1024])
        if kind == "s16":
            chunk = np.ascontiguousarray((chunk * 32767).astype(np.int16).T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(chunk, format=kind, layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, start + round(at_s * rate), Fraction(1, rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def make_tar(path: Path, members: Sequence[tuple[str, bytes] | tarfile.TarInfo], mode: str = "w") -> Path:
    """A tar with plain members (name, content) and ready-made headers without content."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return path


def playlist_in_mp4(path: Path, target: str, **shown: Any) -> Path:
    """An MP4 file whose first box begins as an HLS playlist of another file; sparse, as that box is 592 MB long."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:10", "#EXT-X-MEDIA-SEQUENCE:0", "#EXTINF:1.2,"]
    playlist = "\n".join([*lines, target, "#EXT-X-ENDLIST", ""]).encode()
    shift = int.from_bytes(playlist[:4], "big")
    film = bytearray(render(path, **shown).read_bytes())
    table = film.find(b"stco") + 8
    for place in range(int.from_bytes(film[table : table + 4], "big")):
        begin = table + 4 + 4 * place
        film[begin : begin + 4] = (int.from_bytes(film[begin : begin + 4], "big") + shift).to_bytes(4, "big")
    with path.open("wb") as file:
        file.write(playlist)
        file.seek(shift)
        file.write(film)
    return path
