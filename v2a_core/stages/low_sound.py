"""Decoded segments with their sound at the rate at which generators think of it."""

from __future__ import annotations

import numpy as np

from v2a_core.media.resample import resample
from v2a_core.tables.rows import DecodedRow
from v2a_core.tables.schema import OK
from v2a_core.timing.envelope import RATE


def with_low_sound(row: DecodedRow) -> DecodedRow:
    """A row whose sound was decoded as it is in the file; `waveform` becomes its first channel at 16 kHz."""
    native = row.get("native")
    if row["status"] != OK or native is None:
        return row
    low_T = resample(native.first_channel, native.sample_rate, RATE)
    return {**row, "waveform": np.ascontiguousarray(low_T).data.cast("B")}
