"""Where the training pairs of a run are kept: whole in each worker's memory, shared out, or nowhere."""

from __future__ import annotations

from typing import Literal

from v2a_core.mappers.aggregators import places_of
from v2a_core.training.config import DataSettings
from v2a_core.training.selection import Selection

Placement = Literal["memory", "sharded", "stream"]

_FLOAT32, _FLOAT16 = 4, 2


def choose(
    selection: Selection, settings: DataSettings, aggregator: str, embedding_dim: int, workers: int
) -> Placement:
    """The first of the three that fits into `worker_memory_gib`, unless the settings name one."""
    if settings.placement != "auto":
        return settings.placement
    room = settings.worker_memory_gib * 2**30
    needs = pair_bytes(selection, aggregator, embedding_dim)
    if needs <= room:
        return "memory"
    return "sharded" if needs <= room * workers and workers > 1 else "stream"


def pair_bytes(selection: Selection, aggregator: str, embedding_dim: int) -> int:
    """What all training and validation pairs take in memory; an upper bound, from the files' own counts."""
    rows = sum(selection.part_rows)
    frames = selection.frames * selection.vision_dim * _FLOAT16 if places_of(aggregator) else 0
    return rows * (selection.vision_dim + embedding_dim) * _FLOAT32 + frames
