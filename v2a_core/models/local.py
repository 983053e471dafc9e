"""A bundle whose weights are files on this machine."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from v2a_core import storage
from v2a_core.media.types import MediaSpec
from v2a_core.models import digests, finite
from v2a_core.models.checkpoints import first_not_finite_in
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import GENERATORS
from v2a_core.models.parts import (
    AdapterSource,
    AudioSettings,
    AudioTraits,
    Part,
    PartSettings,
    PredictorSource,
    VisionSettings,
    VisionTraits,
)
from v2a_core.models.settings import GeneratorSource

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class LocalBundle:
    """A bundle whose weights are files on this machine.

    Attributes:
        name: Name of the bundle.
        trained: Whether the weights are trained.
        licence: Of the weights.
        vision: What sees.
        audio: What hears.
        generator: What sounds.
        adapter: What makes it follow a curve in time; None: it cannot.
        predictor: What predicts such a curve from what is seen; None: nothing does.
    """

    name: str
    trained: bool
    licence: str
    vision: Part[VisionSettings]
    audio: Part[AudioSettings]
    generator: Part[GeneratorSource]
    adapter: Part[AdapterSource] | None = None
    predictor: Part[PredictorSource] | None = None

    def parts(self) -> dict[str, Part[PartSettings]]:
        """All parts by name."""
        parts: dict[str, Part[PartSettings]] = {"vision": self.vision, "audio": self.audio, "generator": self.generator}
        extras: dict[str, Part[PartSettings] | None] = {"adapter": self.adapter, "predictor": self.predictor}
        return parts | {name: part for name, part in extras.items() if part is not None}

    @property
    def vision_traits(self) -> VisionTraits:
        """What sees, as its files say."""
        return self.vision.settings.traits(self.vision.found)

    @property
    def audio_traits(self) -> AudioTraits:
        """What hears, as its files say."""
        return self.audio.settings.traits(self.audio.found)

    def media_spec(self) -> MediaSpec:
        """What the models want from the decoder, read from their own configs."""
        hears = self.audio_traits
        return MediaSpec(
            image_size=self.vision_traits.image_size,
            audio_sample_rate=hears.sample_rate,
            audio_samples=hears.samples,
            audio_path_sample_rate=GENERATORS[self.generator_name].component.sample_rate(self.generator),
        )

    @property
    def vision_dim(self) -> int:
        """Numbers in a frame's embedding."""
        return self.vision_traits.dim

    @property
    def generator_name(self) -> str:
        """Which generator of the registry makes sound."""
        return self.generator.settings.generator

    @property
    def generator_path(self) -> Path:
        """Folder of the generator, or its checkpoint."""
        return self.generator.path

    def fingerprints(self) -> dict[str, str]:
        """Sha256 of each part."""
        return {name: part.fingerprint for name, part in self.parts().items()}

    @property
    def vision_space(self) -> str:
        """Name of the vision embedding space."""
        return self.vision.space

    @property
    def audio_space(self) -> str:
        """Name of the audio embedding space."""
        return self.audio.space


def check_weights(local: LocalBundle) -> None:
    """Refuse weights that do not fit their models or are no numbers, before workers load them.

    What was found good once is remembered.

    Raises:
        ModelError: Naming what is missing, of another shape, or cannot be read.
        DamagedWeightsError: Naming the file and the tensor that holds no numbers.
    """
    for part in local.parts().values():
        said = hashlib.sha256(part.settings.model_dump_json().encode()).hexdigest()
        largest = max(part.found.files.values(), key=lambda path: path.stat().st_size)
        digests.remembered(largest, f"fits {part.fingerprint} as {said}", functools.partial(_fits, part))
    for path in (path for part in local.parts().values() for path in part.found.files.values()):
        if path.suffix in _WEIGHTS:
            name = digests.remembered(path, "not_finite", first_not_finite_in)
            if name:
                finite.refuse(str(path), name)


def _fits(part: Part[PartSettings], largest: Path) -> str:
    part.settings.check(part.found)
    return "yes"


def refuse_huge(files: Mapping[str, Path]) -> None:
    """No library is given a configuration of gigabytes.

    Raises:
        ModelError: Naming the file and its size.
    """
    for path in files.values():
        if path.suffix == ".json" and path.stat().st_size > storage.JSON_BYTES:
            raise ModelError(
                f"{path} has {path.stat().st_size:,} bytes, a JSON document has {storage.JSON_BYTES:,} at most: it is "
                "not read; get the model again"
            )
