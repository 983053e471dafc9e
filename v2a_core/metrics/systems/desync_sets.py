"""DeSync of sounds and their videos, as Synchformer hears it; see `v2a_core.metrics.desync`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from v2a_core.metrics.desync import FARTHEST_S, chance_s, desync_s
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, mean_of_rows
from v2a_core.metrics.systems.features import Features


class DeSync:
    """The mean over sounds, seconds."""

    title = "DeSync (s)"
    extractor = "synchformer"
    better: Literal["higher", "lower"] = "lower"

    def compute(self, heard: Heard) -> Estimate:
        """With the references' own, and what guessing gives, beside it."""
        beside = {"guessing": chance_s()}
        if heard.reference is not None and heard.reference.keys:
            beside["references"] = float(np.mean(list(_offsets(heard.reference).values())))
        return mean_of_rows(_offsets(heard.made), heard.made.keys, beside, (0.0, FARTHEST_S))


def _offsets(sounds: Features) -> dict[str, float]:
    """How far each sound is from its video, seconds."""
    found: dict[str, float] = {}
    for group in sounds.occupied("first_logits"):
        first, last = sounds.each("first_logits", group), sounds.each("last_logits", group)
        ends = (np.concatenate([logits[key] for key in first]) for logits in (first, last))
        found.update(zip(first, desync_s(*ends).tolist(), strict=True))
    return found


SET_METRICS.add("desync", DeSync())
