"""Folders of sounds as people have them: several formats, odd names, videos, and what cannot be heard."""

from __future__ import annotations

from pathlib import Path

import helpers_catalog
import numpy as np
import soundfile

RATE = 16_000
FORMATS = ("wav", "flac", "ogg", "mp3")


def struck(seconds: float, hz: float, every_s: float = 0.5) -> np.ndarray:
    """A tone that is struck again and again, float32."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hz * times) * np.exp(-8 * (times % every_s))).astype(np.float32)


def sounds(folder: Path, count: int = 12, seconds: float = 1.4) -> Path:
    """So many sounds in four formats, in a folder in a folder."""
    for index in range(count):
        path = folder / f"{index % 2} ü%" / f"sound #{index}.{FORMATS[index % len(FORMATS)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, struck(seconds, 200 + 37 * index, 0.3 + 0.05 * (index % 4)), RATE)
    return folder


def wild(folder: Path) -> Path:
    """The same with a video, a mute one, silence, a broken file, and what is no sound by its name."""
    sounds(folder)
    helpers_catalog.video(folder / "video [1].mp4", 1.2)
    helpers_catalog.video(folder / "mute.mp4", 1.2, tone_hz=None)
    helpers_catalog.still(folder / "still.png")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF" + bytes(100))
    (folder / "notes.txt").write_text("no sound")
    return folder
