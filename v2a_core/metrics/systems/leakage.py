"""Leakage: how often a made sound has speech or music in it that its reference does not have.

CNN14's probability of the class, a sigmoid of its logit, decides. Models that were trained on videos from the web speak
and play where nothing speaks or plays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import SHARE, NotMeasuredError
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, mean_of_rows

# AudioSet's classes in the order of its `class_labels_indices.csv`.
SPEECH, MUSIC = 0, 137
HEARD = 0.5  # probability from which on a class is heard


@dataclass(frozen=True)
class Leakage:
    """Share of sounds with the class, of those whose reference is without it.

    Attributes:
        title: What a table calls it.
        number: Of the class.
    """

    title: str
    number: int
    extractor: str = "cnn14-16k"
    better: Literal["higher", "lower"] = "lower"

    def compute(self, heard: Heard) -> Estimate:
        """With the share of all references that have the class beside it."""
        reference = heard.references()
        values: dict[str, float] = {}
        real: list[bool] = []
        for keys, made_NK, reference_NK in heard.made.pairs(reference, "logits"):
            has_N, had_N = self._has(made_NK), self._has(reference_NK)
            real += had_N.tolist()
            values.update({key: float(has) for key, has, had in zip(keys, has_N, had_N, strict=True) if not had})
        if not values:
            raise NotMeasuredError("no sound has a reference without the class")
        return mean_of_rows(values, heard.made.keys, {"references": float(np.mean(real))}, SHARE)

    def _has(self, logits_NK: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        has: npt.NDArray[np.bool_] = 1 / (1 + np.exp(-logits_NK[:, self.number].astype(np.float64))) >= HEARD
        return has


SET_METRICS.add("speech_leakage", Leakage("Speech that is not there (CNN14)", SPEECH))
SET_METRICS.add("music_leakage", Leakage("Music that is not there (CNN14)", MUSIC))
