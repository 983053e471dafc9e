"""Adapters: small networks that steer a frozen generator along a curve, a folder each. Importing this loads no torch.

    <folder>/adapter.safetensors, config.json

An adapter belongs to the weights of one generator: what it adds to them means nothing to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import pydantic

from v2a_core.config import ConfigError, Settings, setting
from v2a_core.models import LocalBundle
from v2a_core.models.described import CONFIG_FILE, check_digest, read_description, save_described
from v2a_core.models.errors import ModelError
from v2a_core.models.parts import ADAPTER_FILE, AdapterSource, Part
from v2a_core.models.sources import Finder
from v2a_core.protocols import CURVE_HZ

if TYPE_CHECKING:
    import torch

SCHEMA_VERSION = 1


class AdapterSettings(Settings):
    """How an adapter steers, where there is a curve to follow."""

    scale: float = setting(1.0, "how strongly a curve is followed; 0: not at all", ge=0, le=4)
    steps_share: float = setting(
        0.8, "share of the steps, from the first on, in which it is: they decide when things sound", ge=0, le=1
    )

    @property
    def is_off(self) -> bool:
        """Whether nothing would be steered."""
        return self.scale == 0 or self.steps_share == 0


class Latents(Settings):
    """What is steered: the latents of a generator."""

    channels: int = setting(..., "their number")
    bins: int = setting(..., "their height")
    frame_s: float = setting(..., "length of a frame", unit="s")


class AdapterConfig(Settings):
    """The content of an adapter's `config.json`."""

    schema_version: int = setting(..., "of this file")
    kind: Literal["envelope"] = setting("envelope", "what it follows")
    generator: str = setting(..., "name of the generator in the registry")
    generator_fingerprint: str = setting(..., "sha256 of the generator that it was trained with")
    latents: Latents = setting(..., "what that generator's latents are")
    curve_hz: int = setting(CURVE_HZ, "values of a curve a second")
    width: int = setting(320, "channels of the adapter", ge=1)
    blocks: int = setting(2, "residual blocks a level", ge=1)
    sha256: str = setting("", "of the weights")
    training: dict[str, pydantic.JsonValue] = setting({}, "what it was trained with, for people")


def find_adapter(uri: str | None, local: LocalBundle) -> Part[AdapterSource] | None:
    """The adapter of a folder or URI, else the bundle's own; None without either.

    Raises:
        ModelError: When it cannot be had.
    """
    if uri is None:
        return local.adapter
    source = AdapterSource(weights=uri)
    return Part(source, source.find(Finder("adapter")))


def check_adapter(adapter: Part[AdapterSource], local: LocalBundle) -> AdapterConfig:
    """Refuse an adapter of another generator than the bundle's, or a damaged one; reads no weights into memory.

    Raises:
        ConfigError: Naming both generators.
        ModelError: When a file is missing or damaged.
    """
    config = read_config(adapter)
    theirs = f"{config.generator}:{config.generator_fingerprint[:16]}"
    ours = f"{local.generator_name}:{local.generator.fingerprint[:16]}"
    if theirs != ours:
        raise ConfigError(
            f"the adapter {adapter.path.parent} was trained with the generator {theirs!r}, bundle {local.name!r} has "
            f"{ours!r}: choose the bundle it was trained with (--models), or an adapter of this one"
        )
    check_digest(adapter.path, config, "adapter")
    return config


def read_config(adapter: Part[AdapterSource]) -> AdapterConfig:
    """The description of an adapter.

    Raises:
        ModelError: When there is none, or it is of another version.
    """
    values = adapter.found.json(CONFIG_FILE)
    folder = adapter.path.parent
    if "generator_fingerprint" not in values:
        raise ModelError(f"{folder} is no adapter: it has no {CONFIG_FILE} that names the generator it belongs to")
    config = read_description(values, AdapterConfig, SCHEMA_VERSION, folder, "an adapter's")
    if config.curve_hz != CURVE_HZ:
        raise ModelError(f"{folder} follows curves of {config.curve_hz} values a second, here they have {CURVE_HZ}")
    return config


def save_adapter(folder: str, tensors: Mapping[str, torch.Tensor], config: AdapterConfig) -> None:
    """Write an adapter; the description comes last: where it is, the weights are whole.

    Args:
        folder: Folder or URI.
        tensors: Its weights.
        config: What it is; the digest is filled in here.
    """
    save_described(folder, ADAPTER_FILE, tensors, config)
