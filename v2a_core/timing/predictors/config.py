"""What all curve predictors are told: the base of their settings."""

from __future__ import annotations

from typing import ClassVar, Self

from v2a_core.config import Settings, setting
from v2a_core.models import LocalBundle
from v2a_core.protocols import JSON

LEAST_CUT = 0.05  # motion of a cut: share of white


class PredictorSettings(Settings):
    """Base of the settings of curve predictors.

    A class of its own has `kind: Literal["its-name"] = setting("its-name", ...)`, and what decides its curves.

    Attributes:
        sees: Whether it looks at embeddings of the frames; else the motion is enough.
    """

    sees: ClassVar[bool] = True

    kind: str
    least_cut: float = setting(
        LEAST_CUT,
        "a frame that differs by more from the one before, and by more than twice as much as those around it, begins "
        "another shot: a cut is no event; share of white; 1: nothing does",
        gt=0,
        le=1,
    )

    def canonical(self) -> Self:
        """With absolute paths: workers do not stand where the command was given."""
        return self

    def check(self, local: LocalBundle) -> None:
        """Refuse, in seconds, what cannot be used with a bundle, so that no job starts with it.

        Raises:
            ConfigError: Naming what is wrong.
            ModelError: When weights cannot be had.
        """

    def rate(self, local: LocalBundle) -> float:
        """How many frames a second it looks at."""
        raise NotImplementedError

    def fingerprint(self, local: LocalBundle) -> str:
        """Sha256 of its weights; empty for one without."""
        return ""

    def identity(self, local: LocalBundle) -> dict[str, JSON]:
        """What a curve depends on beside what is seen."""
        kept: dict[str, JSON] = self.model_dump(mode="json", exclude={"weights"})
        return {**kept, "frames_per_second": self.rate(local), "weights": self.fingerprint(local)}
