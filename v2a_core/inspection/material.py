"""Sounds and pictures with what is in them: out of folders, or drawn from the miniature world.

Shapes: T samples, H and W pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from v2a_core.config import ConfigError
from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.media.resample import is_silent
from v2a_core.miniature.world import Scene, WorldSettings, class_prompts, render_frames, render_sound, sample
from v2a_core.protocols import Floats

# What AudioLDM was trained on. In shorter sounds its UNet finds the noise less well when it is told what sounds.
SOUND_S = 10.24
_SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_DRAWN_SIDE = 96


@dataclass(frozen=True)
class Labelled:
    """What belongs to a kind.

    Attributes:
        kind: Of what.
        texts: What is said of the kind; the mean of their embeddings stands for it.
    """

    kind: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class NamedSound(Labelled):
    """A sound, float32 (T,) at `sample_rate` Hz."""

    waveform_T: Floats
    sample_rate: int


@dataclass(frozen=True)
class NamedPicture(Labelled):
    """A picture, RGB of any size, and the name of its file."""

    image: Image.Image
    file: str


@dataclass(frozen=True)
class Material:
    """What models are checked on; either may be empty.

    Attributes:
        sounds: At least two of different kinds, or none.
        pictures: The same.
        drawn: Whether they are the miniature world's, which only the miniature knows.
    """

    sounds: Sequence[NamedSound]
    pictures: Sequence[NamedPicture]
    drawn: bool = False


def draw(sounds: int, pictures: int) -> Material:
    """Held-out scenes of the miniature world, the kinds in turns.

    Args:
        sounds: How many sounds.
        pictures: How many pictures; each of them is a kind of its own, named by its caption.
    """
    heard = [_drawn_sound(sample(WorldSettings(), "test", index)) for index in range(sounds)]
    seen = [_drawn_picture(sample(WorldSettings(), "test", index)) for index in range(pictures)]
    return Material(heard, seen, drawn=True)


def _drawn_sound(scene: Scene) -> NamedSound:
    waveform_T = render_sound(scene, length_s=SOUND_S, sample_rate=SAMPLE_RATE)
    return NamedSound(scene.kind, class_prompts(scene.kind), waveform_T, SAMPLE_RATE)


def _drawn_picture(scene: Scene) -> NamedPicture:
    frames = render_frames(scene, length_s=2.0, size=_DRAWN_SIDE, frames_per_second=1)
    return NamedPicture(scene.caption, (scene.caption,), Image.fromarray(frames[0]), "")


def read(sounds: Path | None, pictures: Path | None) -> Material:
    """What a user gave: files whose names say what is in them, such as `dog barking.wav` and `dog barking-2.wav`.

    Raises:
        ConfigError: For a folder that is none, a file that cannot be read, or too few kinds.
    """
    heard = [_sound(path) for path in _files(sounds, _SOUNDS, "--sounds")]
    seen = [_picture(path) for path in _files(pictures, _PICTURES, "--pictures")]
    if sounds is not None and len({item.kind for item in heard}) < 2:
        raise ConfigError(
            f"--sounds {sounds} has sounds of {len({item.kind for item in heard})} kinds: give at least two of "
            "different kinds, named by what is heard, such as `dog barking.wav`"
        )
    return Material(heard, seen)


def _files(folder: Path | None, endings: Sequence[str], option: str) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise ConfigError(f"{option} {folder} is no folder")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _kind(path: Path) -> str:
    return re.sub(r"[-_ ]*\d*$", "", path.stem).replace("_", " ").replace("-", " ") or path.stem


def _sound(path: Path) -> NamedSound:
    try:
        with soundfile.SoundFile(path) as file:
            rate = int(file.samplerate)
            channels = file.read(round(SOUND_S * rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ConfigError(f"{path} cannot be read as a sound: {error}") from None
    waveform_T = np.ascontiguousarray(channels[:, 0], np.float32)  # the first channel, as AudioLDM's CLAP is given
    if is_silent(waveform_T):
        raise ConfigError(f"{path} is silent: give a file in which {_kind(path)} is heard from the beginning")
    kind = _kind(path)
    return NamedSound(kind, (f"the sound of {kind}",), waveform_T, rate)


def _picture(path: Path) -> NamedPicture:
    try:
        with Image.open(path) as image:
            kind = _kind(path)
            return NamedPicture(kind, (f"a photo of {kind}",), image.convert("RGB"), path.name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a picture: {error}") from None
