"""Typed configuration of the media side: segments, frames, the decoder's limits, finishing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import pydantic

from v2a_core.config import Settings, setting
from v2a_core.media.audio_formats import AUDIO_FORMATS, AudioFormatSettings
from v2a_core.registry import OneOf

_AUDIO_FORMAT = OneOf(AUDIO_FORMATS, "wav")


class SegmentSettings(Settings):
    """How a source is cut into segments."""

    length_s: float = setting(10.0, "length of a segment", unit="s", gt=0, le=20)
    hop_s: float | None = setting(
        None, "from the start of a segment to that of the next; none: its length, so that they neither overlap nor "
        "leave gaps", unit="s", ge=0.1, le=3600,
    )  # fmt: skip
    whole: bool = setting(False, "one segment for a whole source (or table row), however long")
    min_length_s: float = setting(1.0, "a shorter last segment is dropped (never the only one)", unit="s", ge=0)


class FrameSettings(Settings):
    """Which frames of a segment are embedded."""

    frames_per_second: Annotated[float, pydantic.Field(gt=0, le=60)] | Literal["all"] = setting(
        1.0, "frames sampled a second, at centres of equal intervals; all: every frame of the video", unit="1/s"
    )
    max_frames: int = setting(600, "frames of a segment at most; a long one is sampled more thinly", ge=1, le=10_000)
    sampling: Literal["exact", "fast"] = setting(
        "exact", "fast: skip frames that no other refers to, and the loop filter; take the nearest that is left"
    )
    min_decoded_share: float = setting(
        0.1, "a source or segment of which less than this can be decoded is rejected", ge=0, le=1
    )
    image_segment_s: float = setting(10.0, "length of the sound a still image stands for", unit="s", gt=0, le=20)
    timing_fps: float = setting(
        0.0,
        "denser frames, a second, from which is predicted when things sound: their motion and embeddings; 0: none",
        unit="1/s",
        ge=0,
        le=50,
    )

    @pydantic.model_serializer(mode="wrap")
    def _as_before_timing(self, written: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without denser frames it is written as when there were none: such outputs are gone on with."""
        values: dict[str, Any] = written(self)
        return values if self.timing_fps else {key: value for key, value in values.items() if key != "timing_fps"}

    @property
    def seen(self) -> FrameSettings:
        """The same without denser frames, which change nothing of the others, nor the noise of a segment."""
        return self.model_copy(update={"timing_fps": 0.0})

    @pydantic.model_validator(mode="after")
    def _timed_are_exact(self) -> Self:
        if self.timing_fps and self.sampling == "fast":
            raise ValueError(
                "frames.sampling = fast skips frames, frames.timing_fps looks at when each is shown: choose"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _all_are_exact(self) -> Self:
        if self.frames_per_second == "all" and self.sampling == "fast":
            raise ValueError(
                "frames.sampling = fast skips frames, frames.frames_per_second = all takes every one: choose"
            )
        return self

    def most(self, length_s: float) -> int:
        """How many frames a segment of a length may have."""
        rate = self.frames_per_second
        return self.max_frames if rate == "all" else min(max(1, round(length_s * rate)), self.max_frames)


class GuardSettings(Settings):
    """Limits of the decoder process: a broken file costs itself, never the job."""

    time_limit_s: float = setting(120.0, "time for one segment before the decoder is ended", unit="s", gt=0)
    memory_limit_mb: int = setting(4096, "memory of one decoder process", unit="MB", ge=256)
    attempts: int = setting(2, "times a crashing or hanging file is tried", ge=1, le=10)
    max_duration_s: float = setting(21_600.0, "a longer source is rejected", unit="s", gt=0)
    max_segments: int = setting(10_000, "a source of more segments is rejected", ge=1)
    confine: bool = setting(
        True, "the process can open nothing but its input, and no network, where the kernel can see to that"
    )


class FinishSettings(Settings):
    """What becomes of a generated waveform."""

    audio_format: Annotated[AudioFormatSettings, _AUDIO_FORMAT] = setting(
        _AUDIO_FORMAT, "format of the soundtrack files, which is also their suffix"
    )
    sample_rate_hz: Literal[16_000, 48_000] = setting(16_000, "rate of the soundtrack files", unit="Hz")
    mux: Literal["replace", "mix", "none"] = setting(
        "replace",
        "videos: a copy with the soundtrack, with it mixed under the sound that is there, or audio files only",
    )
    mix_under_db: float = setting(12.0, "mix: how much quieter than the sound that is there", unit="dB", ge=0, le=60)
    loudness_lufs: Annotated[float, pydantic.Field(ge=-70, le=0)] | Literal["none"] = setting(
        -23.0, "integrated loudness (EBU R128, ITU-R BS.1770); none: as it was generated", unit="LUFS"
    )
    true_peak_dbtp: Annotated[float, pydantic.Field(ge=-60, le=0)] | Literal["none"] = setting(
        -1.0, "highest level between the samples, too (true peak); wins over loudness; none: only clipped", unit="dBTP"
    )
    fade_s: float = setting(0.02, "fade at the start and the end; 0: none", unit="s", ge=0, le=5)
