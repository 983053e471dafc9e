"""What decoding takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Name of the path to CLAP (`resample.clap_waveform`). It is part of the names of audio embedding spaces: what another
# path led to is of another space. A path that gives other numbers gets another name.
CLAP_PATH = "sinc"


@dataclass(frozen=True)
class MediaSpec:
    """What the models of a bundle want from the decoder; read from the checkpoints' own configs.

    Attributes:
        image_size: Height and width of a frame, pixels: shortest side resized (bicubic), centre-cropped.
        audio_sample_rate: Rate of the waveform the audio encoder takes, Hz.
        audio_samples: Its length; shorter sound is repeated (CLAP's `repeatpad`).
        audio_path_sample_rate: Rate of the intermediate waveform, Hz, at which AudioLDM removes the mean and
            scales the peak to 0.5 before resampling to `audio_sample_rate`.
    """

    image_size: int = 224
    audio_sample_rate: int = 48_000
    audio_samples: int = 480_000
    audio_path_sample_rate: int = 16_000


@dataclass(frozen=True)
class Pcm:
    """Sound as it is in a file.

    Attributes:
        samples_TC: Float32 (T, C), a column a channel, full scale 1.
        sample_rate: Hz.
    """

    samples_TC: npt.NDArray[np.float32]
    sample_rate: int

    @property
    def first_channel(self) -> npt.NDArray[np.float32]:
        """The first channel, float32 (T,)."""
        return np.ascontiguousarray(self.samples_TC[:, 0])

    @property
    def length_s(self) -> float:
        """Seconds."""
        return len(self.samples_TC) / self.sample_rate

    def span(self, start_s: float, length_s: float) -> Pcm:
        """A part of it; what is there of it."""
        first, last = (max(0, round(at_s * self.sample_rate)) for at_s in (start_s, start_s + length_s))
        return Pcm(self.samples_TC[first:last], self.sample_rate)


Frame = tuple[float, npt.NDArray[np.uint8]]  # time, seconds from the first frame; (H, W, 3) RGB


@dataclass(frozen=True)
class TimedFrames:
    """The denser frames of a segment, from which is predicted when things sound.

    Attributes:
        times_s_N: When each is shown, float32 (N,), relative to the source's start; ascending.
        motion_N: How much each differs from the one before (`motion_energy`), float32 (N,), 0..1.
        frames_NHWC: uint8, RGB, `image_size` square; None where they were not asked for.
    """

    times_s_N: npt.NDArray[np.float32]
    motion_N: npt.NDArray[np.float32]
    frames_NHWC: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class Segment:
    """A span of a source. `segment_id` is the same on every run and machine."""

    segment_id: str
    index: int
    count: int
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class DecodedSegment:
    """The decoded content of a segment.

    Attributes:
        segment: What was decoded.
        frames_NHWC: Frames, uint8, RGB, `image_size` square; N >= 1, but of a sound file 0.
        frame_times_s: Their times, float32 (N,), relative to the source's start.
        waveform: Float32 (samples,) at `audio_path_sample_rate`, levelled (`resample.level_waveform`), from which
            `resample.encoder_waveform` makes the audio encoder's input; None without audio or when not asked for.
        audio_rms_dbfs: Level of the segment's sound before normalisation, dB relative to full scale; None without
            audio, -inf is clamped to -120.
        silent: Whether there is audio that is digitally silent.
        decoder: Which decoder made the frames.
        damaged: Whether packets failed to decode, frames are missing or the stream ended early.
        decoded_share: Length of the source / its declared length, times the share of the segment's wanted frames
            that could be decoded, 0..1.
        source_duration_s: Length of the whole source (of the table row's span when there is one).
        native: The sound as it is in the file, where that was asked for instead of `waveform`; None without audio.
        timed: The denser frames, where they were asked for.
    """

    segment: Segment
    frames_NHWC: npt.NDArray[np.uint8]
    frame_times_s: npt.NDArray[np.float32]
    waveform: npt.NDArray[np.float32] | None
    audio_rms_dbfs: float | None
    silent: bool
    decoder: str
    damaged: bool
    decoded_share: float
    source_duration_s: float
    native: Pcm | None = None
    timed: TimedFrames | None = None


# What cannot be fetched or written now may be there, or have room, at the next run: such a reject is never final.
TRANSIENT_STAGES = ("fetch", "write")
# Stage and type of what a listing names and nobody has: no fault of a run, which looks again each time it lists.
NOT_FOUND = ("catalog", "NotFound")


class MediaError(ValueError):
    """A source or segment that cannot be processed; becomes a rejected row.

    Attributes:
        stage: Where: `fetch`, `probe`, `decode`, `mux`, ...
        error_type: A short class of the cause (`Truncated`, `TimeLimit`, `InvalidDataError`, ...).
        attempts: How often it was tried.
    """

    def __init__(self, stage: str, error_type: str, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.stage, self.error_type, self.attempts = stage, error_type, attempts

    @property
    def transient(self) -> bool:
        """Whether the next run tries it again."""
        return self.stage in TRANSIENT_STAGES

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str, str, int]]:
        """Exceptions with several arguments need this to travel between processes."""
        return type(self), (self.stage, self.error_type, str(self), self.attempts)
