"""The kinds of components that bundles bring weights for, by name.

They are declared here, below the components themselves, so that a bundle can ask one what its folder holds; the module
behind a name is imported when it is asked. A registry knows modules by their names alone: nothing of this room depends
on a component. Other packages name theirs in an entry point of the group.
"""

from __future__ import annotations

from collections.abc import Callable

from v2a_core.protocols import AudioEncoder, GeneratorKind, VisionEncoder
from v2a_core.registry import Registry

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
