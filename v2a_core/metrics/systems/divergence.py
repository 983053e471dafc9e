"""Kullback-Leibler divergence of a reference's class probabilities from those of the sound made for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from v2a_core.metrics.base import NOT_NEGATIVE, NotMeasuredError
from v2a_core.metrics.class_probabilities import kl_divergence
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, mean_of_rows


@dataclass(frozen=True)
class DivergenceOfPairs:
    """The mean over pairs, as av-benchmark computes it; see `v2a_core.metrics.class_probabilities`.

    Attributes:
        title: What a table calls it.
        extractor: Whose logits.
    """

    title: str
    extractor: str
    better: Literal["higher", "lower"] = "lower"

    def compute(self, heard: Heard) -> Estimate:
        """With what shuffled pairs and silence get beside it."""
        values: dict[str, float] = {}
        shuffled: list[float] = []
        silence: list[float] = []
        for keys, made_NK, reference_NK in heard.made.pairs(heard.references(), "logits"):
            values.update(zip(keys, kl_divergence(reference_NK, made_NK).tolist(), strict=True))
            if len(keys) > 1:  # each with its neighbour's
                shuffled += kl_divergence(reference_NK, np.roll(made_NK, 1, axis=0)).tolist()
            if "logits" in heard.silence:
                silent_NK = np.repeat(heard.silence["logits"], len(keys), axis=0)
                silence += kl_divergence(reference_NK, silent_NK).tolist()
        if not values:
            raise NotMeasuredError("no sound has a reference of its own")
        named = {"shuffled_pairs": shuffled, "silence": silence}
        beside = {name: float(np.mean(found)) for name, found in named.items() if found}
        return mean_of_rows(values, heard.made.keys, beside, NOT_NEGATIVE)


for _name, _title, _extractor in (
    ("kl_cnn14_16k", "KL (CNN14, 16 kHz)", "cnn14-16k"),
    ("kl_cnn14_32k", "KL (CNN14, 32 kHz)", "cnn14-32k"),
    ("kl_passt", "KL (PaSST)", "passt"),
):
    SET_METRICS.add(_name, DivergenceOfPairs(_title, _extractor))
