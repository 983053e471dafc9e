"""Typed configuration of the catalog."""

from __future__ import annotations

from v2a_core.config import Settings, setting


class CatalogSettings(Settings):
    """What of a catalog is listed."""

    max_source_mb: int = setting(
        65_536, "a larger file or shard member is rejected before it is fetched", unit="MB", ge=1
    )
