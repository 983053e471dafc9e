"""Mappers trained on pairs of the small world, in memory.

Shapes: N pairs, F frames of all of them, D numbers of an embedding.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from v2a_core import mappers
from v2a_core.mappers.aggregators import aggregate, places_of, together
from v2a_core.mappers.base import normalize
from v2a_core.mappers.config import MapperConfig, MapperSettings
from v2a_core.mappers.export import WEIGHTS_FILE, Mapper
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import Pairs, TrainingData
from v2a_core.training.history import MapperValidation, ValidationRow
from v2a_core.training.mapping import mapper_trainer

Floats = npt.NDArray[np.float32]
Frames = Sequence[npt.NDArray[np.float16]]


@dataclass(frozen=True)
class SeenAndHeard:
    """Scenes as embeddings: frames (F, D) of each, and sounds (N, D)."""

    frames: Frames
    sounds_ND: Floats


@dataclass(frozen=True)
class Mapped:
    """What a mapper made of held-out frames.

    Attributes:
        conditions: Sets of mapped embeddings, each float32 (N, D).
        parameters: Trainable numbers of the mapper.
        cosine: Similarity to the truth on validation scenes.
        seconds: Of its training.
    """

    conditions: list[Floats]
    parameters: int
    cosine: float
    seconds: float


def train_and_map(
    settings: MapperSettings,
    training: TrainingSettings,
    train: SeenAndHeard,
    validation: SeenAndHeard,
    held_out: Sequence[tuple[Frames, Sequence[int]]],
    seed: int,
) -> Mapped:
    """Train a mapper and map sets of frames with it.

    Args:
        settings: Architecture.
        training: How it is trained.
        train: Pairs that are learned from.
        validation: Pairs that it is judged by.
        held_out: Sets of frames with a seed each.
        seed: Of weights and batches.
    """
    started = time.monotonic()
    torch.manual_seed(seed)
    model = mappers.build(settings)
    metrics: MapperValidation = {}
    weights: dict[str, torch.Tensor] = {}

    def keep(reported: ValidationRow, folder: Path | None) -> None:
        metrics.update(cast(MapperValidation, reported))
        assert folder is not None  # one worker: it has the checkpoint
        weights.update(safetensors.torch.load_file(folder / WEIGHTS_FILE))
        shutil.rmtree(folder)

    counts = {"train": len(train.frames), "validation": len(validation.frames), "test": 0}
    data = TrainingData(_pairs(train, settings, seed), _pairs(validation, settings, seed), {}, counts)
    mapper_trainer(model, data, training, seed=seed, device="cpu", report=keep).run()
    model.load_state_dict(weights)
    config = MapperConfig(mapper=settings, embedding_dim=EMBEDDING_DIM, vision_space="", audio_space="")
    mapper = Mapper(model, config, fingerprint="")
    conditions = [mapper.map(frames, seeds) for frames, seeds in held_out]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Mapped(conditions, parameters, metrics["validation_cosine"], time.monotonic() - started)


def without_mapper(frames: Frames) -> Floats:
    """CLIP's own embedding in place of CLAP's: the mean of the frames, L2-normalised (N, D)."""
    means = aggregate("average", *together(frames), np.zeros(len(frames), np.uint64))
    return normalize(torch.from_numpy(means)).numpy()


def _pairs(pairs: SeenAndHeard, settings: MapperSettings, seed: int) -> Pairs:
    target = normalize(torch.from_numpy(pairs.sounds_ND))
    frames, offsets = together(pairs.frames)
    keys = np.arange(len(pairs.frames), dtype=np.uint64)
    places = places_of(settings.aggregator)
    if places:
        drawn = Pairs(target, target, torch.from_numpy(frames), offsets, keys, places)
        drawn.begin_epoch(seed, 0)
        return drawn
    return Pairs(target, normalize(torch.from_numpy(aggregate(settings.aggregator, frames, offsets, keys))))
