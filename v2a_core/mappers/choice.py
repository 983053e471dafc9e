"""Which mapper a job uses: one from a folder, checked against the models, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.mappers.config import SamplingSettings
from v2a_core.mappers.none import NO_MAPPER, NoMapper, no_mapper_name
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.models import LocalBundle
from v2a_core.models.spaces import made_anew
from v2a_core.protocols import ConditionMapper
from v2a_core.tables.schema import EMBEDDING_DIM


def canonical_mapper(mapper: str) -> str:
    """A mapper's absolute path where it is a local folder, which a worker elsewhere finds; other names as they are."""
    return storage.canonical(mapper) if Path(mapper).exists() else mapper


def load_condition_mapper(mapper: str, device: str, sampling: SamplingSettings | None) -> ConditionMapper:
    """The mapper of a folder or URI, or the one that stands for none."""
    from v2a_core.mappers import load_mapper

    if mapper == NO_MAPPER:
        return NoMapper()
    loaded = load_mapper(mapper, device, sampling=sampling)
    # The first sampling imports its solver and readies the device, which takes seconds: now, while other stages load.
    loaded.map([np.ones((1, loaded.config.vision_dim), np.float32)], [0])
    return loaded


def check_mapper(mapper: str, sampling: SamplingSettings | None, local: LocalBundle) -> str:
    """Refuse a mapper between other spaces than the bundle's, or another's sampling; returns its fingerprint.

    Raises:
        ConfigError: Naming both sides.
    """
    if mapper == NO_MAPPER:
        return _check_width(local)
    from v2a_core.mappers import load_mapper

    loaded = load_mapper(mapper, sampling=sampling)
    pairs = (
        ("vision", loaded.config.vision_space, local.vision_space),
        ("audio", loaded.config.audio_space, local.audio_space),
    )
    for name, has, needs in pairs:
        if has != needs:
            advice = made_anew(has, "embed", "train") if name == "audio" else None
            raise ConfigError(
                f"the mapper {mapper} was trained for the {name} space {has!r}, bundle {local.name!r} has {needs!r}: "
                + (advice or "choose the bundle it was trained with (--models), or train a mapper for this one")
            )
    return loaded.fingerprint


def unlike_training(mapper: str, segments: SegmentSettings, frames: FrameSettings) -> str | None:
    """A sentence when a mapper was trained on segments or frames of another kind than a run's; else None."""
    from v2a_core.mappers.export import found_folder, read_config

    trained = {} if mapper == NO_MAPPER else read_config(found_folder(mapper)).training.get("cut", {})
    now = {
        "segments.length_s": segments.length_s,
        "segments.whole": segments.whole,
        "frames.frames_per_second": frames.frames_per_second,
    }
    unlike = [f"{key} = {value}, now {now[key]}" for key, value in trained.items() if now.get(key, value) != value]
    if not unlike:
        return None
    return f"the mapper {mapper} was trained on embeddings with {'; '.join(unlike)}: its sounds may fit less well"


def _check_width(local: LocalBundle) -> str:
    if local.vision_dim > EMBEDDING_DIM:
        sees = local.vision_traits
        raise ConfigError(
            f"--mapper none: {sees.model} of the bundle {local.name!r} makes {sees.dim} numbers, the "
            f"generator takes {EMBEDDING_DIM}: only a mapper leads from one to the other"
        )
    return no_mapper_name(local.vision_dim)
