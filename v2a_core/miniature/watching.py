"""Scenes of the small world as predictors of curves see them: as `v2a generate` would of a video of the world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from v2a_core.media.motion_energy import motion_energy, small_grey
from v2a_core.miniature.world import Scene, render_frames
from v2a_core.miniature.world.canvas import Style
from v2a_core.protocols import AnyFloats, VisionEncoder, Watched

_Frames = npt.NDArray[np.uint8]


def watch(
    scenes: Sequence[Scene],
    encoder: VisionEncoder | None,
    rate: float,
    length_s: float,
    size: int,
    style: Style = "paint",
) -> list[Watched]:
    """What is seen of each scene over time.

    Args:
        scenes: Of the world.
        encoder: Embeds the frames; None: motion alone.
        rate: Frames a second.
        length_s: Of each scene.
        size: Of the frames, pixels.
        style: How they are drawn.
    """
    pictures = _draw(scenes, rate, length_s, size, style)
    embedded: list[AnyFloats | None] = [None] * len(scenes)
    if encoder is not None:
        flat_ND = encoder.encode(np.concatenate(pictures)).astype(np.float16)
        embedded = [*np.split(flat_ND, np.cumsum([len(item) for item in pictures])[:-1])]
    return [
        _watched(frames_NHWC, frames_ND, rate, length_s)
        for frames_NHWC, frames_ND in zip(pictures, embedded, strict=True)
    ]


def watch_together(
    scenes: Sequence[Scene], encoder: VisionEncoder | None, rate: float, length_s: float, size: int
) -> Watched:
    """What is seen of a video in which some scenes follow each other: it is cut where they meet. See `watch`."""
    frames_NHWC = np.concatenate(_draw(scenes, rate, length_s, size, "paint"))
    frames_ND = None if encoder is None else encoder.encode(frames_NHWC).astype(np.float16)
    return _watched(frames_NHWC, frames_ND, rate, len(scenes) * length_s)


def _draw(scenes: Sequence[Scene], rate: float, length_s: float, size: int, style: Style) -> list[_Frames]:
    return [render_frames(scene, length_s=length_s, size=size, frames_per_second=rate, style=style) for scene in scenes]


def _watched(frames_NHWC: _Frames, frames_ND: AnyFloats | None, rate: float, length_s: float) -> Watched:
    times_s_N = (np.arange(len(frames_NHWC)) / rate).astype(np.float32)
    return Watched(times_s_N, motion_energy(small_grey(frames_NHWC)), frames_ND, length_s)
