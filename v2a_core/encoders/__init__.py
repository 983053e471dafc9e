"""Frozen encoders, one file each: its settings in a bundle, what its folder holds, and the network.

Here belongs what turns frames and waveforms into embeddings. How weights get to this machine does not (`models`), nor
what is trained on embeddings (`mappers`).

Another package adds one with an entry point in the group `v2a.vision_encoders` or `v2a.audio_encoders`, whose module
ends with `VISION_ENCODERS.add("its-name", ItsEncoder, ItsSettings)`. Such a module loads no torch when it is imported:
the command line reads bundles with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2a_core.encoders.config import EncoderSettings
from v2a_core.models.kinds import AUDIO_ENCODERS, VISION_ENCODERS

if TYPE_CHECKING:
    from v2a_core.models import LocalBundle
    from v2a_core.protocols import AudioEncoder, VisionEncoder

__all__ = ["AUDIO_ENCODERS", "VISION_ENCODERS", "EncoderSettings", "build_audio", "build_vision"]


def build_vision(bundle: LocalBundle, settings: EncoderSettings, device: str = "cpu") -> VisionEncoder:
    """What sees, with the weights of a bundle.

    Args:
        bundle: The models.
        settings: How to run.
        device: `cpu`, `cuda`, `cuda:1`, ...

    Raises:
        ModelError: When the weights are not what the bundle says.
    """
    return VISION_ENCODERS[bundle.vision.settings.encoder].component(bundle.vision, settings, device)


def build_audio(bundle: LocalBundle, settings: EncoderSettings, device: str = "cpu") -> AudioEncoder:
    """What hears, with the weights of a bundle; see `build_vision`."""
    return AUDIO_ENCODERS[bundle.audio.settings.encoder].component(bundle.audio, settings, device)
