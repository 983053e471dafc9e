"""How long a clip takes, and how much longer when a curve is followed: as `v2a generate` makes it, with all cores."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from v2a_core.generators import load_generator
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.metrics.base import Score
from v2a_core.miniature.score.lines import Line
from v2a_core.models import LocalBundle
from v2a_core.protocols import CURVE_HZ, Curve, Generator, Track
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.timing.envelope import onset_bumps

TIMED_CLIPS, TIMED_PAIRS = 3, 7
MOST_SLOWER = 1.10


def time_a_clip(local: LocalBundle, length_s: float) -> Score:
    """Seconds from a condition to a waveform, one clip at a time: the median, the least and the most."""
    with _all_cores():
        generator = load_generator(local, AudioLdmSettings())
        _seconds(generator, length_s, None)  # the first one also loads and plans
        return _told([_seconds(generator, length_s, None) for _ in range(TIMED_CLIPS)])


def slower_line(local: LocalBundle, length_s: float) -> Line:
    """Seconds of a clip that follows a curve as a share of those of one that does not, in pairs.

    Neighbours in time are compared: what else the machine does then concerns both.
    """
    frames = round(length_s * CURVE_HZ)
    ones_F = np.ones(frames, np.float32)
    curve = Curve(ones_F, onset_bumps(np.arange(0.25, length_s, 0.5), frames), ones_F)
    with _all_cores():
        generator = load_generator(local, AudioLdmSettings(), adapter=local.adapter)
        _seconds(generator, length_s, curve)
        pairs = [
            (_seconds(generator, length_s, curve), _seconds(generator, length_s, None)) for _ in range(TIMED_PAIRS)
        ]
    score = _told([with_curve / without for with_curve, without in pairs])
    return Line(
        "slower", "seconds of a clip with a curve, in those without (median of pairs)", score, MOST_SLOWER, True
    )


def _seconds(generator: Generator, length_s: float, curve: Curve | None) -> float:
    condition_1D = np.ones((1, EMBEDDING_DIM), np.float32)
    started = time.monotonic()
    list(generator.generate_tracks([Track(condition_1D, [0], [0.0], length_s, curve=curve)], 0.0))
    return time.monotonic() - started


def _told(values: Sequence[float]) -> Score:
    return Score(statistics.median(values), min(values), max(values), len(values))


@contextmanager
def _all_cores() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
