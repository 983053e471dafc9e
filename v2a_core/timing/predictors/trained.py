"""Trained predictors: a folder each, of weights and what they are. Importing this loads no torch.

    <folder>/predictor.safetensors, config.json

A predictor belongs to the vision encoder whose embeddings it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pydantic

from v2a_core.config import ConfigError, Settings, setting
from v2a_core.models import LocalBundle
from v2a_core.models.described import CONFIG_FILE, check_digest, read_description, save_described
from v2a_core.models.errors import ModelError
from v2a_core.models.parts import PREDICTOR_FILE, Part, PredictorSource
from v2a_core.models.sources import Finder
from v2a_core.protocols import CURVE_HZ

if TYPE_CHECKING:
    import torch

SCHEMA_VERSION = 1


class TrainedConfig(Settings):
    """The content of a trained predictor's `config.json`."""

    schema_version: int = setting(..., "of this file")
    kind: str = setting(..., "name of the predictor in the registry")
    vision_space: str = setting(..., "the embeddings that it was trained on")
    vision_dim: int = setting(..., "numbers in one", ge=1)
    frames_per_second: int = setting(..., "that it looks at; a divisor of the values a second", unit="1/s", ge=1)
    curve_hz: int = setting(CURVE_HZ, "values of a curve a second")
    width: int = setting(128, "channels of the convolutions", ge=1)
    hidden: int = setting(128, "of the recurrent layers, in each direction", ge=1)
    onset_threshold: float = setting(0.5, "what probability is an onset; chosen on the validation split", ge=0, le=1)
    sure_spread: float = setting(
        0.0, "standard deviation of a predicted level that is as sure as usual, measured on the validation split", ge=0
    )
    unsure_spread: float = setting(1.0, "that of levels about which nothing is known: no curve", gt=0)
    sha256: str = setting("", "of the weights")
    training: dict[str, pydantic.JsonValue] = setting({}, "what it was trained with, for people")

    @pydantic.field_validator("frames_per_second")
    @classmethod
    def _divides(cls, rate: int) -> int:
        if CURVE_HZ % rate:
            raise ValueError(f"{rate} is no divisor of the {CURVE_HZ} values that a curve has a second")
        return rate


def find_predictor(uri: str | None, local: LocalBundle) -> Part[PredictorSource]:
    """The predictor of a folder or URI, else the bundle's own.

    Raises:
        ConfigError: When there is neither.
        ModelError: When it cannot be had.
    """
    if uri is not None:
        source = PredictorSource(weights=uri)
        return Part(source, source.find(Finder("predictor")))
    if local.predictor is None:
        raise ConfigError(
            f"the bundle {local.name!r} has no predictor of curves: say --set predictor.weights=FOLDER, one that was "
            "trained on its vision encoder; --timing motion, which needs no training; or --no-timing"
        )
    return local.predictor


def check_predictor(predictor: Part[PredictorSource], local: LocalBundle, kind: str) -> TrainedConfig:
    """Refuse a predictor of another kind or vision encoder, or a damaged one; reads no weights into memory.

    Raises:
        ConfigError: Naming both sides.
        ModelError: When a file is missing or damaged.
    """
    config, folder = read_config(predictor), predictor.path.parent
    if config.kind != kind:
        raise ConfigError(f"{folder} is a curve predictor {config.kind!r}: say --timing {config.kind}, not {kind}")
    if config.vision_space != local.vision_space:
        raise ConfigError(
            f"the curve predictor {folder} was trained on the vision space {config.vision_space!r}, bundle "
            f"{local.name!r} has {local.vision_space!r}: choose the bundle it was trained with (--models), or a "
            "predictor of this one"
        )
    check_digest(predictor.path, config, "predictor")
    return config


def read_config(predictor: Part[PredictorSource]) -> TrainedConfig:
    """The description of a predictor.

    Raises:
        ModelError: When there is none, or it is of another version.
    """
    values = predictor.found.json(CONFIG_FILE)
    folder = predictor.path.parent
    if "unsure_spread" not in values:
        raise ModelError(f"{folder} is no curve predictor: it has no {CONFIG_FILE} of one")
    config = read_description(values, TrainedConfig, SCHEMA_VERSION, folder, "a curve predictor's")
    if config.curve_hz != CURVE_HZ:
        raise ModelError(f"{folder} makes curves of {config.curve_hz} values a second, here they have {CURVE_HZ}")
    return config


def save_predictor(folder: str, tensors: Mapping[str, torch.Tensor], config: TrainedConfig) -> None:
    """Write a predictor; the description comes last: where it is, the weights are whole.

    Args:
        folder: Folder or URI.
        tensors: Its weights.
        config: What it is; the digest is filled in here.
    """
    save_described(folder, PREDICTOR_FILE, tensors, config)
