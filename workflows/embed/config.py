"""Configuration of `v2a embed`."""

from __future__ import annotations

from typing import Self

import pydantic

from v2a_core.config import setting
from v2a_core.encoders.config import EncoderSettings
from workflows.streaming.config import CatalogJobSettings


class EmbedJob(CatalogJobSettings):
    """Every setting of the job."""

    encoders: EncoderSettings = setting(EncoderSettings, "how CLIP and CLAP run")

    @pydantic.model_validator(mode="after")
    def _timed_in_pieces(self) -> Self:
        if self.segments.whole and self.frames.timing_fps:
            raise ValueError(
                "segments.whole = true makes one segment of a source, however long, and frames.timing_fps keeps "
                "all of its denser frames: choose"
            )
        return self
