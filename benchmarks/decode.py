"""What decoding costs: each frame reader, exact and fast sampling, the sound, the guarded process around them.

Run `python benchmarks/decode.py`; all figures come from one run on one machine, one thread. Quote ratios. With
`--models NAME` the embeddings of fast sampling are compared with those of exact sampling by that bundle's CLIP.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, decode_source
from v2a_core.media.encode import write_video
from v2a_core.media.frames_av import AvReader, FastAvReader
from v2a_core.media.frames_decord import DecordReader
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.probe import read_timeline
from v2a_core.media.types import DecodedSegment, MediaSpec

CLIP_S, FPS, RATE, REPEATS = 10, 25, 48_000, 7
SPEC = MediaSpec()
EXACT, FAST = FrameSettings(), FrameSettings(sampling="fast")

Reader = type[DecordReader] | type[AvReader] | type[FastAvReader]


def main() -> None:
    """Print clips per second for each way to decode a 10 s clip of 640 x 360 with sound; then what fast costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", metavar="NAME", help="compare the embeddings of fast and exact sampling")
    models = parser.parse_args().models
    with tempfile.TemporaryDirectory() as folder, GuardedDecoder(GuardSettings()) as guarded:
        clip = _clip(Path(folder) / "clip.mp4")
        ways: dict[str, Callable[[], object]] = {
            "frames, decord": lambda: _frames(clip, DecordReader),
            "frames, PyAV": lambda: _frames(clip, AvReader),
            "frames, PyAV, fast sampling": lambda: _frames(clip, FastAvReader),
            "frames and sound, in this process": lambda: list(decode_source(_request(clip))),
            "frames and sound, fast sampling": lambda: list(decode_source(_request(clip, FAST))),
            "frames and sound, guarded process": lambda: _guarded(clip, guarded),
        }
        seconds = {name: _median(way) for name, way in ways.items()}
        reference = seconds["frames and sound, in this process"]
        print(f"{'10 s of 640 x 360 H.264, 10 frames':40} clips/s   time against unguarded")
        for name, value in seconds.items():
            print(f"{name:40} {1 / value:7.2f}   {value / reference:.2f}")
        print(f"fast sampling: {_moved_s(clip):.3f} s between the wanted and the nearest frame (mean)")
        if models:
            _compare(clip, models)


def _clip(path: Path) -> Path:
    """A camera that pans over a picture of several scales; two cuts."""
    generator = np.random.default_rng(0)
    width = 640 + 2 * CLIP_S * FPS
    scenes = []
    for _ in range(3):
        scales = [(90, 160), (24, 48), (6, 12)]
        layers = [generator.integers(0, 255, (*scale, 3), np.uint8) for scale in scales]
        smooth = [Image.fromarray(layer).resize((width, 360), Image.Resampling.BICUBIC) for layer in layers]
        scenes.append(np.mean([np.asarray(layer) for layer in smooth], axis=0).astype(np.uint8))
    count = CLIP_S * FPS
    frames = (scenes[3 * index // count][:, 2 * index : 2 * index + 640] for index in range(count))
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(CLIP_S * RATE) / RATE)
    write_video(path, frames, FPS, tone.astype(np.float32), RATE)
    return path


def _frames(path: Path, reader: Reader) -> object:
    opened = reader(path, read_timeline(path), SPEC.image_size)
    try:
        return opened.read(np.arange(12, 250, 25))
    finally:
        opened.close()


def _request(path: Path, frames: FrameSettings = EXACT, spec: MediaSpec = SPEC) -> DecodeRequest:
    return DecodeRequest(path, "video", "benchmark", spec, SegmentSettings(), frames)


def _guarded(path: Path, guarded: GuardedDecoder) -> object:
    return list(
        guarded.decode(path, kind="video", source_id="benchmark", spec=SPEC, segments=SegmentSettings(), frames=EXACT)
    )


def _segment(path: Path, frames: FrameSettings, spec: MediaSpec = SPEC) -> DecodedSegment:
    (segment,) = (item for item in decode_source(_request(path, frames, spec)) if isinstance(item, DecodedSegment))
    return segment


def _moved_s(path: Path) -> float:
    """Mean distance in time of fast sampling's frames from exact sampling's."""
    return float(np.abs(_segment(path, FAST).frame_times_s - _segment(path, EXACT).frame_times_s).mean())


def _compare(path: Path, models: str) -> None:
    """Cosines of the frames' embeddings, fast against exact, and of neighbouring exact frames for comparison."""
    from v2a_core.encoders import EncoderSettings, build_vision
    from v2a_core.models import load_bundle

    local = load_bundle(models).resolve()
    encoder = build_vision(local, EncoderSettings(), "cpu")
    spec = dataclasses.replace(SPEC, image_size=local.media_spec().image_size)
    exact = encoder.encode(_segment(path, EXACT, spec).frames_NHWC)
    fast = encoder.encode(_segment(path, FAST, spec).frames_NHWC)
    cosines = (exact * fast).sum(axis=1)
    means = [frames.mean(axis=0) / np.linalg.norm(frames.mean(axis=0)) for frames in (exact, fast)]
    print(f"cosine of fast to exact, {models} (trained: {local.trained}):")
    print(
        f"  frames: mean {cosines.mean():.4f}, least {cosines.min():.4f}; the segment's mean: {means[0] @ means[1]:.4f}"
    )
    print(f"  for comparison, exact frames 1 s apart: {(exact[1:] * exact[:-1]).sum(axis=1).mean():.4f}")


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
