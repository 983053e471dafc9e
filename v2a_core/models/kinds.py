"""The kinds of components that bundles bring weights for, by name.

They are declared here, below the components themselves, so that a bundle can ask one what its folder holds; the module
behind a name is imported when it is asked. A registry knows modules by their names alone: nothing of this room depends
on a component. Other packages name theirs in an entry point of the group.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from v2a_core.models.parts import Found, GeneratorWeights, Part
from v2a_core.models.sources import Finder
from v2a_core.protocols import AudioEncoder, Generator, TextEncoder, VisionEncoder
from v2a_core.registry import Registry


class GeneratorKind(Protocol):
    """A generator as bundles name it: what its files are, and how it is loaded. Loads no library by itself."""

    def find(self, source: GeneratorWeights, finder: Finder) -> Found:
        """Its files on this machine; their contents are its fingerprint."""

    def sample_rate(self, part: Part[GeneratorWeights]) -> int:
        """Rate of the waveforms, Hz."""

    def text_tower(self, part: Part[GeneratorWeights]) -> Path | None:
        """Folder or checkpoint with CLAP's text tower, by which spaces are compared; None where it has none."""

    def check(self, part: Part[GeneratorWeights]) -> None:
        """Refuse, in seconds, files that do not fit together, so that no job starts with them."""

    def load(self, part: Part[GeneratorWeights], settings: Any, device: str) -> Generator:
        """Ready to make sound, with the settings that were registered with it."""

    def load_text(self, part: Part[GeneratorWeights], device: str) -> TextEncoder:
        """What turns texts into its conditions, without the rest of it."""


# A component is called with its part of a bundle (`models.parts.Part`), how to run, and the device; its settings are
# what the bundle says about it (`models.parts.VisionSettings`, `AudioSettings`).
VISION_ENCODERS: Registry[Callable[..., VisionEncoder]] = Registry(
    "vision encoder",
    "v2a.vision_encoders",
    {"clip": "v2a_core.encoders.clip", "blip": "v2a_core.encoders.blip"},
)
AUDIO_ENCODERS: Registry[Callable[..., AudioEncoder]] = Registry(
    "audio encoder", "v2a.audio_encoders", {"clap": "v2a_core.encoders.clap"}
)
GENERATORS: Registry[GeneratorKind] = Registry(
    "generator", "v2a.generators", {"audioldm": "v2a_core.generators.audioldm.checkpoint"}
)
