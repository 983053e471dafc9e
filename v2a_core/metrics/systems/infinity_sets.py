"""Fréchet distances of infinitely many sounds (FD-infinity), with the error of the line that leads there."""

from __future__ import annotations

import math

import numpy as np

from v2a_core.metrics.frechet_infinity import Extrapolation, frechet_infinity
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import DistanceOfEmbeddings, Estimate, Heard
from v2a_core.metrics.systems.frechet_sets import gaussian


class InfinityOfSets(DistanceOfEmbeddings):
    """See `v2a_core.metrics.frechet_infinity`."""

    def compute(self, heard: Heard) -> Estimate:
        """Of at most `most_rows` rows, against all references."""
        reference = gaussian(heard.references())
        made_ND = heard.made.drawn("embedding", heard.settings.most_rows).rows_ND
        found = frechet_infinity(made_ND, reference, seed=heard.settings.seed)
        beside = {"fit": found.fit, "slope": found.slope, "rows": float(len(made_ND))}
        freedom = max(1, len(found.sizes_S) - 2)
        return Estimate(found.value, len(heard.made.keys), error=_error(found), freedom=freedom, beside=beside)


def _error(found: Extrapolation) -> float:
    """The standard error of the line's value at 0."""
    inverse_S = 1 / found.sizes_S
    if len(inverse_S) < 3:
        return math.nan
    rest = found.distances_S - found.value - found.slope * inverse_S
    variance = float(rest @ rest) / (len(inverse_S) - 2)
    centred = inverse_S - inverse_S.mean()
    return math.sqrt(variance * (1 / len(inverse_S) + inverse_S.mean() ** 2 / float(np.square(centred).sum())))


for _name, _title, _extractor in (
    ("fd_infinity_cnn14_16k", "FD-infinity (CNN14, 16 kHz)", "cnn14-16k"),
    ("fd_infinity_cnn14_32k", "FD-infinity (CNN14, 32 kHz)", "cnn14-32k"),
    ("fad_infinity_vggish", "FAD-infinity (VGGish)", "vggish"),
):
    SET_METRICS.add(_name, InfinityOfSets(_title, _extractor))
