"""Sound files in M4A: AAC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from v2a_core.config import setting
from v2a_core.media.audio import every_channel
from v2a_core.media.audio_formats import AUDIO_FORMATS, AudioFormatSettings
from v2a_core.media.encode import aac_packets
from v2a_core.media.probe import open_media, tick_s
from v2a_core.media.types import MediaError, Pcm


class M4aSettings(AudioFormatSettings):
    """M4A."""

    kind: Literal["m4a"] = setting("m4a", "AAC in an MP4 container")


class M4a:
    """AAC in an MP4 container, with its index at the start.

    Args:
        settings: There is nothing to set yet.
    """

    def __init__(self, settings: M4aSettings) -> None:
        del settings

    def write(self, path: Path, waveform: npt.NDArray[np.float32], sample_rate: int, tags: Mapping[str, str]) -> None:
        """Write a file; see `AudioFormat`."""
        try:
            with av.open(str(path), "w", format="ipod", container_options={"movflags": "+faststart"}) as container:
                container.metadata.update(tags)
                for packet in aac_packets(container, waveform, sample_rate, sample_rate):
                    container.mux(packet)
        except av.FFmpegError as error:
            raise MediaError("write", type(error).__name__, f"{path.name} cannot be written: {error}") from None

    def read(self, path: Path) -> Pcm:
        """Every channel; see `AudioFormat`."""
        try:
            with open_media(path, "read") as container:
                if not container.streams.audio:
                    raise MediaError("read", "NoAudio", f"{path.name} has no audio track")
                stream = container.streams.audio[0]
                pieces = [every_channel(frame) for frame in container.decode(stream)]
                declared = round(float((stream.duration or 0) * tick_s(stream)) * stream.sample_rate)
                rate = int(stream.sample_rate)
        except av.FFmpegError as error:
            message = f"{path.name} is not a readable audio file: {error}"
            raise MediaError("read", type(error).__name__, message) from None
        samples_TC = np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)
        # The last frame of AAC is whole, whatever of it belongs to the sound.
        return Pcm(samples_TC[:declared] if declared else samples_TC, rate)


AUDIO_FORMATS.add("m4a", M4a, M4aSettings)
