"""A captioner of another package: which colour a frame has most of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.captioners import CAPTIONERS
from v2a_core.captioners.config import CaptionerSettings
from v2a_core.config import setting


class ColourSettings(CaptionerSettings):
    """What can be set; `weights` and `micro_batch` are there already."""

    kind: Literal["colours"] = setting("colours", "the colour of a frame")
    sentence: str = setting("something {colour}", "what is said of it", pattern=r"\{colour\}")


class Colours:
    """A sentence a frame; the names of the colours are in `colours.json`, its weights."""

    def __init__(self, settings: ColourSettings, device: str = "cpu") -> None:
        self._sentence = settings.sentence
        self._names: list[str] = json.loads((settings.folder() / "colours.json").read_text())

    def caption(self, frames_NHWC: Sequence[npt.NDArray[np.uint8]]) -> list[str]:
        """A sentence for each uint8 RGB frame (H, W, 3)."""
        strongest = [int(frame.mean(axis=(0, 1)).argmax()) for frame in frames_NHWC]
        return [self._sentence.replace("{colour}", self._names[channel]) for channel in strongest]


CAPTIONERS.add("colours", Colours, ColourSettings)
