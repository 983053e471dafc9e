"""The motion of videos, for AV-Align: at which times more moves than before and after."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata, util
from typing import ClassVar

from v2a_core.config import ConfigError, Settings, setting
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import FolderExtractor, Weights, of_program
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS


class MotionSettings(Settings):
    """Whether videos are looked at."""

    use: bool = setting(
        False, "find the motion of the videos and librosa's onsets, for AV-Align: seconds a video, and needs OpenCV"
    )


class VideoMotion(FolderExtractor):
    """Peaks of the mean length of Farnebäck's optical flow; see `v2a_core.media.motion`."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("peaks_s", FLOATS, "when more moves than in both neighbouring frames, from the start of the span; s"),
        Column("frames_per_second", FLOATS, "of the video, one number"),
    )
    sizes: ClassVar[Mapping[str, int]] = {"peaks_s": 1, "frames_per_second": 1}

    @classmethod
    def program(cls, name: str) -> Weights:
        """What the findings depend on.

        Raises:
            ConfigError: When OpenCV is not there.
        """
        if util.find_spec("cv2") is None:
            raise ConfigError("extractors.motion.use needs OpenCV: pip install 'v2a[av-align]'")
        carriers = metadata.packages_distributions()["cv2"]
        return of_program(name, f"opencv {metadata.version(carriers[0])}, Farneback")


EXTRACTORS.add("motion", VideoMotion, MotionSettings)
