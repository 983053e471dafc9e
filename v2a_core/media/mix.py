"""A soundtrack mixed under the sound that a video has, block by block: an hour takes no more memory than a minute.

Shapes: C channels, T samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from v2a_core.media.encode import AAC_RATE
from v2a_core.media.loudness import loudness, true_peak
from v2a_core.media.probe import demux, open_media
from v2a_core.media.resample import SILENCE_PEAK, PlacedSound

Floats = npt.NDArray[np.float32]

# Loudness is measured at this rate: what lies above 8 kHz adds little to it.
_MEASURE_RATE = 16_000
# Containers round times: below this, a block continues the one before it.
_JITTER_S = 0.02
_BLOCK_SAMPLES = 2**18


@dataclass(frozen=True)
class Mix:
    """A mix that can be read as often as needed.

    Attributes:
        path: The video.
        origin_s: Container time of its first frame.
        layout: `mono` or `stereo`, as the video's sound is; more channels are mixed down to two.
        under: What is mixed in, as long as the picture.
        under_gain: Its level.
        gain: Of the whole, so that nothing is above the highest level allowed.
    """

    path: Path
    origin_s: float
    layout: str
    under: PlacedSound
    under_gain: float
    gain: float = 1.0

    def blocks(self) -> Iterator[Floats]:
        """The mix from the first frame on, at 48 kHz, float32 (C, any number of samples), as long as `under`."""
        samples = round(self.under.samples * AAC_RATE / self.under.sample_rate)
        pieces = self.under.resampled(AAC_RATE)
        held = np.empty(0, np.float32)
        for block in read_sound(self.path, self.origin_s, self.layout, AAC_RATE, samples):
            length = block.shape[1]
            while len(held) < length:
                held = np.concatenate([held, next(pieces)])
            yield (block + held[np.newaxis, :length] * np.float32(self.under_gain)) * np.float32(self.gain)
            held = held[length:]


def plan_mix(
    path: Path, soundtrack: PlacedSound, origin_s: float, *, under_db: float, true_peak_dbtp: float
) -> Mix | None:
    """How a soundtrack is mixed under the sound of a video; None where there is nothing to mix it under.

    Args:
        path: The video.
        soundtrack: As long as the picture.
        origin_s: Container time of the first frame.
        under_db: How much quieter than the video's sound it shall be (integrated loudness).
        true_peak_dbtp: Above this level the mix is lowered as a whole.
    """
    layout = _layout(path)
    if layout is None:
        return None
    samples = round(soundtrack.samples * _MEASURE_RATE / soundtrack.sample_rate)
    peak = 0.0

    def heard() -> Iterator[Floats]:
        nonlocal peak
        for block in read_sound(path, origin_s, layout, _MEASURE_RATE, samples):
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            yield block

    there = loudness(heard(), _MEASURE_RATE)
    if peak <= SILENCE_PEAK:
        return None
    # BS.1770 adds the power of the channels, and the soundtrack will be in each of them.
    own = loudness((block[np.newaxis] for block in soundtrack.blocks()), soundtrack.sample_rate)
    own += 10 * np.log10(_channels(layout))
    mix = Mix(path, origin_s, layout, soundtrack, 10 ** ((there - under_db - own) / 20))
    limit = 10 ** (true_peak_dbtp / 20)
    return replace(mix, gain=min(1.0, limit / true_peak(mix.blocks(), AAC_RATE)))


def read_sound(path: Path, origin_s: float, layout: str, rate: int, samples: int) -> Iterator[Floats]:
    """The first audio track of a video on the clock of its picture, silence where it has none.

    Args:
        path: The video.
        origin_s: Container time of the first frame: sample 0.
        layout: `mono` or `stereo`.
        rate: Hz.
        samples: How many there shall be in all.

    Yields:
        Blocks that follow each other, float32 (C, any number of samples), nominally -1..1.
    """
    channels = _channels(layout)
    position = 0
    for chunk, time_s in _decoded(path, layout, rate):
        offset = round((time_s - origin_s) * rate)
        if abs(offset - position) <= _JITTER_S * rate:
            offset = position
        if offset > position:
            yield from _silence(channels, min(offset, samples) - position)
            position = min(offset, samples)
        chunk = chunk[:, max(0, position - offset) :][:, : samples - position]
        if chunk.shape[1]:
            yield chunk
            position += chunk.shape[1]
        if position >= samples:
            return
    yield from _silence(channels, samples - position)


def _silence(channels: int, samples: int) -> Iterator[Floats]:
    """Of any length: a gap may last hours."""
    for begin in range(0, samples, _BLOCK_SAMPLES):
        yield np.zeros((channels, min(_BLOCK_SAMPLES, samples - begin)), np.float32)


def _layout(path: Path) -> str | None:
    """How many channels the mix has; None without a track that can be decoded."""
    with open_media(path, "mux") as container:
        for stream in container.streams.audio[:1]:
            codec = stream.codec_context
            if codec is not None and codec.sample_rate:
                return "mono" if codec.layout.nb_channels == 1 else "stereo"
    return None


def _channels(layout: str) -> int:
    return 1 if layout == "mono" else 2


def _decoded(path: Path, layout: str, rate: int) -> Iterator[tuple[Floats, float]]:
    """Resampled blocks with their container times; packets that fail leave a gap."""
    with open_media(path, "mux") as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        for packet in demux(container, [stream]):
            try:
                frames = stream.decode(packet)
            except av.FFmpegError:
                continue
            for frame in frames:
                yield from _parts(resampler.resample(frame))
        yield from _parts(resampler.resample(None))


def _parts(frames: list[av.AudioFrame]) -> Iterator[tuple[Floats, float]]:
    for frame in frames:
        if frame.pts is not None and frame.time_base is not None:
            yield frame.to_ndarray().astype(np.float32), float(frame.pts * frame.time_base)
