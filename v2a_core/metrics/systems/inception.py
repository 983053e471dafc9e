"""Inception scores: how sure a network is of each sound's class, and how many classes all of them have."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.class_probabilities import SPLITS, inception_score, inception_scores
from v2a_core.metrics.jackknife import GROUPS
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard
from v2a_core.metrics.systems.features import Drawn

Floats = npt.NDArray[np.float64]


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
        made = heard.made.drawn("logits")
        value, without_G = _scores(made)
        beside = {}
        with contextlib.suppress(NotMeasuredError):  # without references there is nothing to show beside it
            beside["references"] = inception_score(heard.references().drawn("logits").rows_ND).mean
        return Estimate(value, len(made.groups_N), without_G, beside=beside, span=(1.0, math.inf))


def _scores(made: Drawn) -> tuple[float, Floats]:
    """The score, and that without each group that leaves enough rows, (G,); in one pass over the rows."""
    occupied = np.unique(made.groups_N)
    kept = {int(group): made.groups_N != group for group in occupied}
    useful = [group for group, keep_N in kept.items() if keep_N.sum() >= SPLITS]
    found = inception_scores(made.rows_ND, [made.groups_N >= 0, *(kept[group] for group in useful)])
    without_G = np.full(GROUPS, math.nan)
    without_G[useful] = [score.mean for score in found[1:]]
    return found[0].mean, without_G


for _name, _title, _extractor in (
    ("is_cnn14_16k", "IS (CNN14, 16 kHz)", "cnn14-16k"),
    ("is_cnn14_32k", "IS (CNN14, 32 kHz)", "cnn14-32k"),
):
    SET_METRICS.add(_name, InceptionOfSets(_title, _extractor))
