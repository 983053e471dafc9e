"""The ends of an interpolation: an image, a video, an audio file or a text, each as a condition of CLAP's space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core import encoders, storage
from v2a_core.catalog.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from v2a_core.config import ConfigError
from v2a_core.generators import load_text_encoder
from v2a_core.interpolation.config import InterpolationSettings
from v2a_core.media.config import SegmentSettings
from v2a_core.media.decode import DecodeRequest
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.resample import clap_waveform, is_silent
from v2a_core.media.types import DecodedSegment, MediaError
from v2a_core.media.write import read_audio
from v2a_core.models import LocalBundle
from v2a_core.protocols import ConditionMapper

Floats = npt.NDArray[np.float32]
Kind = Literal["image", "video", "audio", "text"]

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aiff"})


@dataclass(frozen=True)
class End:
    """One end, as it was given."""

    given: str
    kind: Kind

    @property
    def seen(self) -> bool:
        """Whether it needs CLIP and a mapper."""
        return self.kind in ("image", "video")


def read_end(given: str) -> End:
    """What an end is: by its suffix a file, else a text.

    Raises:
        ConfigError: For an empty text, and for the name of a file that does not exist.
    """
    suffix = Path(given.strip()).suffix.lower()
    known: tuple[tuple[frozenset[str], Kind], ...] = (
        (IMAGE_SUFFIXES, "image"),
        (VIDEO_SUFFIXES, "video"),
        (AUDIO_SUFFIXES, "audio"),
    )
    for suffixes, kind in known:
        if suffix in suffixes:
            if not storage.exists(given):
                raise ConfigError(f"no file {given}: an end is an image, a video, an audio file or a text")
            return End(given, kind)
    if not given.strip():
        raise ConfigError("an end is empty: give an image, a video, an audio file or a text")
    return End(given, "text")


def conditions_of(
    ends: list[End], local: LocalBundle, mapper: ConditionMapper | None, settings: InterpolationSettings, device: str
) -> Floats:
    """The condition of each end, L2-normalised float32 (N, D).

    Raises:
        ConfigError: When an end cannot be read, or is seen and there is no mapper.
    """
    try:
        return np.stack([_condition(end, local, mapper, settings, device) for end in ends])
    except (MediaError, OSError) as error:
        raise ConfigError(f"an end cannot be read: {error}") from None


def _condition(
    end: End, local: LocalBundle, mapper: ConditionMapper | None, settings: InterpolationSettings, device: str
) -> Floats:
    if end.kind == "text":
        said: Floats = load_text_encoder(local, device).embed_text([end.given])[0]
        return said
    if end.kind == "audio":
        hears = encoders.build_audio(local, settings.encoders, device)
        heard: Floats = hears.encode(_waveform(end.given, local)[np.newaxis])[0]
        return heard
    if mapper is None:
        raise ConfigError(f"{end.given} is a {end.kind}: give --mapper URI, or --mapper none")
    frames_ND = encoders.build_vision(local, settings.encoders, device).encode(_frames(end, local, settings))
    mapped: Floats = mapper.map([frames_ND], [settings.seed])[0]
    return mapped


def _frames(end: End, local: LocalBundle, settings: InterpolationSettings) -> npt.NDArray[np.uint8]:
    """The frames of the whole video, or the picture, uint8 (N, H, W, 3)."""
    with storage.local_copy(end.given) as path, GuardedDecoder(settings.decoder) as decoder:
        whole = SegmentSettings(whole=True)
        request = DecodeRequest(path, end.kind, "end", local.media_spec(), whole, settings.frames, want_audio=False)
        for item in decoder.decode(request):
            if isinstance(item, DecodedSegment):
                return item.frames_NHWC
            raise item.error
    raise MediaError("decode", "NoFrames", f"{end.given} has no frame")


def _waveform(uri: str, local: LocalBundle) -> Floats:
    """The beginning of an audio file as CLAP takes it."""
    spec = local.media_spec()
    with storage.local_copy(uri) as path:
        samples, rate = read_audio(path)
    samples = samples[: round(spec.audio_samples / spec.audio_sample_rate * rate)]
    if is_silent(samples):
        raise MediaError("read", "Silent", f"{uri} is silent")
    return clap_waveform(samples, rate, spec)
