"""Typed configuration of the catalog."""

from __future__ import annotations

from typing import Literal

import pydantic

from v2a_core.config import Settings, setting

# What a table or a shard's metadata may say of a source.
TEXT_FIELDS = ("label", "split", "caption", "prompt", "negative_prompt")
MAX_TEXT = 10_000  # characters of one of them: it is repeated in every row


class CatalogSettings(Settings):
    """What of a catalog is listed."""

    format: Literal["auto", "vggsound"] = setting(
        "auto",
        "auto: tables with a uri column; vggsound: CSV of id, start, label, split",
        flag="--catalog-format",
    )
    media_root: str | None = setting(
        None, "vggsound: folder or URI prefix of the files <id>_<start:06d>.mp4", flag="--media-root", min_length=1
    )
    max_source_mb: int = setting(
        65_536, "a larger file or shard member is rejected before it is fetched", unit="MB", ge=1
    )

    @pydantic.model_validator(mode="after")
    def _vggsound_has_a_root(self) -> CatalogSettings:
        if (self.format == "vggsound") != (self.media_root is not None):
            raise ValueError("--catalog-format vggsound and --media-root belong together: give both or neither")
        return self
