"""The content of a bundle's file, such as `configs/models/paper.yaml`."""

from __future__ import annotations

from typing import Annotated

from v2a_core.config import Settings, setting
from v2a_core.models.kinds import AUDIO_ENCODERS, GENERATORS, VISION_ENCODERS
from v2a_core.models.parts import (
    AdapterSource,
    AudioSettings,
    Found,
    GeneratorWeights,
    Part,
    PartSettings,
    PredictorSource,
    VisionSettings,
)
from v2a_core.models.sources import Finder
from v2a_core.registry import NameOf, OneOf

_GENERATOR = NameOf(GENERATORS, "audioldm")


class GeneratorSource(GeneratorWeights):
    """Where what makes sound comes from."""

    generator: Annotated[str, _GENERATOR] = setting(_GENERATOR, "which one it is")

    def find(self, finder: Finder) -> Found:
        """Its files, which the generator knows.

        Raises:
            ModelError: When they cannot be had, or are none of this generator.
        """
        return GENERATORS[self.generator].component.find(self, finder)

    def check(self, found: Found) -> None:
        """See `PartSettings.check`."""
        GENERATORS[self.generator].component.check(Part(self, found))


class BundleSettings(Settings):
    """The content of a bundle's file."""

    name: str = setting(..., "name of the bundle", pattern=r"^[\w.-]+$")
    trained: bool = setting(True, "whether the weights are trained; manifests and pages say when they are not")
    licence: str = setting("", "licence of the weights")
    root: str = setting(".", "what ./paths are inside of: relative to this file, package:NAME/PATH, or a URI")
    vision: Annotated[VisionSettings, OneOf(VISION_ENCODERS, "clip", "encoder")] = setting(..., "what sees")
    audio: Annotated[AudioSettings, OneOf(AUDIO_ENCODERS, "clap", "encoder")] = setting(..., "what hears")
    generator: GeneratorSource = setting(..., "what sounds")
    adapter: AdapterSource | None = setting(None, "what makes it follow a curve in time (`--curve`); none: it cannot")
    predictor: PredictorSource | None = setting(
        None, "what predicts such a curve from what is seen (`--timing gru`); none: nothing does"
    )
    checksums: dict[str, str] = setting(
        {}, "sha256 of files, by vision/NAME, audio/NAME, generator/PATH, adapter/NAME, predictor/NAME"
    )

    def parts(self) -> dict[str, PartSettings]:
        """What is said about each part, by its name."""
        parts: dict[str, PartSettings] = {"vision": self.vision, "audio": self.audio, "generator": self.generator}
        extras = {"adapter": self.adapter, "predictor": self.predictor}
        return parts | {name: part for name, part in extras.items() if part is not None}
