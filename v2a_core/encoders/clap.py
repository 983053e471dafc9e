"""CLAP's audio tower: what a bundle says about it, what its folder holds, and the encoder.

Shapes: B waveforms, T samples, D numbers of an embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from v2a_core.config import setting
from v2a_core.encoders.clap_config import ClapConfig, load_clap_config
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models.kinds import AUDIO_ENCODERS
from v2a_core.models.parts import SOURCE, AudioSettings, AudioTraits, Found, Part
from v2a_core.models.sources import Finder
from v2a_core.protocols import Floats

if TYPE_CHECKING:
    import torch

CLAP_CONFIG = "clap_config.json"


class ClapSettings(AudioSettings):
    """What a bundle says about a CLAP with laion's HTSAT."""

    encoder: Literal["clap"] = setting("clap", "CLAP with laion's HTSAT as its audio tower")
    weights: str = setting(..., f"checkpoint with the audio tower: {SOURCE}")
    config: str | None = setting(
        None, f"HTSAT-tiny, HTSAT-base or a model config JSON; default: {CLAP_CONFIG} beside, else HTSAT-tiny"
    )

    def find(self, finder: Finder) -> Found:
        """The checkpoint and its model config, unless that is one of the known names."""
        path = finder.weight_file(self.weights, beside=(CLAP_CONFIG,))
        if self.config is None:
            config = path.with_name(CLAP_CONFIG)
        elif self.config.endswith(".json"):
            config = Finder(finder.component, finder.root).fetch(finder.absolute(self.config))
        else:
            return Found(path, {path.name: path})
        return Found(path, {path.name: path, **({CLAP_CONFIG: config} if config.is_file() else {})})

    def traits(self, found: Found) -> AudioTraits:
        """What the model config says."""
        config = self.architecture(found)
        front_end = config.front_end
        return AudioTraits(
            f"HTSAT-{config.model_name}", config.joint_embed_shape, front_end.sample_rate, front_end.clip_samples
        )

    def architecture(self, found: Found) -> ClapConfig:
        """Sizes of the audio tower."""
        return load_clap_config(found.files.get(CLAP_CONFIG, self.config))

    def check(self, found: Found) -> None:
        """See `PartSettings.check`."""
        from v2a_core.encoders.clap_tower import check_audio_tower

        check_audio_tower(self.architecture(found), found.path)

    def text_tower(self, path: Path) -> dict[str, torch.Tensor]:
        """See `AudioSettings.text_tower`."""
        from v2a_core.encoders.clap_checkpoint import load_text_tower

        return load_text_tower(path)

    def moved(self, weights: str) -> Self:
        """The settings of a copy: a model config lies beside the weights there."""
        named = self.config if self.config and not self.config.endswith(".json") else None
        return self.model_copy(update={"weights": weights, "config": named})


class ClapEncoder:
    """Waveforms to embeddings.

    Args:
        part: The bundle's `audio`: what it says, and the files.
        settings: How to run.
        device: Where: `cpu`, `cuda`, `cuda:1`, ...

    Attributes:
        space: Name of the embedding space.
        dim: D, 512.
        sample_rate: Of the waveforms it takes, Hz.
        samples: T, their length.
        dtype: Number format of the transformer; the mel front end is always float32.
        tower: The network.
    """

    def __init__(self, part: Part[ClapSettings], settings: EncoderSettings, device: str = "cpu") -> None:
        from v2a_core.compute.cpu.packed import pack
        from v2a_core.compute.micro_batches import MicroBatches
        from v2a_core.compute.precision import choose_dtype
        from v2a_core.encoders.clap_tower import load_audio_tower

        config = part.settings.architecture(part.found)
        self.space = part.space
        self.dim = config.joint_embed_shape
        self.sample_rate, self.samples = config.front_end.sample_rate, config.front_end.clip_samples
        self.dtype = choose_dtype(settings.precision, device)
        self.tower = load_audio_tower(config, part.path).to(device)
        self.tower.to_precision(self.dtype)
        pack(self.tower.audio_branch, self.dtype, device)
        self._device = device
        self._batches = MicroBatches(settings.micro_batch, self.dim, device)

    def encode(self, waveforms_BT: Floats) -> Floats:
        """Embed waveforms.

        Args:
            waveforms_BT: Float32, `samples` long at `sample_rate`, in -1..1, as the decoder makes them: shorter sound
                repeated, never cropped at random.

        Returns:
            Float32 (B, D), L2-normalised.

        Raises:
            ValueError: For another shape or dtype.
        """
        if waveforms_BT.dtype != np.float32 or waveforms_BT.ndim != 2 or waveforms_BT.shape[1] != self.samples:
            raise ValueError(
                f"waveforms must be float32 of shape (B, {self.samples}) at {self.sample_rate} Hz, "
                f"not {waveforms_BT.dtype} of {waveforms_BT.shape}"
            )
        return self._batches.run(lambda items: self._forward(waveforms_BT[items]), len(waveforms_BT))

    def _forward(self, waveforms_BT: Floats) -> torch.Tensor:
        import torch

        embedding_BD: torch.Tensor = self.tower(torch.tensor(waveforms_BT).to(self._device))
        return embedding_BD


AUDIO_ENCODERS.add("clap", ClapEncoder, ClapSettings)
