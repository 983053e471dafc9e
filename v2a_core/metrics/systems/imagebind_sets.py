"""ImageBind scores (IB) of sounds and their videos: the cosine of the two embeddings, as av-benchmark computes it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import COSINE, NotMeasuredError
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, mean_of_rows
from v2a_core.metrics.systems.features import Features, Floats


class ImageBindScore:
    """The mean over sounds, -1 to 1; many papers print 100 times that."""

    title = "IB"
    extractor = "imagebind"
    better: Literal["higher", "lower"] = "higher"

    def compute(self, heard: Heard) -> Estimate:
        """With the references' own score, and what shuffled pairs get, beside it."""
        videos = heard.videos
        if videos is None or not videos.keys:
            raise NotMeasuredError("needs the videos: give --references that are videos, and not their sounds alone")
        values = _scores(heard.made, videos)
        if not values:
            raise NotMeasuredError("no sound has a video of its own that could be seen")
        found = {"shuffled_pairs": _scores(heard.made, videos, shuffled=True)}
        if heard.reference is not None:
            found["references"] = _scores(heard.reference, videos)
        beside = {name: float(np.mean(list(scores.values()))) for name, scores in found.items() if scores}
        return mean_of_rows(values, heard.made.keys, beside, COSINE)


def _scores(sounds: Features, videos: Features, *, shuffled: bool = False) -> dict[str, float]:
    """The score of each sound with its video, or with another one of its group."""
    found: dict[str, float] = {}
    for keys, sounds_ND, videos_ND in sounds.pairs(videos, "embedding"):
        if shuffled and len(keys) < 2:
            continue
        others_ND = np.roll(videos_ND, 1, axis=0) if shuffled else videos_ND
        found.update(zip(keys, _cosines(sounds_ND, others_ND).tolist(), strict=True))
    return found


def _cosines(first_ND: Floats, second_ND: Floats) -> npt.NDArray[np.float64]:
    first, second = (np.asarray(rows, np.float64) for rows in (first_ND, second_ND))
    lengths_N = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: npt.NDArray[np.float64] = (first * second).sum(axis=1) / lengths_N
    return cosines


SET_METRICS.add("ib", ImageBindScore())
