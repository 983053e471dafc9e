"""Pictures for the page: a poster and a log-mel spectrogram as files, a waveform as an SVG path."""

from __future__ import annotations

import io
import itertools
import queue
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from v2a_core.media.audio import AudioReader
from v2a_core.media.audio_formats import AUDIO_FORMATS
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.mel_scale import mel_filters
from v2a_core.media.probe import read_timeline
from v2a_core.media.resample import is_silent, resample
from v2a_core.media.types import DecodedSegment, MediaError, MediaSpec
from v2a_core.media.write import read_audio

Waveform = npt.NDArray[np.float32]

RATE = 16_000  # of all plots, so that two of them can be compared
_WINDOW, _HOP, _MELS = 1024, 200, 72
_POSTER_SIZE, _POSTER_SPAN_S = 256, 1.0
_LONGEST_S = 1200.0  # of an original: files declare what they like, and a picture this wide shows nothing more
_FLOOR_DB = -75.0  # below the loudest cell of the picture

# The `magma` colour map of matplotlib (BSD), at nine places.
_MAGMA = np.array(
    [
        (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
        (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
    ]
)  # fmt: skip


def read_waveform(path: Path, duration_s: float | None = None) -> Waveform | None:
    """The sound of an audio or video file: float32 (T,) at `RATE`; None without an audio track, or a silent one.

    Of a video, and of a format that only a decoder reads, at most the first twenty minutes.

    Args:
        path: A local file.
        duration_s: Its length, for an audio file whose format is not WAV, FLAC or Ogg.

    Raises:
        MediaError: When it cannot be read.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix in AUDIO_FORMATS.names() and suffix != "m4a":
        try:
            samples, rate = read_audio(path)
        except MediaError as error:
            raise MediaError("page", error.error_type, f"not a readable sound: {error}") from None
        return resample(samples, rate, RATE)
    origin_s = 0.0
    if suffix != "m4a":
        timeline = read_timeline(path)
        if not timeline.has_audio:
            return None
        origin_s, duration_s = timeline.origin_s, timeline.duration_s
    with AudioReader(path, origin_s) as reader:
        sound = reader.read(0.0, min(duration_s or 0.0, _LONGEST_S))
    if sound is None or not sound.present or is_silent(sound.waveform):
        return None
    return resample(sound.waveform, sound.sample_rate, RATE)


class Posters:
    """Makes pictures of files from strangers, in decoder processes of their own; for several threads at once."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._idle: queue.SimpleQueue[GuardedDecoder] = queue.SimpleQueue()

    def jpeg(self, path: Path, kind: str, at_s: float = 0.0) -> bytes | None:
        """The middle square of the frame at `at_s`, or near it; None when there is none to be had."""
        try:
            decoder = self._idle.get_nowait()
        except queue.Empty:
            decoder = GuardedDecoder(self._settings)
        try:
            request = DecodeRequest(
                path,
                kind,
                "poster",
                MediaSpec(image_size=_POSTER_SIZE),
                SegmentSettings(),
                FrameSettings(max_frames=1, min_decoded_share=0.0),
                start_s=max(0.0, at_s - _POSTER_SPAN_S / 2) if kind == "video" else None,
                span_s=_POSTER_SPAN_S,
                want_audio=False,
            )
            decoded = list(decoder.decode(request))
        except MediaError:
            return None
        finally:
            self._idle.put(decoder)
        frames = [item.frames_NHWC[0] for item in decoded if isinstance(item, DecodedSegment)]
        if not frames:
            return None
        file = io.BytesIO()
        Image.fromarray(frames[0]).save(file, format="JPEG", quality=82)
        return file.getvalue()

    def close(self) -> None:
        """End the processes."""
        while not self._idle.empty():
            self._idle.get_nowait().close()


def spectrogram_png(waveform: Waveform) -> bytes:
    """A log-mel spectrogram as an 8-bit palette PNG: low frequencies at the bottom, 80 columns a second.

    Args:
        waveform: Float32 (T,) at `RATE`, of any level.
    """
    padded = np.pad(waveform, (_WINDOW // 2, _WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: len(waveform) : _HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    level_db = 10 * np.log10(power @ mel_filters(RATE, _WINDOW, _MELS, 0, RATE / 2, equal_area=False) + 1e-10)
    share = np.clip((level_db - level_db.max()) / -_FLOOR_DB + 1, 0, 1)
    image = Image.fromarray(np.round(share * 63).astype(np.uint8).T[::-1], mode="P")
    places = np.linspace(0, 1, len(_MAGMA))
    palette = [np.interp(np.linspace(0, 1, 64), places, _MAGMA[:, channel]) for channel in range(3)]
    image.putpalette(np.stack(palette, axis=1).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def waveform_path(waveform: Waveform, columns: int = 120) -> str:
    """The outline of a waveform as the `d` of an SVG path in a view box of `columns` by 100 (full scale is 50).

    Quiet sounds are drawn up to three times larger, so that their shape shows.
    """
    edges = np.linspace(0, len(waveform), columns + 1).astype(int)
    parts = [waveform[a : max(b, a + 1)] for a, b in itertools.pairwise(edges)]
    high = np.array([part.max(initial=0.0) for part in parts])
    low = np.array([part.min(initial=0.0) for part in parts])
    gain = min(3.0, 0.95 / max(float(np.abs(waveform).max(initial=0.0)), 1e-4))
    upper = [f"{x},{50 - 50 * gain * value - 0.5:.0f}" for x, value in enumerate(high)]
    lower = [f"{x},{50 - 50 * gain * value + 0.5:.0f}" for x, value in reversed(list(enumerate(low)))]
    return "M" + "L".join(upper + lower) + "Z"
