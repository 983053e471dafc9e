"""Configuration of `v2a page`."""

from __future__ import annotations

from v2a_core.config import Settings, setting
from v2a_core.media.config import GuardSettings
from v2a_core.storage.config import StorageSettings, output_storage


class PageSettings(Settings):
    """Every setting of the page."""

    limit: int = setting(
        500,
        "show the first N soundtracks, by label and name, or the N clips in which the first system is worst",
        flag="--limit",
        ge=1,
        le=5000,
    )
    decoder: GuardSettings = setting(GuardSettings, "limits of the processes that make pictures of videos")
    storage: StorageSettings = setting(StorageSettings, "how buckets are reached")
    output_storage: StorageSettings | None = output_storage()
