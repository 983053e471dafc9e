"""What an output has of a source whose segments are not all there."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Partial:
    """What an output has of a source that is not complete.

    Attributes:
        segments: Ids of the segments that have a row.
        indices: Their places in the source.
        count: Segments of the whole source.
    """

    segments: list[str] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    count: int = 0

    def missing(self) -> list[int]:
        """Places of the segments without a row."""
        return sorted(set(range(self.count)) - set(self.indices))
