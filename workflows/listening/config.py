"""Configuration of `v2a listening`."""

from __future__ import annotations

from v2a_core.config import Settings, setting
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.media.config import GuardSettings
from v2a_core.storage.config import StorageSettings, output_storage


class ListeningSettings(Settings):
    """Every setting of making and scoring a test."""

    making: MakingSettings = setting(MakingSettings, "make: what a test consists of")
    scoring: ScoringSettings = setting(ScoringSettings, "score: which answers count")
    decoder: GuardSettings = setting(GuardSettings, "make: limits of the process that reads videos")
    storage: StorageSettings = setting(StorageSettings, "how buckets are reached")
    output_storage: StorageSettings | None = output_storage()
