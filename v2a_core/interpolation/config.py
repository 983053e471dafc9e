"""Typed configuration of an interpolation."""

from __future__ import annotations

import pydantic

from v2a_core.config import Settings, setting
from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators.config import GENERATOR, AnyGeneratorSettings
from v2a_core.mappers.config import SamplingSettings
from v2a_core.media.config import FinishSettings, FrameSettings, GuardSettings
from v2a_core.storage.config import StorageSettings, output_storage


class InterpolationSettings(Settings):
    """Every setting of `v2a interpolate`."""

    steps: int = setting(5, "sounds, both ends included", flag="--steps", ge=2, le=100)
    duration_s: float = setting(10.0, "length of a sound", unit="s", gt=0.1, le=600)
    seed: int = setting(0, "noise of all steps: only the condition changes", ge=0)
    frames: FrameSettings = setting(FrameSettings, "which frames of a video are seen")
    decoder: GuardSettings = setting(GuardSettings, "limits of the decoder process")
    encoders: EncoderSettings = setting(EncoderSettings, "how CLIP and CLAP run")
    sampling: SamplingSettings | None = setting(None, "how a diffusion mapper samples; none: as it was exported")
    generator: AnyGeneratorSettings = setting(GENERATOR, "how the generator samples")
    finish: FinishSettings = setting(FinishSettings, "level and format")
    storage: StorageSettings = setting(StorageSettings, "how files are reached")
    output_storage: StorageSettings | None = output_storage()

    @pydantic.model_validator(mode="after")
    def _sound_is_made_at_once(self) -> InterpolationSettings:
        if self.duration_s > self.generator.max_duration_s:
            most_s = self.generator.max_duration_s
            raise ValueError(f"duration_s = {self.duration_s:g}: the generator makes up to {most_s:g} s at once")
        return self
