"""Typed configuration of the catalog."""

from __future__ import annotations

from typing import Annotated

from v2a_core.catalog.formats import CATALOG_FORMATS, FormatSettings
from v2a_core.config import Settings, setting
from v2a_core.registry import OneOf

_FORMAT = OneOf(CATALOG_FORMATS, "auto")


class CatalogSettings(Settings):
    """What of a catalog is listed."""

    format: Annotated[FormatSettings, _FORMAT] = setting(_FORMAT, "what the rows of tables say")
    max_source_mb: int = setting(
        65_536, "a larger file or shard member is rejected before it is fetched", unit="MB", ge=1
    )
