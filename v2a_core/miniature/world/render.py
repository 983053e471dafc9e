"""Scenes as waveforms and pictures, at any length, size, frame rate and sample rate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from v2a_core.miniature.world.canvas import Canvas, Style
from v2a_core.miniature.world.happenings import Happening
from v2a_core.miniature.world.look import Look, Moment
from v2a_core.miniature.world.pictures import PICTURES
from v2a_core.miniature.world.scenes import Scene
from v2a_core.miniature.world.sounds import SOUNDS
from v2a_core.miniature.world.synthesis import Sound

_ROOM_DBFS = -66.0  # noise of the room: no recording is digitally silent between two ticks


def render_sound(
    scene: Scene | Happening, *, length_s: float = 5.0, sample_rate: int = 16_000
) -> npt.NDArray[np.float32]:
    """The sound of a scene.

    Args:
        scene: A scene (what is heard counts), or a happening.
        length_s: Length in seconds; a longer sound begins with the shorter one.
        sample_rate: Samples a second; tones that do not fit below half of it are left out.

    Returns:
        Float32 (round(length_s * sample_rate),), within -1..1; peaks near -24 dBFS (intensity 0) to -3 dBFS (1).
    """
    happening = scene.heard if isinstance(scene, Scene) else scene
    samples = round(length_s * sample_rate)
    sound = Sound(happening, happening.events(length_s), sample_rate, samples)
    waveform = SOUNDS[happening.kind](sound)
    # A loud sound is also driven harder, because what loudness alone tells is lost where levels are normalised.
    drive = 0.3 + 1.5 * happening.intensity
    waveform = np.tanh(drive * waveform) / np.tanh(drive)
    waveform *= 10 ** ((-24 + 21 * happening.intensity) / 20)
    waveform += 10 ** (_ROOM_DBFS / 20) * happening.rng("room").standard_normal(samples)
    clipped: npt.NDArray[np.float32] = np.clip(waveform, -1, 1).astype(np.float32)
    return clipped


def render_frames(
    scene: Scene | Happening,
    *,
    length_s: float = 5.0,
    size: int | tuple[int, int] = 128,
    frames_per_second: float = 10,
    style: Style = "paint",
) -> npt.NDArray[np.uint8]:
    """The pictures of a scene.

    Args:
        scene: A scene (what is seen counts), or a happening.
        length_s: Length in seconds.
        size: Height and width in pixels, or one number for both. The scene sits in the middle square.
        frames_per_second: Frame rate; frame i shows the time i / frames_per_second.
        style: Drawing style.

    Returns:
        Uint8 (round(length_s * frames_per_second), H, W, 3), RGB, at least one frame.
    """
    frames = iterate_frames(scene, length_s=length_s, size=size, frames_per_second=frames_per_second, style=style)
    return np.stack(list(frames))


def iterate_frames(
    scene: Scene | Happening,
    *,
    length_s: float = 5.0,
    size: int | tuple[int, int] = 128,
    frames_per_second: float = 10,
    style: Style = "paint",
) -> Iterator[npt.NDArray[np.uint8]]:
    """The same as `render_frames`, one frame at a time: uint8 (H, W, 3)."""
    times_s = np.arange(max(1, round(length_s * frames_per_second))) / frames_per_second
    return _draw(scene, times_s, size, style)


def render_still(
    scene: Scene | Happening, *, size: int | tuple[int, int] = 128, style: Style = "ink"
) -> npt.NDArray[np.uint8]:
    """One picture of a scene, just after its second event. Uint8 (H, W, 3), RGB."""
    happening = scene.seen if isinstance(scene, Scene) else scene
    time_s = float(happening.events(6 / happening.rate_hz).times_s[1]) + 0.03
    return next(_draw(happening, np.array([time_s]), size, style))


def _draw(
    scene: Scene | Happening, times_s: npt.NDArray[np.float64], size: int | tuple[int, int], style: Style
) -> Iterator[npt.NDArray[np.uint8]]:
    happening = scene.seen if isinstance(scene, Scene) else scene
    height, width = (size, size) if isinstance(size, int) else size
    picture, look = PICTURES[happening.kind], Look.of(happening)
    events = happening.events(float(times_s[-1]) + 8 / happening.rate_hz)
    canvas = Canvas(height, width, style)
    canvas.background(*look.sky)
    picture.backdrop(canvas, look)
    backdrop = canvas.image_HWC.copy()
    for time_s in times_s:
        canvas.image_HWC[:] = backdrop
        picture.action(canvas, look, Moment.at(float(time_s), events, 1 / happening.rate_hz))
        frame = canvas.to_uint8()
        yield frame[:, ::-1] if look.mirrored else frame
