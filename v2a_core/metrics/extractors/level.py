"""How loud a sound is from moment to moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from v2a_core.media.sinc_resample import sinc_resample
from v2a_core.metrics.event_level import level_curve
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import SoundExtractor
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS

RATE = 16_000


class LevelExtractor(SoundExtractor):
    """Root mean squares of frames of 32 ms, every 8 ms."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("level_curve", FLOATS, "root mean square of 32 ms of the sound every 8 ms; full scale is 1"),
    )

    def describe(self, sound_T: npt.NDArray[np.float32], sample_rate: int) -> Mapping[str, object]:
        """At 16 kHz."""
        return {"level_curve": level_curve(sinc_resample(sound_T, sample_rate, RATE)).astype(np.float32)}


EXTRACTORS.add("level", LevelExtractor)
