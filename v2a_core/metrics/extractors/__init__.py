"""What metrics are computed from: each extractor gives named columns of an evaluated segment. One file each.

A new one is a file that registers itself, with its settings if it has any, and a line here; its columns are then a part
of the rows that `v2a evaluate` writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2a_core.registry import Registry

if TYPE_CHECKING:
    from v2a_core.metrics.extractors.base import BatchExtractor, SoundExtractor

# In the order of the columns.
EXTRACTORS: Registry[type[SoundExtractor] | type[BatchExtractor]] = Registry(
    "extractor",
    "v2a.extractors",
    {
        "clap": "v2a_core.metrics.extractors.clap",
        "judge": "v2a_core.metrics.extractors.verdicts",
        "onsets": "v2a_core.metrics.extractors.onsets",
        "pitch": "v2a_core.metrics.extractors.pitch",
        "tempo": "v2a_core.metrics.extractors.tempo",
    },
)
