"""Fréchet distances of a network's embeddings: FD (CNN14, PaSST) and FAD (VGGish), moments in one pass over the rows.

Source of the interval: leaving out groups of sources from both sets, as in `v2a_core.metrics.jackknife`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from v2a_core.metrics import frechet
from v2a_core.metrics.base import NOT_NEGATIVE, NotMeasuredError
from v2a_core.metrics.jackknife import GROUPS
from v2a_core.metrics.moments import Moments, streamed
from v2a_core.metrics.stored import blocks, gathered
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import DistanceOfEmbeddings, Estimate, Heard, without_each
from v2a_core.metrics.systems.features import Features

_COLUMN = "embedding"


class FrechetOfSets(DistanceOfEmbeddings):
    """The squared Fréchet distance between a system's sounds and the references."""

    def compute(self, heard: Heard) -> Estimate:
        """With the distance of silence, and of two halves of the references, beside it."""
        made, reference = heard.made, heard.references()

        def without(group: int | None) -> float:
            gaussian(reference, without=group)  # is on disk from now on: not computed while the other is in memory
            return frechet.distance(gaussian(made, without=group), gaussian(reference, without=group))

        value = without(None)
        occupied = sorted({*made.occupied(_COLUMN), *reference.occupied(_COLUMN)})
        beside = {}
        if _COLUMN in heard.silence and len(heard.silence[_COLUMN]):
            beside["silence"] = _of_one(heard.silence[_COLUMN].mean(axis=0), gaussian(reference))
        halves = [[group for group in occupied if group % 2 == half] for half in (0, 1)]
        if all(sum(len(reference.owners(_COLUMN, group)) for group in half) >= 2 for half in halves):
            beside["real_halves"] = frechet.distance(*(gaussian(reference, only=half) for half in halves))
        without_G = without_each(without, occupied)
        return Estimate(value, len(made.keys), without_G, beside=beside, span=NOT_NEGATIVE)


def gaussian(features: Features, without: int | None = None, only: list[int] | None = None) -> frechet.Gaussian:
    """The Gaussian of a set's embeddings, kept on disk: every system is compared with the same references.

    Args:
        features: The set.
        without: A group that is left out.
        only: The groups that are taken; None: all.

    Raises:
        NotMeasuredError: For fewer than two rows.
    """
    groups = [group for group in (range(GROUPS) if only is None else only) if group != without]
    kept = features.kept("gaussian-" + "-".join(map(str, groups)))
    if kept.exists():
        with np.load(kept) as content:
            return frechet.Gaussian(content["mean"], content["factor"])
    found = _gaussian(features, groups)
    np.savez(kept, mean=found.mean_D, factor=found.factor_KD)
    return found


def _gaussian(features: Features, groups: list[int]) -> frechet.Gaussian:
    count = sum(len(features.owners(_COLUMN, group)) for group in groups)
    if count < frechet.LEAST_ROWS:
        raise NotMeasuredError(f"a Fréchet distance needs at least {frechet.LEAST_ROWS} rows in each set, not {count}")
    if count <= features.size(_COLUMN):  # the rows themselves are the smaller factor
        return frechet.fit(np.concatenate([gathered(features.group(_COLUMN, group)) for group in groups]))
    left_out = [group for group in range(GROUPS) if group not in groups]
    if len(left_out) != 1:
        return _moments(features, groups).gaussian()
    # What is left out first: while it is summed up the whole need not be in memory, too.
    part = _moments(features, left_out)
    left = _whole(features).without(part)
    del part
    return left.gaussian()


def _whole(features: Features) -> Moments:
    """The moments of all rows, kept on disk: taking a group away costs only that group."""
    kept = features.kept("moments")
    if kept.exists():
        with np.load(kept) as content:
            return Moments(int(content["count"]), content["mean"], content["scatter"])
    found = _moments(features, range(GROUPS))
    np.savez(kept, count=found.count, mean=found.mean_D, scatter=found.scatter_DD)
    return found


def _moments(features: Features, groups: Iterable[int]) -> Moments:
    """The moments of some groups, from blocks of their rows."""
    parts = (rows_ND for group in groups for rows_ND in blocks(features.group(_COLUMN, group)))
    return streamed(parts, features.size(_COLUMN))


def _of_one(sound_D: npt.NDArray[np.float32], reference: frechet.Gaussian) -> float:
    """The distance of a set in which all sounds are alike."""
    return float(np.square(sound_D - reference.mean_D).sum() + np.square(reference.factor_KD).sum())


for _name, _title, _extractor in (
    ("fd_cnn14_16k", "FD (CNN14, 16 kHz)", "cnn14-16k"),
    ("fd_cnn14_32k", "FD (CNN14, 32 kHz)", "cnn14-32k"),
    ("fd_passt", "FD (PaSST)", "passt"),
    ("fad_vggish", "FAD (VGGish)", "vggish"),
):
    SET_METRICS.add(_name, FrechetOfSets(_title, _extractor))
