"""Mappers: from what was seen (embeddings of frames) to what shall be heard (a CLAP embedding).

A mapper is a method (how the target is reached) around a network (what computes it), behind an aggregator of frames.
All three are found by name in `registries`. What trains a mapper is elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2a_core.mappers.assemble import build, count_parameters

if TYPE_CHECKING:
    from v2a_core.mappers.config import SamplingSettings
    from v2a_core.mappers.export import Mapper

__all__ = ["build", "count_parameters", "load_mapper"]


def load_mapper(uri: str, device: str = "cpu", *, sampling: SamplingSettings | None = None) -> Mapper:
    """An exported mapper from a local or remote folder; see `v2a_core.mappers.export.Mapper`."""
    from v2a_core.mappers.export import Mapper

    return Mapper.from_pretrained(uri, device, sampling=sampling)
