"""What to process: sources found in files, folders, globs, URI prefixes, tar shards and tables.

Each way to write a catalog down is a file here. What is inside of a source, its frames and sound, is read in `media`.
"""

from __future__ import annotations

from v2a_core.catalog.config import CatalogSettings
from v2a_core.catalog.listing import CatalogListing, list_sources
from v2a_core.catalog.shard_stream import ShardReader
from v2a_core.catalog.source import Source, source_id, source_key
from v2a_core.catalog.sources import Sources

__all__ = [
    "CatalogListing",
    "CatalogSettings",
    "ShardReader",
    "Source",
    "Sources",
    "list_sources",
    "source_id",
    "source_key",
]
