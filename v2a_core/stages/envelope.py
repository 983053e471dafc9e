"""What is heard of a segment over time, beside the denser frames: from it is learned when things sound.

Shapes: T samples.
"""

from __future__ import annotations

from v2a_core.media.resample import resample
from v2a_core.media.types import DecodedSegment, MediaSpec
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.tables.rows import DecodedRow
from v2a_core.timing.envelope import RATE, level


def heard_over_time(decoded: DecodedSegment, spec: MediaSpec) -> DecodedRow:
    """The columns `timing_level` and `timing_onsets_s` of a decoded segment; none without a sound.

    Args:
        decoded: With the levelled waveform of what the audio encoder will hear, or none.
        spec: Says at which rate it is.
    """
    if decoded.waveform is None or decoded.silent:
        return {}
    low_T = resample(decoded.waveform, spec.audio_path_sample_rate, RATE)
    return {"timing_level": level(low_T), "timing_onsets_s": onset_times(low_T, RATE).astype("float32")}
