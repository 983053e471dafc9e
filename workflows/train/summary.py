"""What a sweep of trainings has to tell at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from v2a_core.training.history import ValidationRow


class SweepRow(TypedDict, total=False):
    """A run of a sweep, as in `sweep.json`.

    Attributes:
        error: Why it has no mapper, or ended early.
        best: The validation that its mapper is of; None: it has none.
    """

    name: str
    error: str | None
    best: ValidationRow | None
    parameters: int | None
    steps: int | None
    seconds: float | None
    fingerprint: str
    output: str
