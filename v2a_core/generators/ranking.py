"""Several sounds for one source, and which of them fits best."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic

from v2a_core.config import Settings, setting
from v2a_core.media.resample import clap_waveform
from v2a_core.media.types import MediaSpec
from v2a_core.protocols import AudioEncoder

Floats = npt.NDArray[np.float32]

_SEGMENTS_AT_ONCE = 16  # 30 MB of CLAP's input


class CandidateSettings(Settings):
    """How many sounds are made for a source, and which is best. AudioLDM's own choice is the best of 3."""

    count: int = setting(1, "sounds made for a source; the one closest to its conditions is kept", ge=1, le=32)
    keep_losers: bool = setting(False, "write the others too, to candidates/")
    timing_weight: float = setting(
        0.0,
        "where a curve is followed, what keeping to it counts beside closeness to the conditions: so many times the "
        "correlation of the levels; 0: nothing",
        ge=0,
        le=10,
    )

    @pydantic.model_serializer(mode="wrap")
    def _as_before_timing(self, written: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where timing counts nothing it is not written, as when it could not: such outputs are gone on with."""
        values: dict[str, Any] = written(self)
        return values if self.timing_weight else {key: val for key, val in values.items() if key != "timing_weight"}


class Listener:
    """Compares what was made with what it was made from.

    Args:
        encoder: CLAP's audio tower.
        spec: What it takes.
    """

    def __init__(self, encoder: AudioEncoder, spec: MediaSpec) -> None:
        self._encoder, self._spec = encoder, spec

    def similarity(self, waveform: Floats, sample_rate: int, starts_s: Sequence[float], conditions_ND: Floats) -> float:
        """CLAP similarity of a soundtrack to its conditions: the cosine of each segment, averaged, -1..1.

        Args:
            waveform: Float32 (samples,).
            sample_rate: Hz.
            starts_s: Starts of the segments.
            conditions_ND: What they were made from, L2-normalised.
        """
        borders = [*(round(start * sample_rate) for start in starts_s), len(waveform)]
        pieces = list(itertools.pairwise(borders))
        cosines: list[float] = []
        for some in _parts(range(len(pieces))):
            heard_ND = self._encoder.encode(
                np.stack([clap_waveform(waveform[slice(*pieces[index])], sample_rate, self._spec) for index in some])
            )
            cosines += (heard_ND * conditions_ND[some.start : some.stop]).sum(axis=1).tolist()
        return float(np.mean(cosines))


def _parts(indices: range) -> Iterator[range]:
    for start in range(0, len(indices), _SEGMENTS_AT_ONCE):
        yield indices[start : start + _SEGMENTS_AT_ONCE]
