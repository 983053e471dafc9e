"""CLIP scores (CS) of sounds and the frames of their videos.

The mean over frames of the cosine to a sound is the product of the mean normalised frame (`clip_frames.mean_frame`)
with the normalised sound.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.clip_score import SCALE
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, mean_of_rows

Floats = npt.NDArray[np.float32]


class ClipScores:
    """See `v2a_core.metrics.clip_score`."""

    title = "CS (Wav2CLIP)"
    extractor = "wav2clip"
    better: Literal["higher", "lower"] = "higher"

    def compute(self, heard: Heard) -> Estimate:
        """With the references' own score, and what shuffled pairs get, beside it."""
        frames = heard.frames
        if frames is None or not frames.keys:
            raise NotMeasuredError("needs CLIP ViT-B/32 embeddings of the videos' frames: give --embeddings")
        values: dict[str, float] = {}
        shuffled: list[float] = []
        for keys, sounds_ND, frames_ND in heard.made.pairs(frames, "embedding"):
            values.update(zip(keys, _scores(sounds_ND, frames_ND).tolist(), strict=True))
            if len(keys) > 1:
                shuffled += _scores(np.roll(sounds_ND, 1, axis=0), frames_ND).tolist()
        if not values:
            raise NotMeasuredError("no sound has frames of its own among the embeddings")
        beside = {"shuffled_pairs": float(np.mean(shuffled))} if shuffled else {}
        if heard.reference is not None:
            real = [
                float(score)
                for _, sounds_ND, frames_ND in heard.reference.pairs(frames, "embedding")
                for score in _scores(sounds_ND, frames_ND)
            ]
            beside |= {"references": float(np.mean(real))} if real else {}
        return mean_of_rows(values, heard.made.keys, beside, (-SCALE, SCALE))


def _scores(sounds_ND: Floats, frames_ND: Floats) -> npt.NDArray[np.float64]:
    sounds = np.asarray(sounds_ND, np.float64)
    norms_N = np.linalg.norm(sounds, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores: npt.NDArray[np.float64] = SCALE * (sounds * frames_ND).sum(axis=1) / norms_N
    return scores


SET_METRICS.add("cs_wav2clip", ClipScores())
