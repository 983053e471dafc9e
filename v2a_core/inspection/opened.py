"""A bundle opened for its check: models are loaded when a check first asks for them, in float32.

Shapes: N sounds, T samples, F log-mel frames, M mel bins, D numbers of an embedding.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from v2a_core.encoders import EncoderSettings, build_audio, build_vision
from v2a_core.generators import load_generator
from v2a_core.generators.audioldm.checkpoint import audioldm_source
from v2a_core.generators.audioldm.config import TRAINED_S, AudioLdmSettings
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.generators.audioldm.layout import AudioLdmSource
from v2a_core.inspection.material import Material
from v2a_core.media.log_mel import SAMPLE_RATE, log_mel
from v2a_core.media.resample import clap_waveform, fit_length, resample
from v2a_core.models import Bundle, LocalBundle
from v2a_core.models.errors import ModelError
from v2a_core.protocols import AudioEncoder, Floats, VisionEncoder

PEAK = 0.5  # as AudioLDM scales waveforms


@dataclass
class Opened:
    """A bundle with what it is checked on.

    Attributes:
        bundle: As it is written down.
        local: Its files.
        material: Sounds and pictures.
        checkpoint: AudioLDM's original checkpoint, when it is at hand.
        device: Where models run.
        seed: Of all noise.
    """

    bundle: Bundle
    local: LocalBundle
    material: Material
    checkpoint: Path | None = None
    device: str = "cpu"
    seed: int = 0

    @functools.cached_property
    def vision(self) -> VisionEncoder:
        """What sees."""
        return build_vision(self.local, EncoderSettings(precision="fp32"), self.device)

    @functools.cached_property
    def audio(self) -> AudioEncoder:
        """What hears."""
        return build_audio(self.local, EncoderSettings(precision="fp32"), self.device)

    @property
    def source(self) -> AudioLdmSource:
        """Where the generator's parts come from."""
        return audioldm_source(self.local.generator)

    @functools.cached_property
    def generator(self) -> AudioLdmGenerator:
        """The generator with its fast sampler."""
        made = load_generator(self.local, self.fast, self.device)
        if not isinstance(made, AudioLdmGenerator):
            raise ModelError(f"only AudioLDM is checked, not {type(made).__name__}")
        return made

    @property
    def fast(self) -> AudioLdmSettings:
        """How `v2a generate` samples."""
        return AudioLdmSettings(precision="fp32")

    @functools.cached_property
    def embeddings(self) -> Floats:
        """CLAP embeddings of the sounds, L2-normalised (N, D)."""
        spec = self.local.media_spec()
        return self.audio.encode(
            np.stack([clap_waveform(item.waveform_T, item.sample_rate, spec) for item in self.material.sounds])
        )

    @functools.cached_property
    def others(self) -> list[int]:
        """For each sound another one, of another kind."""
        kinds = [sound.kind for sound in self.material.sounds]
        count = len(kinds)
        return [
            next(
                (index + step) % count for step in range(1, count + 1) if kinds[(index + step) % count] != kinds[index]
            )
            for index in range(count)
        ]

    @functools.cached_property
    def mels(self) -> torch.Tensor:
        """Log-mels of the sounds, of whole latent frames, float32 (N, F, M)."""
        sizes = self.generator.parts.geometry
        shortest_s = min(len(item.waveform_T) / item.sample_rate for item in self.material.sounds)
        grid = sizes.vae_factor * sizes.unet_factor * sizes.hop_length
        samples = max(1, int(min(shortest_s, TRAINED_S) * SAMPLE_RATE) // grid) * grid
        waveforms = [
            fit_length(resample(item.waveform_T, item.sample_rate, SAMPLE_RATE), samples)
            for item in self.material.sounds
        ]
        return log_mel(torch.from_numpy(np.stack([_levelled(item) for item in waveforms]))).to(self.device)

    @functools.cached_property
    def latents(self) -> torch.Tensor:
        """Latents of the sounds as the UNet has them, float32."""
        vae = self.generator.parts.vae
        with torch.inference_mode():
            latents: torch.Tensor = vae.encode(self.mels[:, None].to(vae.dtype)).latent_dist.mean
        return latents.float() * float(vae.config.scaling_factor)


def _levelled(waveform_T: Floats) -> Floats:
    centred = waveform_T - waveform_T.mean()
    levelled: Floats = centred * (PEAK / (np.abs(centred).max() + 1e-8))
    return levelled
