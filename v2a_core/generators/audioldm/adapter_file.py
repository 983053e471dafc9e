"""An envelope adapter from its folder, and as what its folder says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from v2a_core.generators.adapters import SCHEMA_VERSION, AdapterConfig, Latents, read_config
from v2a_core.generators.audioldm.adapter import EnvelopeAdapter, entries_of, stride_of
from v2a_core.generators.audioldm.components import Geometry
from v2a_core.models import LocalBundle
from v2a_core.models.checkpoints import load_exactly, load_tensors
from v2a_core.models.described import CONFIG_FILE
from v2a_core.models.errors import ModelError
from v2a_core.models.parts import AdapterSource, Found, Part, with_beside
from v2a_core.models.unset import UnsetWeights


def load_envelope_adapter(path: Path, unet: Mapping[str, Any], latents: Latents) -> EnvelopeAdapter:
    """An adapter with its weights, float32, on the CPU.

    Args:
        path: Its weight file; `config.json` lies beside it.
        unet: Configuration of the UNet that it steers.
        latents: What the UNet works on.

    Raises:
        ModelError: When it is for other latents, or another UNet.
    """
    found = Found(path, with_beside(path, CONFIG_FILE))
    config = read_config(Part(AdapterSource(weights=str(path)), found))
    if config.latents != latents:
        raise ModelError(
            f"the adapter {path.parent} steers latents of {_told(config.latents)}, the generator's have "
            f"{_told(latents)}"
        )
    with UnsetWeights():
        adapter = build_adapter(config, unet)
    load_exactly(adapter, load_tensors(path), path)
    return adapter.eval()


def describe_adapter(
    local: LocalBundle, sizes: Geometry, width: int, training: Mapping[str, pydantic.JsonValue]
) -> AdapterConfig:
    """What the folder of an adapter for a bundle's generator says of it.

    Args:
        local: The bundle.
        sizes: Of its generator.
        width: Channels of the adapter.
        training: What it was trained with.
    """
    return AdapterConfig(
        schema_version=SCHEMA_VERSION,
        generator=local.generator_name,
        generator_fingerprint=local.generator.fingerprint,
        latents=latents_of(sizes),
        width=width,
        training=dict(training),
    )


def latents_of(sizes: Geometry) -> Latents:
    """What is steered of a generator."""
    return Latents(channels=sizes.latent_channels, bins=sizes.latent_bins, frame_s=sizes.frame_s)


def build_adapter(config: AdapterConfig, unet: Mapping[str, Any]) -> EnvelopeAdapter:
    """The network of a description, for a UNet of this configuration."""
    return EnvelopeAdapter(entries_of(unet), stride_of(config.latents.frame_s), config.width, config.blocks)


def _told(latents: Latents) -> str:
    return f"{latents.channels} channels, {latents.bins} bins and frames of {latents.frame_s:g} s"
