"""Inception scores: how sure a network is of each sound's class, and how many classes all of them have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.class_probabilities import inception_score
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, without_each


@dataclass(frozen=True)
class InceptionOfSets:
    """The mean over ten splits; see `v2a_core.metrics.class_probabilities`.

    Attributes:
        title: What a table calls it.
        extractor: Whose logits.
    """

    title: str
    extractor: str
    better: Literal["higher", "lower"] = "higher"

    def compute(self, heard: Heard) -> Estimate:
        """With the references' own score beside it."""
        logits_NK, groups_N = heard.made.drawn("logits", len(heard.made.keys))

        def without(group: int | None) -> float:
            return inception_score(logits_NK[groups_N != (-1 if group is None else group)]).mean

        value = without(None)
        beside = {}
        try:
            reference = heard.references()
            beside["references"] = inception_score(reference.drawn("logits", len(reference.keys))[0]).mean
        except NotMeasuredError:
            pass  # without references there is nothing to show beside it
        without_G = without_each(without, heard.made.occupied("logits"))
        return Estimate(value, len(logits_NK), without_G, beside=beside)


for _name, _title, _extractor in (
    ("is_cnn14_16k", "IS (CNN14, 16 kHz)", "cnn14-16k"),
    ("is_cnn14_32k", "IS (CNN14, 32 kHz)", "cnn14-32k"),
):
    SET_METRICS.add(_name, InceptionOfSets(_title, _extractor))
