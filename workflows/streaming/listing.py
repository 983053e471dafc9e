"""A catalog as a streaming job takes it: its sources, and the entries that could not become one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from v2a_core.catalog import CatalogSettings, Source, Sources, list_sources
from v2a_core.catalog.tar import ShardLister
from v2a_core.config import ConfigError
from v2a_core.media.types import MediaError


@dataclass(frozen=True)
class Listing:
    """A listed catalog: sources, and entries that could not become one."""

    sources: Sources
    rejects: list[tuple[Source, MediaError]]
    skipped: dict[str, int]

    @property
    def count(self) -> int:
        """Entries of the catalog, good or not."""
        return len(self.sources) + len(self.rejects)

    def by_kind(self) -> dict[str, int]:
        """Sources by kind."""
        return self.sources.kinds()


def list_catalog(
    catalog: Sequence[str],
    settings: CatalogSettings,
    limit: int | None,
    *,
    heard: bool = False,
    shards: ShardLister | None = None,
) -> Listing:
    """List a catalog, at most its first `limit` entries; of what is seen or, else, `heard`.

    Args:
        catalog: Files, folders, globs, prefixes, shards or tables.
        settings: What is listed.
        limit: Entries at most; None: all.
        heard: Whether its sources are sounds and videos, instead of videos and images.
        shards: What lists tar shards; None: this process.

    Raises:
        ConfigError: When there is nothing in it, or it does not exist.
    """
    try:
        listed = list_sources(catalog, settings, heard=heard, shards=shards)
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from None
    for note in listed.notes:
        print(note, file=sys.stderr, flush=True)  # on the terminal; what a plan prints is JSON
    sources, rejects = listed.sources, listed.rejects
    if limit is not None:
        sources, rejects = sources[:limit], rejects[: max(0, limit - len(sources))]
    return Listing(sources, list(rejects), dict(listed.skipped_reasons))
