"""Kernel audio distances (KAD) of a network's embeddings."""

from __future__ import annotations

import math

import numpy as np

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.jackknife import GROUPS
from v2a_core.metrics.kernel import KernelSums, kernel_sums, median_distance
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import DistanceOfEmbeddings, Estimate, Heard, without_each


class KernelOfSets(DistanceOfEmbeddings):
    """See `v2a_core.metrics.kernel`."""

    def compute(self, heard: Heard) -> Estimate:
        """Of at most `most_rows` rows of each set, which stand beside it; so do two halves of the references."""
        most = heard.settings.most_rows
        made, reference = heard.made.drawn("embedding", most), heard.references().drawn("embedding", most)
        bandwidth = median_distance(reference.rows_ND, heard.settings.seed)
        groups = made.groups_N, reference.groups_N
        sums = kernel_sums(made.rows_ND, reference.rows_ND, bandwidth, groups, GROUPS)
        occupied = sorted({*made.groups_N.tolist(), *reference.groups_N.tolist()})

        def without(group: int | None) -> float:
            return sums.distance(np.arange(GROUPS) != (-1 if group is None else group))

        halves = _real_halves(sums)
        beside = {"bandwidth": bandwidth, "rows": float(len(made.rows_ND))}
        beside |= {} if math.isnan(halves) else {"real_halves": halves}
        return Estimate(without(None), len(heard.made.keys), without_each(without, occupied), beside=beside)


def _real_halves(sums: KernelSums) -> float:
    """KAD of the references in even groups to those in odd ones; NaN for too few."""
    even = np.arange(GROUPS) % 2 == 0
    first_GG, second_GG = (np.where(np.outer(half, half), sums.reference_GG, 0.0) for half in (even, ~even))
    # Within a set no row is paired with itself, and across the halves there is no such pair.
    across_GG = np.where(np.outer(even, ~even), sums.reference_GG, 0.0)
    first_G, second_G = np.where(even, sums.reference_G, 0.0), np.where(even, 0.0, sums.reference_G)
    try:
        return KernelSums(first_GG, second_GG, across_GG, first_G, second_G).distance()
    except NotMeasuredError:
        return math.nan


for _name, _title, _extractor in (
    ("kad_cnn14_16k", "KAD (CNN14, 16 kHz)", "cnn14-16k"),
    ("kad_cnn14_32k", "KAD (CNN14, 32 kHz)", "cnn14-32k"),
    ("kad_passt", "KAD (PaSST)", "passt"),
):
    SET_METRICS.add(_name, KernelOfSets(_title, _extractor))
