"""An aggregator of another package: the last frame of a segment."""

from __future__ import annotations

import numpy as np

from v2a_core.mappers.aggregators import Aggregator, Floats, Frames, Offsets, Seeds
from v2a_core.mappers.registries import AGGREGATORS


def last(frames_FD: Frames, offsets: Offsets, seeds_N: Seeds) -> Floats:
    """Float32 (N, D); there is no chance in it, so the seeds are not used."""
    chosen: Floats = frames_FD[offsets[1:] - 1].astype(np.float32)
    return chosen


AGGREGATORS.add("last", Aggregator(last))
