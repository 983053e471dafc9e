"""Adapters for tests: random weights, so that a curve is heard, in the form in which they are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from v2a_core.config import find, read_yaml
from v2a_core.generators.adapters import save_adapter
from v2a_core.generators.audioldm.adapter_file import build_adapter, describe_adapter
from v2a_core.generators.audioldm.components import Geometry, as_source, read_geometry
from v2a_core.generators.audioldm.layout import DiffusersFolder
from v2a_core.models import LocalBundle, load_bundle
from v2a_core.protocols import CURVE_HZ, Curve
from v2a_core.timing.envelope import onset_bumps


class Config(dict):  # type: ignore[type-arg]
    """A configuration whose values are attributes, as diffusers' are."""

    __getattr__ = dict.__getitem__


def geometry(folder: Path) -> Geometry:
    """The sizes of a generator in a folder."""
    source = DiffusersFolder(folder)
    vocoder = as_source(folder).config("vocoder")
    return read_geometry(Config(source.config("unet")), Config(source.config("vae")), Config(vocoder))


def random_adapter(folder: Path, local: LocalBundle, width: int = 16, seed: int = 0) -> Path:
    """An adapter of a bundle's generator that moves its sounds a lot."""
    config = describe_adapter(local, geometry(local.generator_path), width, {})
    adapter = build_adapter(config, as_source(local.generator_path).config("unet"))
    source = torch.Generator().manual_seed(seed)
    for parameter in adapter.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=source)
    for output in adapter.outputs:
        output.weight.data *= 20
    save_adapter(str(folder), adapter.state_dict(), config)
    return folder


def bundle_with_adapter(folder: Path) -> str:
    """The miniature bundle with a random adapter as its own; its file."""
    adapter = random_adapter(folder / "adapter", load_bundle("miniature").resolve())
    said = {**read_yaml(find("miniature", "models")), "adapter": {"weights": str(adapter)}}
    (folder / "bundle.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return str(folder / "bundle.yaml")


def curve(length_s: float, *onsets_s: float, holds: bool = False, **values: Any) -> Curve:
    """Strikes that ring for half a second."""
    frames = round(length_s * CURVE_HZ)
    times_s = np.arange(frames) / CURVE_HZ
    level_F = np.full(frames, 0.1, np.float32)
    for onset_s in onsets_s:
        level_F = np.maximum(level_F, np.where(times_s >= onset_s, 1 - 2 * (times_s - onset_s), 0)).astype(np.float32)
    made = {"level_F": level_F, "onset_F": onset_bumps(onsets_s, frames), "weight_F": np.ones(frames, np.float32)}
    return Curve(**{**made, **values}, holds=holds)
