"""Audio files: 16-bit WAV or FLAC, AAC in M4A, Vorbis in OGG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt
import soundfile

from v2a_core.media.audio import first_channel
from v2a_core.media.encode import aac_packets
from v2a_core.media.probe import open_media, tick_s
from v2a_core.media.types import MediaError

AudioFormat = Literal["wav", "flac", "m4a", "ogg"]

_FULL_SCALE = 32767
_SNDFILE_TAGS = {"comment": "comment", "encoder": "software"}  # ours -> libsndfile's
# libsndfile's Vorbis encoder keeps what it is given at once on the stack.
_BLOCK = 2**14


def write_audio(
    path: Path,
    waveform: npt.NDArray[np.float32],
    sample_rate: int,
    audio_format: AudioFormat,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write one channel of sound; without loss each sample is rounded to the nearest of 16 bit.

    Args:
        path: Where to.
        waveform: Float32 (T,), -1..1.
        sample_rate: Its rate, Hz.
        audio_format: Container and codec.
        tags: Metadata: `encoder` and `comment`.

    Raises:
        MediaError: When samples are not finite, out of range, or there are none.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise MediaError("write", "Empty", f"a waveform of shape {waveform.shape} cannot be written; expected (T,)")
    if not np.isfinite(waveform).all():
        raise MediaError("write", "NotFinite", "the waveform holds NaN or infinite samples")
    peak = float(max(waveform.max(), -waveform.min()))
    if peak > 1.0:
        raise MediaError("write", "Clipped", f"the highest sample is {peak:.3f}; full scale is 1")
    if audio_format == "m4a":
        _write_m4a(path, waveform, sample_rate, tags or {})
    else:
        _write_sndfile(path, waveform, sample_rate, audio_format, tags or {})


def read_audio(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """The first channel of an audio file, float32 (T,), and its sampling rate, Hz.

    Raises:
        MediaError: When it cannot be read.
    """
    if path.suffix.lower() == ".m4a":  # libsndfile reads no AAC
        return _read_m4a(path)
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise MediaError("read", type(error).__name__, f"{path.name} is not a readable audio file: {error}") from None
    return np.ascontiguousarray(samples[:, 0]), int(rate)


def _read_m4a(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    try:
        with open_media(path, "read") as container:
            if not container.streams.audio:
                raise MediaError("read", "NoAudio", f"{path.name} has no audio track")
            stream = container.streams.audio[0]
            pieces = [first_channel(frame) for frame in container.decode(stream)]
            declared = round(float((stream.duration or 0) * tick_s(stream)) * stream.sample_rate)
            rate = int(stream.sample_rate)
    except av.FFmpegError as error:
        raise MediaError("read", type(error).__name__, f"{path.name} is not a readable audio file: {error}") from None
    samples = np.concatenate([np.zeros(0, np.float32), *pieces])
    # The last frame of AAC is whole, whatever of it belongs to the sound.
    return samples[:declared] if declared else samples, rate


def _write_sndfile(
    path: Path, waveform: npt.NDArray[np.float32], sample_rate: int, audio_format: str, tags: Mapping[str, str]
) -> None:
    subtype = "VORBIS" if audio_format == "ogg" else "PCM_16"
    try:
        with soundfile.SoundFile(path, "w", sample_rate, 1, subtype, format=audio_format.upper()) as file:
            for name in tags.keys() & _SNDFILE_TAGS.keys():
                setattr(file, _SNDFILE_TAGS[name], tags[name])
            for start in range(0, len(waveform), _BLOCK):
                block = waveform[start : start + _BLOCK]
                if subtype == "PCM_16":
                    block = np.rint(block.astype(np.float64) * _FULL_SCALE).astype(np.int16)
                file.write(block)
    except soundfile.LibsndfileError as error:
        raise MediaError("write", "LibsndfileError", f"{path.name} cannot be written: {error}") from None


def _write_m4a(path: Path, waveform: npt.NDArray[np.float32], sample_rate: int, tags: Mapping[str, str]) -> None:
    try:
        with av.open(str(path), "w", format="ipod", container_options={"movflags": "+faststart"}) as container:
            container.metadata.update(tags)
            for packet in aac_packets(container, waveform, sample_rate, sample_rate):
                container.mux(packet)
    except av.FFmpegError as error:
        raise MediaError("write", type(error).__name__, f"{path.name} cannot be written: {error}") from None
