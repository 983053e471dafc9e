"""How far the loudness of a made sound is, over time, from that of its original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa

from v2a_core.media.sinc_resample import sinc_resample
from v2a_core.media.types import Pcm
from v2a_core.metrics.event_level import event_l1
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import BatchExtractor, Floats, Sounds
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOAT

RATE = 16_000


class LevelExtractor(BatchExtractor):
    """E-L1 of frames of 32 ms, every 8 ms."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "level_difference",
            FLOAT,
            "mean absolute difference of the made sound's and the original's root mean squares of 32 ms, every 8 ms; "
            "full scale is 1",
        ),
    )

    def extract(self, sounds: Sounds) -> Mapping[str, pa.Array]:
        """Null without an original."""
        values = [
            None if made is None or reference is None else event_l1(self._heard(made), self._heard(reference))
            for made, reference in zip(sounds.made, sounds.reference, strict=True)
        ]
        return {"level_difference": pa.array(values, pa.float32())}

    def _heard(self, pcm: Pcm) -> Floats:
        return sinc_resample(self.hearing.protocol.mono(pcm), pcm.sample_rate, RATE)


EXTRACTORS.add("level", LevelExtractor)
