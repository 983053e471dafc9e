"""What a soundtrack depends on, whoever makes it: the job of a catalog, or one call for one video."""

from __future__ import annotations

import pydantic

from v2a_core.config import setting
from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators import windows
from v2a_core.generators.config import GENERATOR, AnyGeneratorSettings
from v2a_core.generators.ranking import CandidateSettings
from v2a_core.generators.windows import JoinSettings
from v2a_core.mappers.config import SamplingSettings
from v2a_core.media.config import FinishSettings, FrameSettings, GuardSettings, SegmentSettings
from v2a_core.stages.follow import TimingSettings
from v2a_core.stages.prompts import TextSettings
from v2a_core.storage.config import StorageSettings


class SoundSettings(TimingSettings):
    """From a source to its sound."""

    seed: int = setting(0, "noise of a segment comes from this and its id", ge=0)
    segments: SegmentSettings = setting(SegmentSettings, "how sources are cut")
    frames: FrameSettings = setting(FrameSettings, "which frames are seen")
    decoder: GuardSettings = setting(GuardSettings, "limits of the decoder process")
    encoders: EncoderSettings = setting(EncoderSettings, "how CLIP runs")
    sampling: SamplingSettings | None = setting(None, "how a diffusion mapper samples; none: as it was exported")
    generator: AnyGeneratorSettings = setting(GENERATOR, "how the generator samples")
    join: JoinSettings = setting(JoinSettings, "how the segments of a source become one soundtrack")
    text: TextSettings = setting(TextSettings, "what is said beside what is seen")
    candidates: CandidateSettings = setting(CandidateSettings, "several sounds for a source, of which the best is kept")
    finish: FinishSettings = setting(FinishSettings, "level, format, muxing")
    storage: StorageSettings = setting(StorageSettings, "how buckets are reached")

    @pydantic.model_validator(mode="after")
    def _rate_is_the_predictors(self) -> SoundSettings:
        if self.frames.timing_fps:
            raise ValueError(
                f"frames.timing_fps = {self.frames.timing_fps:g} is for `embed`: a soundtrack takes what its predictor "
                "looks at (timing)"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _windows_can_be_generated(self) -> SoundSettings:
        # The last window of a source also covers a rest that is too short to be a segment.
        if self.segments.whole or self.segments.hop_s not in (None, self.segments.length_s):
            raise ValueError("segments.whole and segments.hop_s are for `embed`: a soundtrack needs adjoining segments")
        longest_s = self.segments.length_s + self.segments.min_length_s + self.join.overlap_s
        most_s = self.generator.max_duration_s - 2 * windows.GRID_S  # windows are moved and lengthened onto a grid
        if longest_s > most_s:
            raise ValueError(
                f"segments.length_s + segments.min_length_s + join.overlap_s = {longest_s:g} s: the generator sees "
                f"windows of up to {most_s:g} s at once"
            )
        return self
