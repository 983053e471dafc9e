"""Scenes of the small world as predictors of curves see them: as `v2a generate` would of a video of the world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from v2a_core.media.motion_energy import motion_energy, small_grey
from v2a_core.miniature.world import Scene, render_frames
from v2a_core.miniature.world.canvas import Style
from v2a_core.protocols import AnyFloats, VisionEncoder, Watched


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
    pictures = [
        render_frames(scene, length_s=length_s, size=size, frames_per_second=rate, style=style) for scene in scenes
    ]
    embedded: list[AnyFloats | None] = [None] * len(scenes)
    if encoder is not None:
        flat_ND = encoder.encode(np.concatenate(pictures)).astype(np.float16)
        embedded = [*np.split(flat_ND, np.cumsum([len(item) for item in pictures])[:-1])]
    return [
        Watched(
            (np.arange(len(frames_NHWC)) / rate).astype(np.float32),
            motion_energy(small_grey(frames_NHWC)),
            frames_ND,
            length_s,
        )
        for frames_NHWC, frames_ND in zip(pictures, embedded, strict=True)
    ]
