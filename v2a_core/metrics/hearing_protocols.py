"""Protocols: which part of a sound is measured, and how it comes to a network's rate.

Numbers of two papers can only be compared when both cut and mix sounds alike. `paper` hears the first channel of the
first 10 s, `av-benchmark` the mean of all channels over the first 8 s; both take the mean value out and resample with a
windowed sinc before a network hears it.

Shapes: T samples, C channels.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.media.sinc_resample import sinc_resample
from v2a_core.media.types import Pcm

Floats = npt.NDArray[np.float32]
ProtocolName = Literal["paper", "av-benchmark"]
Channels = Literal["first", "mean"]
Resampling = Literal["sinc", "decimated"]

# Of what is cut off this much is resampled too: a windowed sinc hears a little of what follows.
_BEYOND_S = 0.1
WHOLE = math.inf  # seconds


@dataclass(frozen=True)
class Protocol:
    """How a sound is taken out of its file.

    Attributes:
        name: Its name, as a part of the names of folders.
        length_s: What is behind is not heard; `WHOLE`: all is.
        channels: The first one, or the mean of all.
        resampling: By a windowed sinc; or, to a rate of which the file's is a multiple, by taking every n-th sample
            without a filter, as audioldm_eval did before June 2023: what is above the new rate's half comes back below.
        centred: Without its mean value.
    """

    name: str
    length_s: float
    channels: Channels
    resampling: Resampling = "sinc"
    centred: bool = True

    def mono(self, pcm: Pcm) -> Floats:
        """What is heard of a sound, float32 (T,), at its own rate."""
        heard_T = self._mixed(pcm)[: max(1, _samples(self.length_s, pcm.sample_rate))]
        mean = heard_T.mean(dtype=np.float64) if self.centred and len(heard_T) else 0.0
        return heard_T - np.float32(mean)

    def at_rate(self, pcm: Pcm, sample_rate: int) -> Floats:
        """What a network hears, float32 (T,): centred, resampled, then cut.

        Args:
            pcm: A sound of at least one sample.
            sample_rate: The network's, Hz.
        """
        whole_T = self._mixed(pcm).astype(np.float64)
        if self.centred:
            whole_T -= whole_T.mean()
        heard_T = whole_T[: _samples(self.length_s + _BEYOND_S, pcm.sample_rate)]
        if self.resampling == "decimated" and pcm.sample_rate % sample_rate == 0:
            resampled_T = heard_T[:: pcm.sample_rate // sample_rate]
        else:
            resampled_T = sinc_resample(heard_T, pcm.sample_rate, sample_rate)
        return resampled_T[: _samples(self.length_s, sample_rate)].astype(np.float32)

    def hears_as(self, name: ProtocolName) -> bool:
        """Whether it takes the same of a sound as the protocol of a name, whatever it is called itself."""
        return replace(self, name=name) == PROTOCOLS[name]

    def describe(self) -> dict[str, str | float | bool]:
        """What numbers carry of it."""
        length = "whole" if self.length_s == WHOLE else self.length_s
        told = {"name": self.name, "length_s": length, "channels": self.channels, "resampling": self.resampling}
        return told if self.centred else told | {"centred": False}

    def _mixed(self, pcm: Pcm) -> Floats:
        if self.channels == "first" or pcm.samples_TC.shape[1] == 1:
            return pcm.first_channel
        mixed: Floats = pcm.samples_TC.mean(axis=1, dtype=np.float64).astype(np.float32)
        return mixed


def _samples(length_s: float, sample_rate: int) -> int:
    return sys.maxsize if length_s == WHOLE else round(length_s * sample_rate)


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "paper": Protocol("paper", 10.0, "first"),
    "av-benchmark": Protocol("av-benchmark", 8.0, "mean"),
}
