"""Configuration of `v2a brightness`."""

from __future__ import annotations

from v2a_core.config import setting
from workflows.streaming.config import CatalogJobSettings


class BrightnessSettings(CatalogJobSettings):
    """Every setting of the job: its own, and those that every job on a catalog has."""

    dark: float = setting(0.1, "segments below this are dark", flag="--dark", ge=0, le=1)
