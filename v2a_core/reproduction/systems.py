"""The systems behind the rows: which models, which mapper, which way. One of several tables is made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from v2a_core.reproduction.paper import OURS

BundleRole = Literal["main", "blip", "small", "large"]
OURS_MAPPER = "diffusion-transformer"


@dataclass(frozen=True)
class System:
    """A way to make sounds.

    Attributes:
        name: Of its rows.
        bundle: Which of the models.
        mapper: Name of its run in the sweep of mappers; None: it has no mapper.
        via_text: Whether texts lead to the sound.
    """

    name: str
    bundle: BundleRole = "main"
    mapper: str | None = None
    via_text: bool = False


SYSTEMS: Mapping[str, System] = {
    system.name: system
    for system in (
        System(OURS, mapper=OURS_MAPPER),
        System("no-mapper"),
        System("via-text", via_text=True),
        System("regression-mlp", mapper="regression-mlp"),
        System("regression-transformer", mapper="regression-transformer"),
        System("diffusion-mlp", mapper="diffusion-mlp"),
        System("random-frame", mapper="diffusion-transformer-random"),
        System("middle-frame", mapper="diffusion-transformer-middle"),
        System("blip", bundle="blip", mapper=OURS_MAPPER),
        System("blip-no-mapper", bundle="blip"),
        System("audioldm-s", bundle="small", mapper=OURS_MAPPER),
        System("audioldm-l", bundle="large", mapper=OURS_MAPPER),
    )
}
