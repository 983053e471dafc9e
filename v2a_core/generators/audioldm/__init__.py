"""AudioLDM from its parts: VAE, UNet, scheduler, vocoder and CLAP text encoder of a diffusers folder."""

from __future__ import annotations

from v2a_core.compute.memory import GenerationError
from v2a_core.generators.audioldm.generator import AudioLdmGenerator

__all__ = ["AudioLdmGenerator", "GenerationError"]
