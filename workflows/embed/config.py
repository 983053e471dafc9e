"""Configuration of `v2a embed`."""

from __future__ import annotations

from v2a_core.config import setting
from v2a_core.encoders.config import EncoderSettings
from workflows.streaming.config import CatalogJobSettings


class EmbedJob(CatalogJobSettings):
    """Every setting of the job."""

    encoders: EncoderSettings = setting(EncoderSettings, "how CLIP and CLAP run")
