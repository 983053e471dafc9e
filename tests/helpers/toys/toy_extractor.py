"""An extractor of another package: the highest sample of each sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from v2a_core.config import Settings, setting
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import Floats, SoundExtractor
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOAT


class PeakSettings(Settings):
    """What can be set."""

    floor_db: float = setting(-90.0, "what silence counts as", unit="dB", le=0)


class PeakExtractor(SoundExtractor):
    """Peaks relative to full scale."""

    columns: ClassVar[tuple[Column, ...]] = (Column("peak_dbfs", FLOAT, "the highest sample; dB below full scale"),)

    def __init__(self, settings: PeakSettings) -> None:
        super().__init__(settings)
        self._floor_db = settings.floor_db

    def describe(self, sound_T: Floats, sample_rate: int) -> Mapping[str, object]:
        """In dB."""
        peak = float(np.abs(sound_T).max())
        return {"peak_dbfs": max(self._floor_db, 20 * np.log10(max(peak, 1e-9)))}


EXTRACTORS.add("peak", PeakExtractor, PeakSettings)
