"""What decoding costs: each frame decoder, the sound, and the guarded process around them.

Run `python benchmarks/decode.py`; all figures come from one run on one machine, one thread. Quote ratios.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, decode_source
from v2a_core.media.encode import write_video
from v2a_core.media.frames_av import AvReader
from v2a_core.media.frames_decord import DecordReader
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.probe import read_timeline
from v2a_core.media.types import MediaSpec

CLIP_S, RATE, REPEATS = 10, 48_000, 7
SPEC = MediaSpec()


def main() -> None:
    """Print clips per second for each way to decode a 10 s clip of 640 x 360 with sound."""
    with tempfile.TemporaryDirectory() as folder, GuardedDecoder(GuardSettings()) as guarded:
        clip = _clip(Path(folder) / "clip.mp4")
        ways: dict[str, Callable[[], object]] = {
            "frames, decord": lambda: _frames(clip, DecordReader),
            "frames, PyAV": lambda: _frames(clip, AvReader),
            "frames and sound, in this process": lambda: list(decode_source(_request(clip))),
            "frames and sound, guarded process": lambda: _guarded(clip, guarded),
        }
        seconds = {name: _median(way) for name, way in ways.items()}
    reference = seconds["frames and sound, in this process"]
    print(f"{'10 s of 640 x 360 H.264, 10 frames':40} clips/s   time against unguarded")
    for name, value in seconds.items():
        print(f"{name:40} {1 / value:7.2f}   {value / reference:.2f}")


def _clip(path: Path) -> Path:
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 255, (360, 1280, 3), np.uint8)
    frames = (texture[:, 2 * index : 2 * index + 640] for index in range(CLIP_S * 25))
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(CLIP_S * RATE) / RATE)
    write_video(path, frames, 25, tone.astype(np.float32), RATE)
    return path


def _frames(path: Path, reader: type[DecordReader] | type[AvReader]) -> object:
    opened = reader(path, read_timeline(path), SPEC.image_size)
    try:
        return opened.read(np.arange(12, 250, 25))
    finally:
        opened.close()


def _request(path: Path) -> DecodeRequest:
    return DecodeRequest(path, "video", "benchmark", SPEC, SegmentSettings(), FrameSettings())


def _guarded(path: Path, guarded: GuardedDecoder) -> object:
    return list(
        guarded.decode(
            path, kind="video", source_id="benchmark", spec=SPEC, segments=SegmentSettings(), frames=FrameSettings()
        )
    )


def _median(way: Callable[[], object]) -> float:
    way()  # the first call loads libraries and starts the guarded process
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        way()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
