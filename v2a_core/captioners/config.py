"""Typed configuration of the captioners."""

from __future__ import annotations

from v2a_core.config import Settings, setting


class CaptionerSettings(Settings):
    """BLIP as a captioner."""

    weights: str = setting(
        "Salesforce/blip-image-captioning-base",
        "folder with BLIP in transformers' layout: path, fsspec URI or hub name",
    )
    max_tokens: int = setting(30, "longest caption", unit="tokens", ge=1, le=200)
    beams: int = setting(3, "beams of the search, which is without chance", ge=1, le=16)
    micro_batch: int = setting(16, "frames captioned at once", ge=1)
