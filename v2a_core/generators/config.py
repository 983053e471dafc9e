"""What the settings of every generator are. Those of one alone are beside it."""

from __future__ import annotations

import math
from typing import Annotated

import pydantic

from v2a_core.config import Settings, setting
from v2a_core.models.kinds import GENERATORS
from v2a_core.registry import OneOf


class GeneratorSettings(Settings):
    """How a generator samples; what it is comes from the bundle."""

    kind: str = setting(..., "the generator, as the bundle names it")

    @property
    def max_duration_s(self) -> float:
        """The longest sound that is made at once, in seconds."""
        return math.inf

    @property
    def summary(self) -> str:
        """A few words on them, for pages that people read."""
        return self.kind

    def identity(self) -> dict[str, pydantic.JsonValue]:
        """What of them the sound depends on."""
        return self.model_dump(mode="json")

    def following(self) -> dict[str, pydantic.JsonValue]:
        """What of them it depends on beside that, where it follows a curve."""
        return {}


GENERATOR = OneOf(GENERATORS, "audioldm")
AnyGeneratorSettings = Annotated[GeneratorSettings, GENERATOR]
