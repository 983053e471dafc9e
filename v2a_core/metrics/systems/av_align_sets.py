"""AV-Align of sounds and the motion of their videos; see `v2a_core.metrics.av_align`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from v2a_core.metrics.av_align import av_align
from v2a_core.metrics.base import SHARE, NotMeasuredError
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, mean_of_rows
from v2a_core.metrics.systems.features import Features, Floats


class AvAlign:
    """The mean over sounds that have onsets, or videos that have peaks."""

    title = "AV-Align"
    extractor = "librosa-onsets"
    better: Literal["higher", "lower"] = "higher"

    def compute(self, heard: Heard) -> Estimate:
        """With the references' own score, and what shuffled pairs get, beside it."""
        motion = heard.videos
        if motion is None or not motion.keys:
            raise NotMeasuredError("needs the videos: give --references that are videos, and not their sounds alone")
        values, shuffled = _scores(heard.made, motion), _scores(heard.made, motion, neighbour=True)
        if not values:
            raise NotMeasuredError("no sound has a video of its own with an onset or a peak")
        found = {"shuffled_pairs": shuffled}
        if heard.reference is not None:
            found["references"] = _scores(heard.reference, motion)
        beside = {name: float(np.mean(list(scores.values()))) for name, scores in found.items() if scores}
        return mean_of_rows(values, heard.made.keys, beside, SHARE)


def _scores(sounds: Features, motion: Features, *, neighbour: bool = False) -> dict[str, float]:
    """The score of each sound with its video, or with another one of its group."""
    found: dict[str, float] = {}
    for group in sorted(set(motion.keys.values())):
        onsets, peaks = sounds.each("onsets_s", group), motion.each("peaks_s", group)
        rates = motion.each("frames_per_second", group)
        keys = sorted(onsets.keys() & peaks.keys())
        others = keys[1:] + keys[:1] if neighbour else keys
        if neighbour and len(keys) < 2:
            continue
        for key, other in zip(keys, others, strict=True):
            score = _score(onsets[key], other, peaks, rates)
            if score is not None:
                found[key] = score
    return found


def _score(onsets_s: Floats, video: str, peaks: Mapping[str, Floats], rates: Mapping[str, Floats]) -> float | None:
    times_s, peaks_s = onsets_s[:, 0].astype(np.float64), peaks[video][:, 0].astype(np.float64)
    return av_align(times_s, peaks_s, float(rates[video][0, 0]))


SET_METRICS.add("av_align", AvAlign())
