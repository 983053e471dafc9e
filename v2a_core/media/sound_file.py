"""Spans of a sound file of any format, so that a long one is never held as a whole.

libsndfile tells formats by their contents and reads WAV, FLAC, Ogg, MP3 and more; what it does not know may be a
container with a sound track, as M4A is.

Shapes: T samples, C channels.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from v2a_core.media.audio import AudioReader, Sound
from v2a_core.media.probe import open_media, tick_s
from v2a_core.media.types import MediaError


class SoundFileReader:
    """Reads spans at the file's own rate.

    Args:
        path: A local file.
        every_channel: All of its channels instead of the first one.

    Raises:
        MediaError: When it is no sound file, or has no length.

    Attributes:
        length_s: Its length.
        name: What reads it.
    """

    def __init__(self, path: Path, *, every_channel: bool = False) -> None:
        self._every_channel = every_channel
        self._scope = contextlib.ExitStack()
        self._file: soundfile.SoundFile | None = None
        self._track: AudioReader | None = None
        try:
            self._file = self._scope.enter_context(soundfile.SoundFile(path))
            self.length_s, self.name = len(self._file) / self._file.samplerate, "libsndfile"
        except soundfile.LibsndfileError as error:
            self.length_s, self.name = _track_length_s(path, str(error)), "pyav"
            self._track = self._scope.enter_context(AudioReader(path, 0.0, every_channel=every_channel))

    def read(self, start_s: float, duration_s: float) -> Sound | None:
        """As `AudioReader.read`; what the file lacks of a span is silence, and counts as an error."""
        if self._track is not None:
            return self._track.read(start_s, duration_s)
        assert self._file is not None
        rate = self._file.samplerate
        try:
            self._file.seek(min(round(start_s * rate), len(self._file)))
            wanted = max(1, round(duration_s * rate))
            samples_TC = self._file.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise MediaError("decode", "LibsndfileError", f"it cannot be read from {start_s:g} s on: {error}") from None
        there = len(samples_TC)
        if there < wanted:
            samples_TC = np.pad(samples_TC, ((0, wanted - there), (0, 0)))
        waveform = samples_TC if self._every_channel else samples_TC[:, 0].copy()
        return Sound(waveform, rate, int(there < wanted - rate // 100), there > 0)

    def __enter__(self) -> SoundFileReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._scope.close()


def _track_length_s(path: Path, why: str) -> float:
    """The length of a container's sound track.

    Raises:
        MediaError: When it is no container with one.
    """
    try:
        with open_media(path, headers_only=True) as container:
            tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
            if not tracks:
                raise MediaError("probe", "NoSound", "the file has no sound track")
            track = tracks[0]
            if track.duration is not None:
                return float(track.duration * tick_s(track))
            if container.duration is not None:
                return container.duration / 1e6
    except MediaError as error:
        if error.error_type == "UnknownFormat":
            raise MediaError("probe", "UnknownFormat", f"not a readable sound file: {why}") from None
        raise
    raise MediaError("probe", "NoLength", "the file does not say how long its sound is")
